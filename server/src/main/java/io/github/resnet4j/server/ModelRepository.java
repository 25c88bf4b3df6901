package io.github.resnet4j.server;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.server.Refusal.Kind;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The models there are, by name and version, from a folder {@code NAME/VERSION/} with a checkpoint
 * each, or given. A model that cannot be loaded is said to be unavailable; the others are served.
 */
final class ModelRepository implements AutoCloseable {
  /** What clients may see of a version. */
  record Listing(String name, String version, boolean ready, String reason) {}

  private record Entry(@Nullable ServedModel model, String reason) {}

  /** Names are names, not ways to somewhere else. */
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}");

  private static final Pattern VERSION = Pattern.compile("[0-9]{1,18}");
  private static final String FILES = "*.{safetensors,pth,pt,bin}";

  private static final Comparator<String> BY_NUMBER =
      Comparator.comparingLong((String version) -> Long.parseLong(version)).reversed();

  private final ServerOptions options;
  private final InferenceServer.Reader reader;
  private final Measurements measurements;
  private final AccessLog log;
  private final Semaphore decoding =
      new Semaphore(Math.max(1, Runtime.getRuntime().availableProcessors()));
  private final Map<String, TreeMap<String, Entry>> models = new ConcurrentHashMap<>();
  private final Object loading = new Object();

  ModelRepository(
      ServerOptions options,
      InferenceServer.Reader reader,
      Measurements measurements,
      AccessLog log) {
    this.options = options;
    this.reader = reader;
    this.measurements = measurements;
    this.log = log;
  }

  /** Serves a model that was made elsewhere. */
  void add(String name, Classifier classifier) {
    if (!NAME.matcher(name).matches()) {
      throw new IllegalArgumentException(
          "a model's name has letters, digits, '_', '.' and '-': '%s'".formatted(name));
    }
    put(name, "1", new Entry(serve(name, "1", classifier), ""));
  }

  private ServedModel serve(String name, String version, Classifier classifier) {
    return new ServedModel(name, version, classifier, options, decoding, measurements);
  }

  private void put(String name, String version, Entry entry) {
    synchronized (loading) {
      var versions = new TreeMap<String, Entry>(BY_NUMBER);
      versions.putAll(models.getOrDefault(name, versions));
      Entry before = versions.put(version, entry);
      models.put(name, versions); // a new map: who reads the old one is not disturbed
      if (before != null && before.model != null) {
        before.model.close();
      }
    }
  }

  /** Loads all models of the folder. */
  void loadAll() throws IOException {
    if (options.models().isEmpty()) {
      return;
    }
    for (Path folder : children(options.models().get())) {
      String name = String.valueOf(folder.getFileName());
      if (Files.isDirectory(folder) && NAME.matcher(name).matches()) {
        loadVersions(name, folder);
      }
    }
  }

  /**
   * Loads or reloads a model of the folder.
   *
   * @throws Refusal if the folder has no such model, or none of its versions can be loaded
   */
  void load(String name) {
    if (options.models().isEmpty() || !NAME.matcher(name).matches()) {
      throw unknown(name);
    }
    Path folder = options.models().get().resolve(name);
    if (!Files.isDirectory(folder)) {
      throw unknown(name);
    }
    try {
      loadVersions(name, folder);
    } catch (IOException e) {
      log.failure("model " + name, e);
      throw new Refusal(Kind.BAD_REQUEST, "'%s' cannot be loaded".formatted(name));
    }
    if (models.getOrDefault(name, new TreeMap<>()).values().stream()
        .noneMatch(entry -> entry.model != null)) {
      throw new Refusal(
          Kind.BAD_REQUEST, "'%s' cannot be loaded; the server's log says why".formatted(name));
    }
  }

  private void loadVersions(String name, Path folder) throws IOException {
    for (Path version : children(folder)) {
      String number = String.valueOf(version.getFileName());
      if (Files.isDirectory(version) && VERSION.matcher(number).matches()) {
        put(name, number, read(name, number, version));
      }
    }
  }

  private Entry read(String name, String version, Path folder) {
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, FILES)) {
      for (Path file : files) {
        return new Entry(serve(name, version, reader.read(file)), "");
      }
      return new Entry(null, "there is no checkpoint in its folder");
    } catch (IOException | RuntimeException e) {
      log.failure("model " + name + " version " + version, e);
      return new Entry(null, "cannot be loaded; the server's log says why");
    }
  }

  private static List<Path> children(Path folder) throws IOException {
    try (DirectoryStream<Path> children = Files.newDirectoryStream(folder)) {
      var all = new ArrayList<Path>();
      children.forEach(all::add);
      all.sort(Comparator.naturalOrder());
      return all;
    }
  }

  /** Lets a model go; what was accepted is finished first. */
  void unload(String name) {
    TreeMap<String, Entry> versions = models.remove(name);
    if (versions == null) {
      throw unknown(name);
    }
    versions.values().stream()
        .map(Entry::model)
        .forEach(model -> {
          if (model != null) {
            model.close();
          }
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
    if (versions == null) {
      throw unknown(chosen);
    }
    Optional<String> wanted = version.filter(v -> !v.isEmpty());
    if (wanted.isPresent()) {
      Entry entry = VERSION.matcher(wanted.get()).matches() ? versions.get(wanted.get()) : null;
      if (entry == null) {
        throw new Refusal(
            Kind.NOT_FOUND,
            "'%s' has no such version; it has %s".formatted(chosen, versions.keySet()));
      }
      if (entry.model == null) {
        throw new Refusal(
            Kind.NOT_READY, "'%s' version %s %s".formatted(chosen, wanted.get(), entry.reason));
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
                "'%s' %s".formatted(chosen, versions.firstEntry().getValue().reason)));
  }

  private String first() {
    return list().stream()
        .filter(Listing::ready)
        .map(Listing::name)
        .findFirst()
        .orElseThrow(() -> new Refusal(Kind.NOT_READY, "there is no model yet"));
  }

  private static Refusal unknown(String name) {
    boolean sayable = NAME.matcher(name).matches();
    return new Refusal(
        Kind.NOT_FOUND,
        sayable ? "there is no model '%s'".formatted(name) : "there is no such model");
  }

  List<String> versions(String name) {
    return models.getOrDefault(name, new TreeMap<>(BY_NUMBER)).entrySet().stream()
        .filter(entry -> entry.getValue().model != null)
        .map(Map.Entry::getKey)
        .toList();
  }

  /** All versions of all models, by name. */
  List<Listing> list() {
    var all = new ArrayList<Listing>();
    new TreeMap<>(models)
        .forEach((name, versions) ->
            versions.forEach((version, entry) ->
                all.add(new Listing(name, version, entry.model != null, entry.reason))));
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
    for (String name : List.copyOf(models.keySet())) {
      unload(name);
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
