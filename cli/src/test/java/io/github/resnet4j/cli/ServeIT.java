package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.cli.Command.Run;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The serve command as a process: settings, SIGTERM, kill -9 under load. */
class ServeIT {
  private static final Pattern LISTENING =
      Pattern.compile("listening at http://127\\.0\\.0\\.1:(\\d+), gRPC at port (\\d+)");

  @TempDir private static Path home;
  @TempDir private Path folder;

  @BeforeAll
  static void unpack() throws IOException {
    Command.unpack(home);
  }

  private record Server(Process process, int port) {}

  private Server start(String... more) throws IOException {
    var command =
        new ArrayList<>(
            List.of("sh", "resnet4j", "serve", "--grpc-port", "0", "--access-log", "/dev/null"));
    command.addAll(List.of(more));
    Process process =
        new ProcessBuilder(command).directory(home.resolve("resnet4j").toFile()).start();
    BufferedReader lines = process.errorReader();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Matcher found = LISTENING.matcher(line);
      if (found.find()) {
        return new Server(process, Integer.parseInt(found.group(1)));
      }
    }
    throw new AssertionError("the server ended with " + process.exitValue());
  }

  private int classify(HttpClient http, int port) throws IOException, InterruptedException {
    var request =
        HttpRequest.newBuilder(URI.create("http://127.0.0.1:%d/classify".formatted(port)))
            .header("Content-Type", "image/png")
            .POST(BodyPublishers.ofFile(home.resolve("resnet4j/samples/digit-6.png")))
            .build();
    var response = http.send(request, BodyHandlers.ofString());
    assertTrue(
        response.statusCode() != 200 || response.body().contains("{\"index\":6"), response::body);
    return response.statusCode();
  }

  @Test
  void sigtermStopsServer() throws Exception {
    Server server = start("--port", "0");
    try (var http = HttpClient.newHttpClient()) {
      assertEquals(200, classify(http, server.port));
    }
    server.process.destroy();
    assertTrue(server.process.waitFor(30, TimeUnit.SECONDS));
    assertEquals(143, server.process.exitValue()); // 128 + SIGTERM
  }

  @Test
  void retryingClientsSurviveServerKill() throws Exception {
    Server first = start("--port", "0");
    int port = first.port;
    var answered = new AtomicInteger();
    Callable<Integer> client =
        () -> {
          try (var http = HttpClient.newHttpClient()) {
            for (int i = 0; i < 100; ) {
              try {
                if (classify(http, port) == 200) {
                  i++;
                  answered.incrementAndGet();
                }
              } catch (IOException _) {
                Thread.sleep(50);
              }
            }
            return 100;
          }
        };
    try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<Integer>> clients = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        clients.add(threads.submit(client));
      }
      while (answered.get() < 50) {
        Thread.sleep(10);
      }
      first.process.toHandle().descendants().forEach(ProcessHandle::destroyForcibly);
      first.process.destroyForcibly();
      first.process.waitFor();
      Server second = start("--port", String.valueOf(port));
      for (Future<Integer> each : clients) {
        assertEquals(100, each.get(2, TimeUnit.MINUTES));
      }
      second.process.destroy();
      second.process.waitFor();
    }
    assertEquals(400, answered.get());
  }

  @Test
  void settingsFromCommandLineEnvironmentAndFile() throws IOException {
    var command = new Command(home, folder);
    Path file =
        Files.writeString(
            folder.resolve("settings"), "queue-size=7\nmax-batch-size=5\nidle-timeout=9\n");
    Map<String, String> environment =
        Map.of(
            "RESNET4J_CONFIG",
            file.toString(),
            "RESNET4J_MAX_BATCH_SIZE",
            "6",
            "RESNET4J_IDLE_TIMEOUT",
            "8");
    Run run = command.run(environment, "", "serve", "--print-config", "--idle-timeout", "3");
    assertEquals(0, run.code(), run.err());
    assertTrue(run.lines().contains("queue-size=7"), run.out());
    assertTrue(run.lines().contains("max-batch-size=6"), run.out());
    assertTrue(run.lines().contains("idle-timeout=3.0"), run.out());
    Files.writeString(file, "queu=7\n");
    Run key = command.run(Map.of("RESNET4J_CONFIG", file.toString()), "", "serve");
    assertEquals(2, key.code());
    assertTrue(key.err().contains(file + ": no option is named 'queu' (did you mean queue-size?)"));
    Run absent = command.run(Map.of("RESNET4J_CONFIG", "no.file"), "", "serve");
    assertEquals(2, absent.code());
    assertTrue(absent.err().contains("RESNET4J_CONFIG: no.file: does not exist"), absent.err());
    Run wrong = command.run(Map.of("RESNET4J_PORT", "70000"), "", "serve");
    assertTrue(wrong.code() != 0 && wrong.err().contains("port"), wrong.err());
    Run token =
        command.run(
            Map.of(),
            "",
            "serve",
            "--token-file",
            Files.writeString(folder.resolve("token"), "short").toString());
    assertTrue(token.code() != 0 && token.err().contains("16 characters"), token.err());
  }

  @Test
  void emptyModelRepositoryPrintsWarning() throws Exception {
    Path empty = Files.createDirectories(folder.resolve("models"));
    Process process =
        new ProcessBuilder(
                "sh",
                "resnet4j",
                "serve",
                "--port",
                "0",
                "--grpc-port",
                "-1",
                "--model-repository",
                empty.toString())
            .directory(home.resolve("resnet4j").toFile())
            .start();
    try (BufferedReader lines = process.errorReader()) {
      String warning =
          lines.lines().filter(line -> line.contains("no model is ready")).findFirst().orElse("");
      assertTrue(warning.contains("put a checkpoint into " + empty.resolve("NAME/1")), warning);
    } finally {
      process.destroy();
      assertTrue(process.waitFor(30, TimeUnit.SECONDS));
    }
  }

  @Test
  void startupErrorsAreOneLine() throws IOException {
    var command = new Command(home, folder);
    String text = Files.writeString(folder.resolve("no.pem"), "no certificate").toString();
    Run certificate =
        command.run(Map.of(), "", "serve", "--tls-certificate", text, "--tls-key", text);
    assertEquals(1, certificate.code());
    assertEquals(1, certificate.err().lines().count(), certificate.err());
    assertTrue(certificate.err().contains("--tls-certificate"), certificate.err());
    try (var taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      String port = String.valueOf(taken.getLocalPort());
      Run http = command.run(Map.of(), "", "serve", "--port", port, "--grpc-port", "0");
      assertEquals(1, http.code(), http.err());
      assertTrue(http.err().contains("port " + port + " (--port)"), http.err());
      Run grpc = command.run(Map.of(), "", "serve", "--port", "0", "--grpc-port", port);
      assertEquals(1, grpc.code(), grpc.err());
      assertTrue(grpc.err().contains("port " + port + " (--grpc-port)"), grpc.err());
    }
  }
}
