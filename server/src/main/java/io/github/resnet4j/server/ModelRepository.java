package io.github.resnet4j.server;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import io.github.resnet4j.server.Refusal.Kind;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The models there are, by name and version, from a folder {@code NAME/VERSION/} with a checkpoint
 * each, or given. A model that cannot be loaded is said to be unavailable; the others are served.
 *
 * <p>Loading and unloading happen one after the other, on one thread. Requests see the models
 * before or after, never between: a version is replaced when its successor is ready.
 */
final class ModelRepository implements AutoCloseable {
  /** What clients may see of a version. */
  record Listing(String name, String version, boolean ready, String reason) {}

  /**
   * A version.
   *
   * @param stamp of the files that it was read from; empty if it was given
   * @param reason why it does not answer, or why its folder's files are not what answers
   */
  private record Entry(
      @Nullable ServedModel model, Optional<ModelFolder.Stamp> stamp, String reason) {
    boolean isReady() {
      return model != null;
    }
  }

  private static final Entry NOTHING = new Entry(null, Optional.empty(), "");
  private static final String UNLOADED = "was unloaded";
  private static final String GIVEN_VERSION = "1";

  private final ServerOptions options;
  private final InferenceServer.Reader reader;
  private final Measurements measurements;
  private final AccessLog log;
  private final Optional<ModelFolder> folder;
  private final ServedModel.Work work = ServedModel.Work.start();
  private final Workers loading = new Workers("load", 1, Duration.ofMinutes(10), Kind.FAILED);
  private final Map<String, Model> given = new ConcurrentHashMap<>();
  private final Map<String, TreeMap<String, Entry>> models = new ConcurrentHashMap<>();

  ModelRepository(
      ServerOptions options,
      InferenceServer.Reader reader,
      Measurements measurements,
      AccessLog log) {
    this.options = options;
    this.reader = reader;
    this.measurements = measurements;
    this.log = log;
    this.folder = options.models().map(ModelFolder::new);
  }

  /** Serves a model that was made elsewhere, as its version 1. */
  void add(String name, Model classifier) {
    if (!ModelFolder.isName(name)) {
      throw new IllegalArgumentException(
          "a model's name has letters, digits, '_', '.' and '-': '%s'".formatted(name));
    }
    ServedModel model = serve(name, GIVEN_VERSION, classifier);
    given.put(name, model.classifier());
    put(name, Map.of(GIVEN_VERSION, new Entry(model, Optional.empty(), "")));
  }

  private ServedModel serve(String name, String version, Model classifier) {
    return new ServedModel(name, version, classifier, options, work, measurements);
  }

  /** Replaces all versions of a model; those that are not among the new ones finish and end. */
  private void put(String name, Map<String, Entry> versions) {
    var sorted = new TreeMap<String, Entry>(ModelFolder.BY_NUMBER);
    sorted.putAll(versions);
    SortedMap<String, Entry> before =
        sorted.isEmpty() ? models.remove(name) : models.put(name, sorted);
    if (before == null) {
      return;
    }
    for (Entry old : before.values()) {
      if (old.model != null && versions.values().stream().noneMatch(e -> e.model == old.model)) {
        old.model.close();
      }
    }
  }

  /** Loads all models of the folder. */
  void loadAll() throws IOException {
    if (folder.isPresent()) {
      for (String name : folder.get().names()) {
        refresh(name);
      }
    }
  }

  /**
   * Loads or reloads a model: afterwards its versions are those of the folder, and the one that was
   * given. Versions whose files are what they were stay as they are. One that cannot be loaded
   * leaves its working predecessor in place.
   *
   * @throws Refusal if there is no such model, or not all of its versions could be loaded
   */
  void load(String name) {
    loading.run(
        never(),
        () -> {
          boolean known = isKnown(name);
          List<String> faults = known || models.containsKey(name) ? refresh(name) : List.of();
          if (!known) {
            throw unknown(name);
          }
          if (!faults.isEmpty()) {
            throw new Refusal(
                Kind.BAD_REQUEST,
                "'%s' cannot be loaded: %s".formatted(name, String.join("; ", faults)));
          }
          if (!models.containsKey(name)) {
            throw new Refusal(Kind.NOT_FOUND, "'%s' has no version in its folder".formatted(name));
          }
          log.event("loaded", Map.of("model", name, "versions", versions(name)));
          return true;
        });
  }

  private static long never() {
    return System.nanoTime() + Long.MAX_VALUE / 2;
  }

  private boolean isKnown(String name) {
    return given.containsKey(name) || folder.isPresent() && folder.get().has(name);
  }

  /**
   * Makes a model's versions those that there are now.
   *
   * @return what is wrong with versions that could not be loaded
   */
  private List<String> refresh(String name) {
    SortedMap<String, Entry> before = models.getOrDefault(name, new TreeMap<>());
    var after = new LinkedHashMap<String, Entry>();
    var faults = new ArrayList<String>();
    if (folder.isPresent() && folder.get().has(name)) {
      List<ModelFolder.Version> versions = List.of();
      try {
        versions = folder.get().versions(name);
      } catch (IOException e) {
        log.failure("model " + name, e);
        faults.add("its folder cannot be read");
        after.putAll(before);
      }
      for (ModelFolder.Version version : versions) {
        if (given.containsKey(name) && version.number().equals(GIVEN_VERSION)) {
          continue; // the one that was given
        }
        Entry entry = read(name, version, before.getOrDefault(version.number(), NOTHING));
        after.put(version.number(), entry);
        if (!entry.reason.isEmpty() && version.fault().isEmpty()) {
          faults.add("version %s: %s".formatted(version.number(), entry.reason));
        }
      }
    }
    Model classifier = given.get(name);
    if (classifier != null) {
      Entry old = before.get(GIVEN_VERSION);
      after.put(
          GIVEN_VERSION,
          old != null && old.isReady() && old.stamp.isEmpty()
              ? old
              : new Entry(serve(name, GIVEN_VERSION, classifier), Optional.empty(), ""));
    }
    put(name, after);
    return faults;
  }

  /**
   * Reads a version. Whatever goes wrong, errors of the JVM too, concerns this version alone.
   *
   * @param old what answers now, if anything does
   */
  private Entry read(String name, ModelFolder.Version version, Entry old) {
    try {
      ModelFolder.Stamp stamp = version.stamp();
      if (old.isReady() && old.stamp.equals(Optional.of(stamp))) {
        return new Entry(old.model, old.stamp, "");
      }
      ServedModel model = serve(name, version.number(), reader.read(version.checkpoint()));
      if (!stamp.equals(version.stamp())) {
        model.close();
        throw new IOException("its files changed while they were read; load it again");
      }
      return new Entry(model, Optional.of(stamp), "");
    } catch (Exception | Error e) {
      log.failure("model " + name + " version " + version.number(), e);
      String reason = reason(version, e);
      return old.isReady()
          ? new Entry(
              old.model, Optional.empty(), reason + "; what was loaded before answers still")
          : new Entry(null, Optional.empty(), reason);
    }
  }

  /** What went wrong, in words that may leave the machine. */
  private static String reason(ModelFolder.Version version, Throwable e) {
    return switch (e) {
      case OutOfMemoryError _ -> "it needs more memory than there is (-Xmx)";
      case StackOverflowError _ -> "it is nested too deeply";
      case FileSystemException f ->
          "its file %s cannot be read (%s)"
              .formatted(Path.of(f.getFile()).getFileName(), f.getClass().getSimpleName());
      case IOException _, IllegalArgumentException _ ->
          String.valueOf(e.getMessage())
              .replace(version.folder().toAbsolutePath() + "/", "")
              .replace(version.folder() + "/", "")
              .lines()
              .findFirst()
              .orElse("");
      default -> "it cannot be loaded; the server's log says why";
    };
  }

  /** Lets a model go; what was accepted is finished first. */
  void unload(String name) {
    loading.run(
        never(),
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
   * A model.
   *
   * @param name the only one's if empty
   * @param version the highest number's if empty
   * @throws Refusal if there is none, or it could not be loaded
   */
  ServedModel find(Optional<String> name, Optional<String> version) {
    String chosen = name.filter(n -> !n.isEmpty()).orElseGet(this::first);
    TreeMap<String, Entry> versions = models.get(chosen);
    if (versions == null || versions.values().stream().allMatch(e -> e.reason.equals(UNLOADED))) {
      throw unknown(chosen);
    }
    Optional<String> wanted = version.filter(v -> !v.isEmpty());
    if (wanted.isPresent()) {
      Entry entry = ModelFolder.isNumber(wanted.get()) ? versions.get(wanted.get()) : null;
      if (entry == null) {
        throw new Refusal(
            Kind.NOT_FOUND,
            "'%s' has no such version; it has %s".formatted(chosen, versions.keySet()));
      }
      if (entry.model == null) {
        throw new Refusal(
            Kind.NOT_READY, "'%s' version %s: %s".formatted(chosen, wanted.get(), entry.reason));
      }
      return entry.model;
    }
    return versions.values().stream()
        .map(Entry::model)
        .filter(model -> model != null)
        .findFirst()
        .orElseThrow(() ->
            new Refusal(
                Kind.NOT_READY,
                "'%s': %s".formatted(chosen, versions.firstEntry().getValue().reason)));
  }

  /** A model that stays until the request that uses it has its answer. */
  record Held(ServedModel model) implements AutoCloseable {
    @Override
    public void close() {
      model.release();
    }
  }

  /** As {@link #find}, for a request that runs the model: unloading waits for it. */
  Held hold(Optional<String> name, Optional<String> version) {
    while (true) {
      ServedModel model = find(name, version);
      if (model.hold()) {
        return new Held(model);
      }
      Thread.onSpinWait(); // it was replaced this moment: the next one is there already
    }
  }

  private String first() {
    return list().stream()
        .filter(Listing::ready)
        .map(Listing::name)
        .findFirst()
        .orElseThrow(() -> new Refusal(Kind.NOT_READY, "there is no model yet"));
  }

  private static Refusal unknown(String name) {
    boolean sayable = ModelFolder.isName(name);
    return new Refusal(
        Kind.NOT_FOUND,
        sayable ? "there is no model '%s'".formatted(name) : "there is no such model");
  }

  List<String> versions(String name) {
    return models.getOrDefault(name, new TreeMap<>()).entrySet().stream()
        .filter(entry -> entry.getValue().isReady())
        .map(Map.Entry::getKey)
        .toList();
  }

  /** All versions of all models, by name. */
  List<Listing> list() {
    var all = new ArrayList<Listing>();
    new TreeMap<>(models)
        .forEach((name, versions) ->
            versions.forEach((version, entry) ->
                all.add(new Listing(name, version, entry.isReady(), entry.reason))));
    return all;
  }

  /** Whether there is a model that answers. */
  boolean isReady() {
    return list().stream().anyMatch(Listing::ready);
  }

  int waiting() {
    int waiting = 0;
    for (var versions : models.values()) {
      for (Entry entry : versions.values()) {
        waiting += entry.model == null ? 0 : entry.model.waiting();
      }
    }
    return waiting;
  }

  /** What metadata and the page say of a model beside its name. */
  static Map<String, Object> describe(ServedModel model) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("classes", model.classifier().labels().size());
    fields.put("preprocessing", model.classifier().preprocessing().toFields());
    return fields;
  }

  @Override
  public void close() {
    loading.close();
    work.close();
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
