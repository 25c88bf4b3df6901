package io.github.resnet4j.checkpoint;

import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Uploads files to a repository on Hugging Face in one commit, with the calls of {@code
 * huggingface_hub}: create the repository, ask which files are large, upload those to the storage
 * of Git LFS, commit.
 */
public final class HubUpload {
  private static final int SAMPLE = 512;
  private static final String LFS = "application/vnd.git-lfs+json";
  private static final Duration TIMEOUT = Duration.ofSeconds(60);
  private static final Duration UPLOAD_TIMEOUT = Duration.ofHours(1);

  private final Map<String, String> environment;
  private final String endpoint;
  private final String token;
  private final HttpClient client;

  /**
   * @param environment {@code HF_TOKEN} and the other variables of {@link HuggingFaceHub}, usually
   *     {@link System#getenv()}
   * @throws IOException if there is no token
   */
  public HubUpload(Map<String, String> environment) throws IOException {
    if (HuggingFaceHub.isOffline(environment)) {
      throw new IOException("HF_HUB_OFFLINE forbids uploads");
    }
    this.environment = Map.copyOf(environment);
    this.endpoint = HuggingFaceHub.endpoint(environment);
    this.token =
        HuggingFaceHub.token(environment)
            .orElseThrow(() ->
                new IOException(
                    "an upload needs a token with write access: set HF_TOKEN, or run 'hf auth"
                        + " login'"));
    this.client =
        HttpAccess.client(environment)
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(TIMEOUT)
            .build();
  }

  /**
   * Creates the repository if it does not exist, and commits files to its branch {@code main}.
   *
   * @param repository {@code owner/name}
   * @param files the files by their paths in the repository
   * @param isPrivate whether a new repository is private
   * @return the address of the commit
   * @throws IllegalArgumentException if that is not the name of a repository
   * @throws IOException naming the call that failed, and the answer
   */
  public String push(
      String repository, SequencedMap<String, Path> files, String message, boolean isPrivate)
      throws IOException, InterruptedException {
    if (!HuggingFaceHub.isRepository(repository)) {
      throw new IllegalArgumentException(
          "'%s' is not the name of a repository; write owner/name".formatted(repository));
    }
    create(repository, isPrivate);
    Set<String> large = largeFiles(repository, files);
    var oids = new LinkedHashMap<String, String>();
    for (Map.Entry<String, Path> file : files.entrySet()) {
      if (large.contains(file.getKey())) {
        oids.put(file.getKey(), Download.sha256(file.getValue()));
      }
    }
    uploadLarge(repository, files, oids);
    return commit(repository, files, oids, message);
  }

  private void create(String repository, boolean isPrivate)
      throws IOException, InterruptedException {
    String[] words = repository.split("/");
    var body =
        Map.of("organization", words[0], "name", words[1], "type", "model", "private", isPrivate);
    HttpResponse<String> response =
        send(call("/api/repos/create", JSON.std.asString(body), "application/json"));
    if (response.statusCode() != 409) { // it exists
      require(response);
    }
  }

  /** The files that the server wants in Git LFS. */
  private Set<String> largeFiles(String repository, Map<String, Path> files)
      throws IOException, InterruptedException {
    var described = new ArrayList<Map<String, Object>>();
    for (Map.Entry<String, Path> file : files.entrySet()) {
      byte[] sample;
      try (InputStream in = Files.newInputStream(file.getValue())) {
        sample = in.readNBytes(SAMPLE);
      }
      described.add(
          Map.of(
              "path",
              file.getKey(),
              "sample",
              Base64.getEncoder().encodeToString(sample),
              "size",
              Files.size(file.getValue())));
    }
    Map<String, Object> answer =
        json(
            call(
                "/api/models/%s/preupload/main".formatted(repository),
                JSON.std.asString(Map.of("files", described)),
                "application/json"));
    var large = new HashSet<String>();
    for (Map<?, ?> file : maps(answer.get("files"))) {
      if ("lfs".equals(file.get("uploadMode")) && files.containsKey(file.get("path"))) {
        large.add(String.valueOf(file.get("path")));
      }
    }
    return large;
  }

  private void uploadLarge(String repository, Map<String, Path> files, Map<String, String> oids)
      throws IOException, InterruptedException {
    if (oids.isEmpty()) {
      return;
    }
    var objects = new ArrayList<Map<String, Object>>();
    var byOid = new LinkedHashMap<String, Path>();
    for (Map.Entry<String, String> each : oids.entrySet()) {
      Path file = files.get(each.getKey());
      byOid.put(each.getValue(), file);
      objects.add(Map.of("oid", each.getValue(), "size", Files.size(file)));
    }
    Map<String, Object> request =
        Map.of(
            "operation",
            "upload",
            "transfers",
            List.of("basic"),
            "objects",
            objects,
            "hash_algo",
            "sha256");
    Map<String, Object> answer =
        json(
            call(
                "/%s.git/info/lfs/objects/batch".formatted(repository),
                JSON.std.asString(request),
                LFS));
    for (Map<?, ?> object : maps(answer.get("objects"))) {
      Path file = byOid.get(String.valueOf(object.get("oid")));
      if (object.get("error") != null || file == null) {
        throw new IOException(repository + ": the upload is refused: " + object.get("error"));
      }
      if (object.get("actions") instanceof Map<?, ?> actions) { // else it is there already
        upload(String.valueOf(object.get("oid")), file, actions);
      }
    }
  }

  private void upload(String oid, Path file, Map<?, ?> actions)
      throws IOException, InterruptedException {
    URI url = address(actions.get("upload"));
    // The address itself permits the upload: the token is not for the storage.
    var request =
        HttpRequest.newBuilder(url).timeout(UPLOAD_TIMEOUT).PUT(BodyPublishers.ofFile(file));
    require(send(request));
    if (actions.get("verify") != null) {
      URI verify = address(actions.get("verify"));
      String body = JSON.std.asString(Map.of("oid", oid, "size", Files.size(file)));
      require(send(call(verify, BodyPublishers.ofString(body), LFS)));
    }
  }

  private static URI address(@Nullable Object action) throws IOException {
    if (action instanceof Map<?, ?> fields && fields.get("href") instanceof String url) {
      return URI.create(url);
    }
    throw new IOException("the server's answer names no address for an upload");
  }

  /** Commits all files; the body has one JSON object per line. */
  private String commit(
      String repository, Map<String, Path> files, Map<String, String> oids, String message)
      throws IOException, InterruptedException {
    var lines = new StringBuilder();
    add(lines, "header", Map.of("summary", message, "description", ""));
    for (Map.Entry<String, Path> file : files.entrySet()) {
      String name = file.getKey();
      String oid = oids.get(name);
      if (oid != null) {
        add(
            lines,
            "lfsFile",
            Map.of(
                "path", name, "algo", "sha256", "oid", oid, "size", Files.size(file.getValue())));
      } else {
        String content = Base64.getEncoder().encodeToString(Files.readAllBytes(file.getValue()));
        add(lines, "file", Map.of("path", name, "encoding", "base64", "content", content));
      }
    }
    Map<String, Object> answer =
        json(
            call(
                "/api/models/%s/commit/main".formatted(repository),
                lines.toString(),
                "application/x-ndjson"));
    return Optional.ofNullable(answer.get("commitUrl"))
        .map(String::valueOf)
        .orElse(endpoint + "/" + repository);
  }

  private static void add(StringBuilder lines, String key, Map<String, Object> value)
      throws IOException {
    lines.append(JSON.std.asString(Map.of("key", key, "value", value))).append('\n');
  }

  private HttpRequest.Builder call(String path, String body, String type) {
    return call(URI.create(endpoint + path), BodyPublishers.ofString(body), type);
  }

  private HttpRequest.Builder call(URI url, BodyPublisher body, String type) {
    var request = HttpRequest.newBuilder(url).timeout(TIMEOUT).POST(body);
    request.header("Content-Type", type).header("Accept", type.equals(LFS) ? LFS : "*/*");
    if (HuggingFaceHub.isServer(url, environment)) {
      request.header("Authorization", "Bearer " + token);
    }
    return request;
  }

  private Map<String, Object> json(HttpRequest.Builder request)
      throws IOException, InterruptedException {
    return JSON.std.mapFrom(require(send(request)).body());
  }

  private HttpResponse<String> require(HttpResponse<String> response) throws IOException {
    int status = response.statusCode();
    if (status == 401 || status == 403) {
      throw new IOException(
          "%s: status %d: the token has no write access there".formatted(response.uri(), status));
    }
    if (status / 100 != 2) {
      String body = response.headers().firstValue("X-Error-Message").orElse(response.body());
      throw new IOException(
          "%s: status %d: %s"
              .formatted(response.uri(), status, body.substring(0, Math.min(body.length(), 300))));
    }
    return response;
  }

  private HttpResponse<String> send(HttpRequest.Builder request)
      throws IOException, InterruptedException {
    HttpRequest built = request.build();
    return HttpAccess.send(client, built, built.uri().toString());
  }

  private static List<Map<?, ?>> maps(@Nullable Object value) throws IOException {
    if (value instanceof List<?> list && list.stream().allMatch(Map.class::isInstance)) {
      var maps = new ArrayList<Map<?, ?>>();
      list.forEach(each -> maps.add((Map<?, ?>) each));
      return maps;
    }
    throw new IOException("the server's answer is not understood: " + value);
  }
}
