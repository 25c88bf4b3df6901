package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import io.github.resnet4j.checkpoint.ScriptedServer.Response;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Downloads from a server that aborts transfers, sends wrong headers, redirects and rejects
 * requests.
 */
class DownloadTest {
  private static final byte[] BODY = new byte[300_000];
  private static final String SHA256;

  static {
    new SplittableRandom(1).nextBytes(BODY);
    try {
      SHA256 = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(BODY));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  @TempDir private Path folder;
  private ScriptedServer server;
  private final List<Long> progress = new ArrayList<>();

  @BeforeEach
  void start() throws IOException {
    server = new ScriptedServer();
  }

  @AfterEach
  void stop() {
    server.close();
  }

  private Path fetch(String path, String sha256) throws IOException {
    return new Download(
            Map.of(),
            (_, bytes, _) -> {
              synchronized (progress) {
                progress.add(bytes);
              }
            },
            Duration.ofSeconds(2))
        .fetch(server.url(path), folder, "w.pth", sha256);
  }

  private void assertComplete(Path file) throws IOException {
    assertArrayEquals(BODY, Files.readAllBytes(file));
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList(), "nothing else is left behind");
    }
  }

  @Test
  void fileIsDownloaded() throws IOException {
    server.on("/w", Response.ok(BODY));
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
    assertEquals(BODY.length, progress.getLast());
  }

  @Test
  void existingFileIsNotDownloaded() throws IOException {
    Files.write(folder.resolve("w.pth"), BODY);
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
    assertEquals(List.of(), server.requests());
  }

  @Test
  void interruptedTransferIsResumed() throws IOException {
    server.interrupts("/w", BODY, 200_000);
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
    assertEquals("GET /w", server.requests().getFirst());
    // Resumed where the received bytes end; the client may not have received all that were sent.
    String resumed = server.requests().get(1);
    assertTrue(resumed.matches("GET /w bytes=[1-9]\\d*-"), resumed);
  }

  @Test
  void slowProgressWithManyInterruptionsSucceeds() throws IOException {
    byte[] large = new byte[14 << 20];
    new SplittableRandom(2).nextBytes(large);
    server.interrupts("/w", large, 2 << 20);
    assertArrayEquals(large, Files.readAllBytes(fetch("/w", "")));
    assertTrue(server.requests().size() >= 7, server.requests().toString());
  }

  @Test
  void transferOfEarlierRunIsResumed() throws IOException {
    Files.write(folder.resolve("w.pth.part"), Arrays.copyOf(BODY, 250_000));
    server.on(
        "/w",
        new Response(
                "206 Partial Content",
                Arrays.copyOfRange(BODY, 250_000, BODY.length),
                BODY.length - 250_000,
                false)
            .with("Content-Range: bytes 250000-299999/300000"));
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
    assertEquals(List.of("GET /w bytes=250000-"), server.requests());
  }

  @Test
  void serverWithoutRangesRestartsTransfer() throws IOException {
    Files.write(folder.resolve("w.pth.part"), new byte[1000]);
    server.on("/w", Response.ok(BODY));
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
  }

  @Test
  void wrongContentRangeIsRejected() throws IOException {
    Files.write(folder.resolve("w.pth.part"), new byte[1000]);
    server.on(
        "/w",
        new Response("206 Partial Content", new byte[10], 10, false)
            .with("Content-Range: bytes 5-14/300000"),
        Response.ok(BODY));
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
  }

  @Test
  void tooLongPartialFileRestartsTransfer() throws IOException {
    Files.write(folder.resolve("w.pth.part"), new byte[400_000]);
    server.on("/w", Response.status("416 Range Not Satisfiable"), Response.ok(BODY));
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
  }

  @Test
  void repeatedInterruptionsFailAndKeepPartialFile() {
    server.on("/w", Response.ok(Arrays.copyOf(BODY, 5000)).withContentLength(BODY.length));
    var error = assertThrows(IOException.class, () -> fetch("/w", SHA256.substring(0, 8)));
    assertTrue(error.getMessage().contains(server.url("/w").toString()), error.getMessage());
    assertTrue(error.getMessage().contains(folder.toString()), error.getMessage());
    assertTrue(Files.exists(folder.resolve("w.pth.part")));
    assertFalse(Files.exists(folder.resolve("w.pth")));
  }

  @Test
  void stalledTransferFails() throws IOException {
    server.on("/w", Response.ok(Arrays.copyOf(BODY, 5000)).hanging(), Response.ok(BODY));
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
  }

  @Test
  void wrongChecksumDeletesTheFile() throws IOException {
    server.on("/w", Response.ok(BODY));
    var error = assertThrows(IOException.class, () -> fetch("/w", "deadbeef"));
    assertTrue(
        error
            .getMessage()
            .contains("starts with " + SHA256.substring(0, 8) + ", expected deadbeef"),
        error.getMessage());
    try (var files = Files.list(folder)) {
      assertEquals(List.of(), files.toList());
    }
  }

  @Test
  void redirectIsFollowed() throws IOException {
    server.on("/old", Response.status("302 Found").with("Location: /w"));
    server.on("/w", Response.ok(BODY));
    assertComplete(fetch("/old", SHA256.substring(0, 8)));
  }

  @Test
  void redirectLoopIsRejected() {
    server.on("/w", Response.status("302 Found").with("Location: /w"));
    assertThrows(IOException.class, () -> fetch("/w", ""));
  }

  @Test
  void missingFileFailsWithoutRetry() {
    assertThrows(FileNotFoundException.class, () -> fetch("/none", ""));
    assertEquals(1, server.requests().size());
    assertFalse(Files.exists(folder.resolve("w.pth.part")));
  }

  @Test
  void serverErrorIsRetried() throws IOException {
    server.on(
        "/w",
        Response.status("500 Internal Server Error"),
        Response.status("503 Service Unavailable"),
        Response.ok(BODY));
    assertComplete(fetch("/w", SHA256.substring(0, 8)));
    server.on("/never", Response.status("500 Internal Server Error"));
    var error =
        assertThrows(
            IOException.class,
            () ->
                new Download(Map.of(), (_, _, _) -> {}, Duration.ofSeconds(2))
                    .fetch(server.url("/never"), folder, "x.pth", ""));
    assertTrue(
        error.getMessage().contains("the server responded with status 500"), error.getMessage());
  }

  @Test
  void clientErrorIsNotRetried() {
    server.on("/w", Response.status("403 Forbidden"));
    var error = assertThrows(IOException.class, () -> fetch("/w", ""));
    assertTrue(
        error.getMessage().contains("the server responded with status 403"), error.getMessage());
    assertEquals(1, server.requests().size());
  }

  @Test
  void offlineErrorNamesUrlAndFolder() {
    server.close();
    var error = assertThrows(IOException.class, () -> fetch("/w.pth", ""));
    assertTrue(error.getMessage().contains("cannot download " + server.url("/w.pth")));
    assertTrue(error.getMessage().contains("put the file into " + folder), error.getMessage());
  }

  @Test
  void concurrentDownloadsFetchOnce() throws Exception {
    server.on("/w", Response.ok(BODY));
    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      Callable<Path> task = () -> fetch("/w", SHA256.substring(0, 8));
      for (Future<Path> future : threads.invokeAll(List.of(task, task, task, task))) {
        future.get();
      }
    }
    assertComplete(folder.resolve("w.pth"));
    assertEquals(1, server.requests().size());
  }

  @Test
  void proxyOfEnvironmentIsUsed() throws IOException {
    server.on("/hidden.pth", Response.ok(BODY));
    var environment = Map.of("http_proxy", "127.0.0.1:" + server.port(), "NO_PROXY", "example.org");
    var download = new Download(environment, (_, _, _) -> {}, Duration.ofSeconds(2));
    Path file =
        download.fetch(URI.create("http://weights.invalid/hidden.pth"), folder, "w.pth", "");
    assertComplete(file);
    assertEquals(List.of("GET http://weights.invalid/hidden.pth"), server.requests());
    // An exempt host is contacted directly; it does not exist.
    assertThrows(
        IOException.class,
        () -> download.fetch(URI.create("http://no.example.org:1/x"), folder, "x.pth", ""));
    assertEquals(1, server.requests().size());
  }

  @Test
  void huggingFaceCacheLayoutMatchesItsLibrary() throws IOException {
    String commit = "a".repeat(40);
    byte[] weights = Files.readAllBytes(Golden.path("checkpoints/hugging-face/model.safetensors"));
    server.on(
        "/owner/net/resolve/main/config.json",
        Response.ok("{\"model_type\": \"resnet\"}".getBytes()).with("X-Repo-Commit: " + commit));
    server.on("/owner/net/resolve/" + commit + "/model.safetensors", Response.ok(weights));
    var environment =
        Map.of("HF_HOME", folder.toString(), "HF_ENDPOINT", server.url("").toString());
    var download = new Download(Map.of(), (_, _, _) -> {}, Duration.ofSeconds(2));
    var hub = new HuggingFaceHub(environment, download);

    var snapshot = hub.snapshot("owner/net");

    Path expected =
        folder.resolve("hub/models--owner--net/snapshots/" + commit + "/model.safetensors");
    assertEquals(expected, snapshot.weights());
    assertArrayEquals(weights, Files.readAllBytes(expected));
    assertTrue(snapshot.config().isPresent());
    assertTrue(snapshot.preprocessor().isEmpty());
    int requests = server.requests().size();
    assertEquals(snapshot, hub.snapshot("owner/net"), "the second time from the cache");
    assertEquals(requests, server.requests().size());

    for (String name : List.of("net", "../../etc", "a/b/c", "owner/..", "/x")) {
      assertThrows(IllegalArgumentException.class, () -> hub.snapshot(name), name);
    }
    var missing = assertThrows(IOException.class, () -> hub.snapshot("owner/none"));
    assertTrue(missing.getMessage().contains("there is no repository owner/none"));
  }

  @Test
  void allShardsAreDownloaded() throws IOException {
    String commit = "c".repeat(40);
    server.on(
        "/owner/net/resolve/main/config.json",
        Response.ok("{}".getBytes()).with("X-Repo-Commit: " + commit));
    try (var files = Files.list(Golden.path("checkpoints/sharded"))) {
      for (Path file : files.toList()) {
        server.on(
            "/owner/net/resolve/" + commit + "/" + file.getFileName(),
            Response.ok(Files.readAllBytes(file)));
      }
    }
    var environment =
        Map.of("HF_HOME", folder.toString(), "HF_ENDPOINT", server.url("").toString());
    var download = new Download(Map.of(), (_, _, _) -> {}, Duration.ofSeconds(2));
    Path weights = new HuggingFaceHub(environment, download).snapshot("owner/net").weights();
    assertEquals("model.safetensors.index.json", weights.getFileName().toString());
    try (var checkpoint = Checkpoint.open(weights)) {
      assertTrue(checkpoint.torchvisionTensors().containsKey("fc.weight"));
    }
  }

  @Test
  void commitWithPathIsRejected() {
    server.on(
        "/owner/net/resolve/main/config.json",
        Response.ok("{}".getBytes()).with("X-Repo-Commit: ../../../evil"));
    var environment =
        Map.of("HF_HOME", folder.toString(), "HF_ENDPOINT", server.url("").toString());
    var hub =
        new HuggingFaceHub(
            environment, new Download(Map.of(), (_, _, _) -> {}, Duration.ofSeconds(2)));
    var error = assertThrows(IOException.class, () -> hub.snapshot("owner/net"));
    assertTrue(error.getMessage().contains("is not a commit"), error.getMessage());
  }

  @Test
  void cacheFoldersMatchPytorchAndHuggingFace() {
    assertEquals(Path.of("/t/hub/checkpoints"), TorchHub.folder(Map.of("TORCH_HOME", "/t")));
    assertEquals(
        Path.of("/c/torch/hub/checkpoints"), TorchHub.folder(Map.of("XDG_CACHE_HOME", "/c")));
    assertEquals(
        Path.of(System.getProperty("user.home"), ".cache/torch/hub/checkpoints"),
        TorchHub.folder(Map.of()));
    assertEquals(Path.of("/h/hub"), HuggingFaceHub.cacheFolder(Map.of("HF_HOME", "/h")));
    assertEquals(Path.of("/x"), HuggingFaceHub.cacheFolder(Map.of("HF_HUB_CACHE", "/x")));
  }
}
