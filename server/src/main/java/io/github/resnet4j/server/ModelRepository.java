package io.github.resnet4j.server;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import io.github.resnet4j.server.ApiException.Kind;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The models by name and version: those passed at start, and those in a folder {@code
 * NAME/VERSION/} with a checkpoint each. A model that cannot be loaded is listed as unavailable;
 * the others are served.
 *
 * <p>One thread loads and unloads models, one at a time. A version is replaced only when its
 * successor is ready, so requests see either the old or the new state.
 */
final class ModelRepository implements AutoCloseable {
  /** A version as listed for clients. */
  record Listing(String name, String version, boolean ready, String reason) {
    String state() {
      return ready ? "READY" : "UNAVAILABLE";
    }
  }

  /**
   * A version.
   *
   * @param fileState the state of the files that it was read from; empty for a model passed at
   *     start
   * @param reason why it is unavailable, or why the current files in its folder are not loaded
   */
  private record Entry(
      @Nullable ServedModel model, Optional<ModelFolder.FileState> fileState, String reason) {
    boolean isReady() {
      return model != null;
    }
  }

  private static final Entry NOT_LOADED = new Entry(null, Optional.empty(), "");
  private static final String UNLOADED = "unloaded";
  private static final String INITIAL_VERSION = "1";

  private final ServerOptions options;
  private final InferenceServer.ModelReader reader;
  private final Metrics metrics;
  private final AccessLog log;
  private final Optional<ModelFolder> folder;
  private final Consumer<Boolean> readiness;
  private final ServedModel.WorkerPools pools = ServedModel.WorkerPools.start();
  private final WorkerPool loading =
      new WorkerPool("load", 1, Duration.ofMinutes(10), Kind.INTERNAL);
  private final Map<String, Model> initialModels = new ConcurrentHashMap<>();
  private final Map<String, TreeMap<String, Entry>> models = new ConcurrentHashMap<>();

  /**
   * @param readiness is told, after each change of the models, whether at least one is ready
   */
  ModelRepository(
      ServerOptions options,
      InferenceServer.ModelReader reader,
      Metrics metrics,
      AccessLog log,
      Consumer<Boolean> readiness) {
    this.readiness = readiness;
    this.options = options;
    this.reader = reader;
    this.metrics = metrics;
    this.log = log;
    this.folder = options.models().map(ModelFolder::new);
  }

  /** Serves a model passed at start, as version 1. */
  void add(String name, Model classifier) {
    if (!ModelFolder.isName(name)) {
      throw new IllegalArgumentException(
          "a model's name may contain letters, digits, '_', '.' and '-', was '%s'".formatted(name));
    }
    ServedModel model = serve(name, INITIAL_VERSION, classifier);
    initialModels.put(name, model.classifier());
    put(name, Map.of(INITIAL_VERSION, new Entry(model, Optional.empty(), "")));
  }

  private ServedModel serve(String name, String version, Model classifier) {
    return new ServedModel(name, version, classifier, options, pools, metrics);
  }

  /**
   * Replaces all versions of a model; versions that are not among the new ones are closed after
   * their requests.
   */
  private void put(String name, Map<String, Entry> versions) {
    var sorted = new TreeMap<String, Entry>(ModelFolder.BY_NUMBER);
    sorted.putAll(versions);
    SortedMap<String, Entry> before =
        sorted.isEmpty() ? models.remove(name) : models.put(name, sorted);
    readiness.accept(isReady());
    if (before == null) {
      return;
    }
    for (Entry old : before.values()) {
      if (old.model != null && versions.values().stream().noneMatch(e -> e.model == old.model)) {
        old.model.close();
      }
    }
  }

  /** Loads all models in the folder. */
  void loadAll() throws IOException {
    if (folder.isPresent()) {
      for (String name : folder.get().names()) {
        synchronize(name);
      }
    }
  }

  /**
   * Loads or reloads a model: afterwards its versions are those in the folder and the one passed at
   * start. Versions whose files have not changed are kept. If a version cannot be loaded, its
   * loaded predecessor stays in service.
   *
   * @throws ApiException if there is no such model, or not all of its versions could be loaded
   */
  void load(String name) {
    loading.run(
        noDeadline(),
        () -> {
          boolean known = isKnown(name);
          List<String> errors = known || models.containsKey(name) ? synchronize(name) : List.of();
          if (!known) {
            throw unknown(name);
          }
          if (!errors.isEmpty()) {
            throw new ApiException(
                Kind.BAD_REQUEST,
                "'%s' cannot be loaded: %s".formatted(name, String.join("; ", errors)));
          }
          if (!models.containsKey(name)) {
            throw new ApiException(
                Kind.NOT_FOUND, "the folder of '%s' contains no version".formatted(name));
          }
          log.event("loaded", Map.of("model", name, "versions", versions(name)));
          return true;
        });
  }

  private static long noDeadline() {
    return System.nanoTime() + Long.MAX_VALUE / 2;
  }

  private boolean isKnown(String name) {
    return initialModels.containsKey(name) || folder.isPresent() && folder.get().has(name);
  }

  /**
   * Synchronizes a model's loaded versions with its folder.
   *
   * @return the errors of the versions that could not be loaded
   */
  private List<String> synchronize(String name) {
    SortedMap<String, Entry> before = models.getOrDefault(name, new TreeMap<>());
    var after = new LinkedHashMap<String, Entry>();
    var errors = new ArrayList<String>();
    if (folder.isPresent() && folder.get().has(name)) {
      List<ModelFolder.Version> versions = List.of();
      try {
        versions = folder.get().versions(name);
      } catch (IOException e) {
        log.failure("model " + name, e);
        errors.add("its folder cannot be read");
        after.putAll(before);
      }
      for (ModelFolder.Version version : versions) {
        if (initialModels.containsKey(name) && version.number().equals(INITIAL_VERSION)) {
          continue; // the model passed at start has this version
        }
        Entry entry = read(name, version, before.getOrDefault(version.number(), NOT_LOADED));
        after.put(version.number(), entry);
        if (!entry.reason.isEmpty() && version.error().isEmpty()) {
          errors.add("version %s: %s".formatted(version.number(), entry.reason));
        }
      }
    }
    Model classifier = initialModels.get(name);
    if (classifier != null) {
      Entry old = before.get(INITIAL_VERSION);
      after.put(
          INITIAL_VERSION,
          old != null && old.isReady() && old.fileState.isEmpty()
              ? old
              : new Entry(serve(name, INITIAL_VERSION, classifier), Optional.empty(), ""));
    }
    put(name, after);
    return errors;
  }

  /**
   * Reads a version. Any exception, including JVM errors, affects only this version.
   *
   * @param old the loaded version, if any
   */
  private Entry read(String name, ModelFolder.Version version, Entry old) {
    try {
      ModelFolder.FileState fileState = version.fileState();
      if (old.isReady() && old.fileState.equals(Optional.of(fileState))) {
        return new Entry(old.model, old.fileState, "");
      }
      ServedModel model = serve(name, version.number(), reader.read(version.checkpoint()));
      if (!fileState.equals(version.fileState())) {
        model.close();
        throw new IOException("its files changed while they were being read; load it again");
      }
      return new Entry(model, Optional.of(fileState), "");
    } catch (Exception | Error e) {
      log.failure("model " + name + " version " + version.number(), e);
      String reason = version.reason(e);
      return old.isReady()
          ? new Entry(
              old.model, Optional.empty(), reason + "; the version loaded before stays in service")
          : new Entry(null, Optional.empty(), reason);
    }
  }

  /** Unloads a model after its accepted requests. */
  void unload(String name) {
    loading.run(
        noDeadline(),
        () -> {
          SortedMap<String, Entry> versions = models.get(name);
          if (versions == null) {
            throw unknown(name);
          }
          var unloaded = new LinkedHashMap<String, Entry>();
          for (String version : versions.keySet()) {
            unloaded.put(version, new Entry(null, Optional.empty(), UNLOADED));
          }
          put(name, unloaded);
          log.event("unloaded", Map.of("model", name));
          return true;
        });
  }

  /**
   * Returns a model.
   *
   * @param name its name; if empty, the first ready one by name
   * @param version its version; if empty, the highest ready one
   * @throws ApiException if it does not exist or is not ready
   */
  ServedModel find(Optional<String> name, Optional<String> version) {
    String chosen = name.filter(n -> !n.isEmpty()).orElseGet(this::firstReady);
    TreeMap<String, Entry> versions = models.get(chosen);
    if (versions == null || versions.values().stream().allMatch(e -> e.reason.equals(UNLOADED))) {
      throw unknown(chosen);
    }
    Optional<String> wanted = version.filter(v -> !v.isEmpty());
    if (wanted.isPresent()) {
      Entry entry = ModelFolder.isVersionNumber(wanted.get()) ? versions.get(wanted.get()) : null;
      if (entry == null) {
        throw new ApiException(
            Kind.NOT_FOUND,
            "'%s' has no such version; it has %s".formatted(chosen, versions.keySet()));
      }
      if (entry.model == null) {
        throw new ApiException(
            Kind.UNAVAILABLE, "'%s' version %s: %s".formatted(chosen, wanted.get(), entry.reason));
      }
      return entry.model;
    }
    return versions.values().stream()
        .map(Entry::model)
        .filter(model -> model != null)
        .findFirst()
        .orElseThrow(() ->
            new ApiException(
                Kind.UNAVAILABLE,
                "'%s': %s".formatted(chosen, versions.firstEntry().getValue().reason)));
  }

  /**
   * Returns the ready versions of a model.
   *
   * @param name its name; if empty, those of all models
   * @param version the only version to return; if empty, all
   * @throws ApiException if it does not exist or is not ready
   */
  List<ServedModel> find(String name, String version) {
    Optional<ServedModel> one =
        name.isEmpty()
            ? Optional.empty()
            : Optional.of(find(Optional.of(name), Optional.of(version)));
    if (one.isPresent() && !version.isEmpty()) {
      return List.of(one.get());
    }
    return new TreeMap<>(models)
        .values().stream()
            .flatMap(versions -> versions.values().stream())
            .flatMap(entry -> Stream.ofNullable(entry.model))
            .filter(model -> name.isEmpty() || model.name().equals(name))
            .toList();
  }

  /** Keeps a model loaded until the request that uses it is finished. */
  record Lease(ServedModel model) implements AutoCloseable {
    @Override
    public void close() {
      model.release();
    }
  }

  /** Like {@link #find}, for a request that runs the model: unloading waits for it. */
  Lease acquire(Optional<String> name, Optional<String> version) {
    while (true) {
      ServedModel model = find(name, version);
      if (model.acquire()) {
        return new Lease(model);
      }
      Thread.onSpinWait(); // it was just replaced; its successor is already present
    }
  }

  private String firstReady() {
    return list().stream()
        .filter(Listing::ready)
        .map(Listing::name)
        .findFirst()
        .orElseThrow(() -> new ApiException(Kind.UNAVAILABLE, "no model is ready"));
  }

  private static ApiException unknown(String name) {
    boolean validName = ModelFolder.isName(name);
    return new ApiException(
        Kind.NOT_FOUND,
        validName ? "there is no model '%s'".formatted(name) : "there is no such model");
  }

  List<String> versions(String name) {
    return models.getOrDefault(name, new TreeMap<>()).entrySet().stream()
        .filter(entry -> entry.getValue().isReady())
        .map(Map.Entry::getKey)
        .toList();
  }

  /** All versions of all models, ordered by name. */
  List<Listing> list() {
    var all = new ArrayList<Listing>();
    new TreeMap<>(models)
        .forEach((name, versions) ->
            versions.forEach((version, entry) ->
                all.add(new Listing(name, version, entry.isReady(), entry.reason))));
    return all;
  }

  /** Whether at least one model is ready. */
  boolean isReady() {
    return list().stream().anyMatch(Listing::ready);
  }

  int queuedImages() {
    return find("", "").stream().mapToInt(ServedModel::queuedImages).sum();
  }

  /** A model's parameters in the metadata and in the list of models. */
  static Map<String, Object> describe(ServedModel model) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("classes", model.classifier().labels().size());
    fields.put("preprocessing", model.classifier().preprocessing().toFields());
    return fields;
  }

  @Override
  public void close() {
    loading.close();
    pools.close();
    for (String name : List.copyOf(models.keySet())) {
      put(name, Map.of());
    }
  }

  static String json(Object value) {
    try {
      return JSON.std.asString(value);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
