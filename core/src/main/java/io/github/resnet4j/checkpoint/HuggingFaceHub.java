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

  private static final Pattern REVISION = Pattern.compile("(?!.*\\.\\.)[A-Za-z0-9][\\w./-]{0,99}");

  private static final String SERVER = "https://huggingface.co";

  private final Path cache;
  private final String endpoint;
  private final boolean isOffline;
  private final Download download;

  /**
   * @param environment {@code HF_HUB_CACHE}, {@code HF_HOME}, {@code HF_ENDPOINT} and {@code
   *     HF_HUB_OFFLINE} are used, usually {@link System#getenv()}; the token is sent by the
   *     download
   */
  public HuggingFaceHub(Map<String, String> environment, Download download) {
    this.cache = cacheFolder(environment);
    this.endpoint = endpoint(environment);
    this.isOffline = isOffline(environment);
    this.download = download;
  }

  /** Whether {@code $HF_HUB_OFFLINE} forbids connections. */
  static boolean isOffline(Map<String, String> environment) {
    return environment.getOrDefault("HF_HUB_OFFLINE", "").matches("(?i)1|on|yes|true");
  }

  /** {@code $HF_ENDPOINT}, or Hugging Face itself. */
  static String endpoint(Map<String, String> environment) {
    String endpoint = environment.getOrDefault("HF_ENDPOINT", "");
    return endpoint.isBlank() ? SERVER : endpoint.replaceAll("/+$", "");
  }

  /** Whether an address is on the server of Hugging Face, to which the token may be sent. */
  static boolean isServer(URI url, Map<String, String> environment) {
    URI server = URI.create(endpoint(environment));
    return server.getScheme().equals(url.getScheme())
        && String.valueOf(server.getRawAuthority())
            .equalsIgnoreCase(String.valueOf(url.getRawAuthority()));
  }

  /**
   * The token: {@code $HF_TOKEN}, or that of the file which {@code hf auth login} writes: {@code
   * $HF_TOKEN_PATH}, {@code $HF_HOME/token}, or {@code ~/.cache/huggingface/token}.
   */
  static Optional<String> token(Map<String, String> environment) throws IOException {
    String token = environment.getOrDefault("HF_TOKEN", "").strip();
    if (token.isEmpty()) {
      String path = environment.getOrDefault("HF_TOKEN_PATH", "");
      Path file = path.isBlank() ? home(environment).resolve("token") : Path.of(path);
      token = Files.isRegularFile(file) ? Files.readString(file).strip() : "";
    }
    if (!token.matches("[!-~]*")) { // it becomes a header
      throw new IOException("the token of Hugging Face contains characters that no token has");
    }
    return token.isEmpty() ? Optional.empty() : Optional.of(token);
  }

  /** The message for a response that asks for a token, or for another one. */
  static String refusal(String code, URI url, Map<String, String> environment) throws IOException {
    String[] words = url.getPath().split("/");
    String repository = words.length > 2 ? words[1] + "/" + words[2] : url.getPath();
    boolean hasToken = token(environment).isPresent();
    return switch (code) {
      case "GatedRepo" ->
          "%s is a gated repository: accept its conditions at %s/%s, and %s"
              .formatted(
                  repository,
                  endpoint(environment),
                  repository,
                  hasToken
                      ? "wait for the approval, or use a token of the account that has it"
                      : "set HF_TOKEN to a token of your account");
      case "RepoNotFound" ->
          "there is no repository %s at %s, or it is private: %s"
              .formatted(
                  repository,
                  endpoint(environment),
                  hasToken ? "the token does not give access to it" : "then set HF_TOKEN");
      default ->
          "%s: access is denied; %s"
              .formatted(
                  url, hasToken ? "the token is not valid for it" : "set HF_TOKEN to a token");
    };
  }

  private static Path home(Map<String, String> environment) {
    String home = environment.getOrDefault("HF_HOME", "");
    return home.isBlank() ? TorchHub.userCache(environment).resolve("huggingface") : Path.of(home);
  }

  /** {@code $HF_HUB_CACHE}, {@code $HF_HOME/hub}, or {@code ~/.cache/huggingface/hub}. */
  public static Path cacheFolder(Map<String, String> environment) {
    String hub = environment.getOrDefault("HF_HUB_CACHE", "");
    if (!hub.isBlank()) {
      return Path.of(hub);
    }
    return home(environment).resolve("hub");
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
   * @param name {@code owner/name}, or {@code owner/name@revision} with a branch, tag or commit
   * @throws IllegalArgumentException if that is not the name of a repository
   * @throws IOException naming the URL and the folder, if the download fails
   */
  public Snapshot snapshot(String name) throws IOException {
    int at = name.indexOf('@');
    String repository = at < 0 ? name : name.substring(0, at);
    String revision = at < 0 ? "main" : name.substring(at + 1);
    if (!isRepository(repository) || !REVISION.matcher(revision).matches()) {
      throw new IllegalArgumentException(
          "'%s' is not a repository; write hf:owner/name or hf:owner/name@revision"
              .formatted(name));
    }
    Path folder = cache.resolve("models--" + repository.replace("/", "--"));
    boolean isCommit = revision.matches("[0-9a-f]{40}");
    Path reference = folder.resolve("refs").resolve(revision);
    if (isCommit || Files.exists(reference)) {
      String commit = isCommit ? revision : Files.readString(reference).strip();
      Path snapshot = snapshotFolder(folder, commit);
      Optional<Path> weights = weightsIn(snapshot);
      if (weights.isPresent()) {
        return describe(snapshot, weights.get());
      }
    }
    if (isOffline) {
      throw new IOException(
          "%s is not in the cache %s, and HF_HUB_OFFLINE forbids downloads"
              .formatted(name, folder));
    }
    return fetch(repository, revision, folder, reference);
  }

  /** Whether this is {@code owner/name}. */
  static boolean isRepository(String name) {
    return REPOSITORY.matcher(name).matches();
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

  private Snapshot fetch(String repository, String revision, Path folder, Path reference)
      throws IOException {
    String revisions = endpoint + "/" + repository + "/resolve/";
    String first = revisions + revision.replace("/", "%2F") + "/";
    Download.SmallFile config = config(repository, first, folder);
    String commit =
        config
            .header()
            .orElseThrow(() -> new IOException(first + ": the server does not name the commit"));
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
        Files.createDirectories(reference.getParent());
        AtomicFile.write(reference, out -> out.write(commit.getBytes(StandardCharsets.US_ASCII)));
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
