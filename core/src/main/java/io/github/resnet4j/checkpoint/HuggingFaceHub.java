package io.github.resnet4j.checkpoint;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Repositories on Hugging Face, in the cache of {@code huggingface_hub}: {@code
 * models--owner--name/snapshots/<commit>/}. Cached files are not downloaded again.
 */
public final class HuggingFaceHub {
  private static final Pattern REPOSITORY =
      Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}");

  /** The names of weight files, the safest format first. */
  private static final List<String> WEIGHTS =
      List.of("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin");

  /** Small files that describe the weights. */
  private static final String CONFIG = "config.json";

  private static final String PREPROCESSOR = "preprocessor_config.json";

  private final Path cache;
  private final String endpoint;
  private final Download download;

  /**
   * @param environment {@code HF_HUB_CACHE}, {@code HF_HOME} and {@code HF_ENDPOINT} are used,
   *     usually {@link System#getenv()}
   */
  public HuggingFaceHub(Map<String, String> environment, Download download) {
    this.cache = cacheFolder(environment);
    this.endpoint = environment.getOrDefault("HF_ENDPOINT", "https://huggingface.co");
    this.download = download;
  }

  /** {@code $HF_HUB_CACHE}, {@code $HF_HOME/hub}, or {@code ~/.cache/huggingface/hub}. */
  public static Path cacheFolder(Map<String, String> environment) {
    String hub = environment.getOrDefault("HF_HUB_CACHE", "");
    if (!hub.isBlank()) {
      return Path.of(hub);
    }
    String home = environment.getOrDefault("HF_HOME", "");
    Path root =
        home.isBlank() ? TorchHub.userCache(environment).resolve("huggingface") : Path.of(home);
    return root.resolve("hub");
  }

  /**
   * A repository's files on this machine.
   *
   * @param config {@code config.json}, if the repository has one
   * @param preprocessor {@code preprocessor_config.json}, if the repository has one
   */
  public record Snapshot(Path weights, Optional<Path> config, Optional<Path> preprocessor) {}

  /**
   * Returns the repository's weights and their description, from the cache or downloaded into it.
   *
   * @param repository {@code owner/name}
   * @throws IllegalArgumentException if that is not the name of a repository
   * @throws IOException naming the URL and the folder, if the download fails
   */
  public Snapshot snapshot(String repository) throws IOException {
    if (!REPOSITORY.matcher(repository).matches()) {
      throw new IllegalArgumentException(
          "'%s' is not a repository; write hf:owner/name".formatted(repository));
    }
    Path folder = cache.resolve("models--" + repository.replace("/", "--"));
    Path main = folder.resolve("refs").resolve("main");
    if (Files.exists(main)) {
      Path snapshot = snapshotFolder(folder, Files.readString(main).strip());
      Optional<Path> weights = weightsIn(snapshot);
      if (weights.isPresent()) {
        return describe(snapshot, weights.get());
      }
    }
    return fetch(repository, folder, main);
  }

  private static Path snapshotFolder(Path folder, String commit) throws IOException {
    if (!commit.matches("[0-9a-f]{7,64}")) {
      throw new IOException(folder + ": '" + commit + "' is not a commit");
    }
    return folder.resolve("snapshots").resolve(commit);
  }

  private static Optional<Path> weightsIn(Path snapshot) {
    return WEIGHTS.stream().map(snapshot::resolve).filter(Files::exists).findFirst();
  }

  private static Snapshot describe(Path snapshot, Path weights) {
    return new Snapshot(
        weights,
        Optional.of(snapshot.resolve(CONFIG)).filter(Files::exists),
        Optional.of(snapshot.resolve(PREPROCESSOR)).filter(Files::exists));
  }

  private Snapshot fetch(String repository, Path folder, Path main) throws IOException {
    String revisions = endpoint + "/" + repository + "/resolve/";
    Download.SmallFile config = config(repository, revisions + "main/", folder);
    String commit =
        config
            .header()
            .orElseThrow(
                () -> new IOException(revisions + "main: the server does not name the commit"));
    String base = revisions + commit + "/";
    Path snapshot = Files.createDirectories(snapshotFolder(folder, commit));
    AtomicFile.write(
        snapshot.resolve(CONFIG), out -> out.write(config.text().getBytes(StandardCharsets.UTF_8)));
    fetchIfThere(base, snapshot, PREPROCESSOR);
    for (String name : WEIGHTS) {
      if (fetchIfThere(base, snapshot, name)) {
        if (name.endsWith(".index.json")) {
          for (String shard : shards(snapshot.resolve(name))) {
            download.fetch(URI.create(base + shard), snapshot, shard, "");
          }
        }
        Files.createDirectories(main.getParent());
        AtomicFile.write(main, out -> out.write(commit.getBytes(StandardCharsets.US_ASCII)));
        return describe(snapshot, snapshot.resolve(name));
      }
    }
    throw new IOException("%s has none of %s".formatted(base, String.join(", ", WEIGHTS)));
  }

  /** The first request; its response names the commit for all others. */
  private Download.SmallFile config(String repository, String base, Path folder)
      throws IOException {
    try {
      return download.fetchText(URI.create(base + CONFIG), "X-Repo-Commit");
    } catch (FileNotFoundException e) {
      throw new IOException(
          "there is no repository %s with a config.json at %s".formatted(repository, endpoint), e);
    } catch (IOException e) {
      throw new IOException(
          "%s%nto avoid the download, put the files into %s"
              .formatted(e.getMessage(), folder.resolve("snapshots")),
          e);
    }
  }

  private boolean fetchIfThere(String base, Path snapshot, String name) throws IOException {
    try {
      download.fetch(URI.create(base + name), snapshot, name, "");
      return true;
    } catch (FileNotFoundException _) {
      return false;
    }
  }

  private static Set<String> shards(Path index) throws IOException {
    try (var arena = Arena.ofConfined()) {
      return new LinkedHashSet<>(
          Safetensors.weightMap(Checkpoint.map(index, arena), Budget.forFile()).values());
    } catch (Malformed e) {
      throw new CheckpointException(index, e.reason(), e);
    }
  }
}
