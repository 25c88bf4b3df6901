package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import io.github.resnet4j.Golden;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Tokens, revisions and uploads, against a server with the protocol of Hugging Face; tools/parity
 * runs huggingface_hub against such a server.
 */
class HubAccessTest {
  private static final String COMMIT = "a".repeat(40);

  @TempDir private Path folder;
  private HttpServer hub;
  private HttpServer storage;
  private final List<String> requests = Collections.synchronizedList(new ArrayList<>());
  private final Map<String, byte[]> stored = Collections.synchronizedMap(new HashMap<>());
  private volatile String committed = "";
  private volatile boolean exists;

  @BeforeEach
  void start() throws IOException {
    hub = server(this::answer);
    storage = server(this::store);
  }

  private static HttpServer server(com.sun.net.httpserver.HttpHandler handler) throws IOException {
    var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext("/", handler);
    server.start();
    return server;
  }

  @AfterEach
  void stop() {
    hub.stop(0);
    storage.stop(0);
  }

  private static String url(HttpServer server) {
    return "http://127.0.0.1:" + server.getAddress().getPort();
  }

  private static String authorization(HttpExchange exchange) {
    return String.valueOf(exchange.getRequestHeaders().getFirst("Authorization"));
  }

  private void answer(HttpExchange exchange) throws IOException {
    byte[] body = exchange.getRequestBody().readAllBytes();
    String path = exchange.getRequestURI().getRawPath();
    requests.add(exchange.getRequestMethod() + " " + path + " " + authorization(exchange));
    String answer = "{}";
    int status = 200;
    if (path.startsWith("/owner/gated/")) {
      exchange.getResponseHeaders().add("X-Error-Code", "GatedRepo");
      status = authorization(exchange).equals("Bearer good") ? 404 : 401;
    } else if (path.startsWith("/owner/none/")) {
      exchange.getResponseHeaders().add("X-Error-Code", "RepoNotFound");
      status = 401;
    } else if (path.startsWith("/owner/net/resolve/")) {
      exchange.getResponseHeaders().add("X-Repo-Commit", COMMIT);
      if (path.endsWith("model.safetensors")) {
        exchange.getResponseHeaders().add("Location", url(storage) + "/model");
        status = 302;
      } else if (!path.endsWith("/config.json")) {
        status = 404;
      }
    } else if (path.endsWith("/create")) {
      status = exists ? 409 : 200;
    } else if (path.endsWith("/preupload/main")) {
      answer =
          "{\"files\": [{\"path\": \"README.md\", \"uploadMode\": \"regular\"},"
              + "{\"path\": \"model.safetensors\", \"uploadMode\": \"lfs\"}]}";
    } else if (path.endsWith("/objects/batch")) {
      Map<String, Object> request = JSON.std.mapFrom(new String(body, StandardCharsets.UTF_8));
      var object = (Map<?, ?>) ((List<?>) request.get("objects")).getFirst();
      answer =
          JSON.std.asString(
              Map.of(
                  "transfer",
                  "basic",
                  "objects",
                  List.of(
                      Map.of(
                          "oid",
                          object.get("oid"),
                          "size",
                          object.get("size"),
                          "actions",
                          Map.of(
                              "upload",
                              Map.of("href", url(storage) + "/" + object.get("oid")),
                              "verify",
                              Map.of("href", url(hub) + "/verify"))))));
    } else if (path.endsWith("/commit/main")) {
      committed = new String(body, StandardCharsets.UTF_8);
      answer = "{\"commitUrl\": \"https://hub/commit/1\", \"commitOid\": \"" + COMMIT + "\"}";
    }
    send(exchange, status, answer.getBytes(StandardCharsets.UTF_8));
  }

  /** Another host, which must not receive the token. */
  private void store(HttpExchange exchange) throws IOException {
    requests.add("storage " + exchange.getRequestMethod() + " " + authorization(exchange));
    if (exchange.getRequestMethod().equals("PUT")) {
      stored.put(
          exchange.getRequestURI().getPath().substring(1),
          exchange.getRequestBody().readAllBytes());
      send(exchange, 200, new byte[0]);
    } else {
      Path file = Golden.path("checkpoints/hugging-face/model.safetensors");
      send(exchange, 200, Files.readAllBytes(file));
    }
  }

  private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
    exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
    if (body.length > 0) {
      exchange.getResponseBody().write(body);
    }
    exchange.close();
  }

  private Map<String, String> environment(String... more) {
    var all = new HashMap<>(Map.of("HF_ENDPOINT", url(hub), "HF_HOME", folder.toString()));
    for (int i = 0; i < more.length; i += 2) {
      all.put(more[i], more[i + 1]);
    }
    return all;
  }

  private static HuggingFaceHub hub(Map<String, String> environment) {
    return new HuggingFaceHub(
        environment, new Download(environment, (_, _, _) -> {}, Duration.ofSeconds(5)));
  }

  @Test
  void tokenIsSentToTheHubOnly() throws IOException {
    Files.writeString(folder.resolve("token"), "good\n");
    hub(environment()).snapshot("owner/net");
    assertTrue(requests.contains("GET /owner/net/resolve/main/config.json Bearer good"));
    assertTrue(requests.contains("storage GET null"), requests.toString());
    assertTrue(
        requests.stream()
            .filter(each -> each.startsWith("storage"))
            .noneMatch(each -> each.contains("good")));
  }

  @Test
  void gatedAndMissingRepositoriesAreExplained() {
    var e = assertThrows(IOException.class, () -> hub(environment()).snapshot("owner/gated"));
    assertTrue(
        e.getMessage()
            .startsWith(
                "owner/gated is a gated repository: accept its conditions at %s/owner/gated, and set"
                    .formatted(url(hub))),
        e.getMessage());
    e =
        assertThrows(
            IOException.class, () -> hub(environment("HF_TOKEN", "bad")).snapshot("owner/gated"));
    assertTrue(e.getMessage().contains("use a token of the account that has it"), e.getMessage());
    e = assertThrows(IOException.class, () -> hub(environment()).snapshot("owner/none"));
    assertTrue(e.getMessage().contains("or it is private: then set HF_TOKEN"), e.getMessage());
  }

  @Test
  void revisionsHaveTheirOwnReferencesAndOfflineUsesTheCache() throws IOException {
    var offline = environment("HF_HUB_OFFLINE", "1");
    var e = assertThrows(IOException.class, () -> hub(offline).snapshot("owner/net@v1.0"));
    assertTrue(e.getMessage().contains("HF_HUB_OFFLINE forbids"), e.getMessage());
    assertEquals(List.of(), requests);
    var snapshot = hub(environment()).snapshot("owner/net@refs/pr/1");
    assertTrue(requests.getFirst().startsWith("GET /owner/net/resolve/refs%2Fpr%2F1/config.json"));
    Path cached = folder.resolve("hub/models--owner--net");
    assertEquals(COMMIT, Files.readString(cached.resolve("refs/refs/pr/1")));
    assertEquals(snapshot, hub(offline).snapshot("owner/net@refs/pr/1"));
    assertEquals(snapshot, hub(offline).snapshot("owner/net@" + COMMIT));
    for (String name : List.of("owner/net@", "owner/net@../x", "owner/net@/etc")) {
      assertThrows(IllegalArgumentException.class, () -> hub(offline).snapshot(name), name);
    }
  }

  @Test
  void filesAreCommittedAndLargeOnesStored() throws IOException, InterruptedException {
    Path card = Files.writeString(folder.resolve("README.md"), "---\nlicense: mit\n---\n");
    byte[] weights = new byte[100_000];
    weights[7] = 9;
    Path model = Files.write(folder.resolve("model.safetensors"), weights);
    var files = new LinkedHashMap<>(Map.of("README.md", card, "model.safetensors", model));
    for (boolean before : new boolean[] {false, true}) {
      exists = before;
      var upload = new HubUpload(environment("HF_TOKEN", "good"));
      assertEquals(
          "https://hub/commit/1", upload.push("owner/flowers", files, "first \"model\"", true));
    }
    String oid = Download.sha256(model);
    assertArrayEquals(weights, stored.get(oid));
    var lines = new HashMap<String, Map<?, ?>>();
    for (String line : committed.lines().toList()) {
      Map<String, Object> each = JSON.std.mapFrom(line);
      lines.put(String.valueOf(each.get("key")), (Map<?, ?>) each.get("value"));
    }
    assertEquals("first \"model\"", lines.get("header").get("summary"));
    assertArrayEquals(
        Files.readAllBytes(card),
        Base64.getDecoder().decode(String.valueOf(lines.get("file").get("content"))));
    assertEquals(
        Map.of("path", "model.safetensors", "algo", "sha256", "oid", oid, "size", 100_000),
        lines.get("lfsFile"));
    assertTrue(requests.contains("storage PUT null"), requests.toString());
    assertTrue(requests.contains("POST /verify Bearer good"), requests.toString());
    var e = assertThrows(IOException.class, () -> new HubUpload(environment()));
    assertTrue(e.getMessage().contains("set HF_TOKEN"), e.getMessage());
  }

  @Test
  void passwordOfAProxyIsSentWhenItAsks() throws IOException {
    var seen = Collections.synchronizedList(new ArrayList<String>());
    HttpServer proxy =
        server(exchange -> {
          String given =
              String.valueOf(exchange.getRequestHeaders().getFirst("Proxy-Authorization"));
          seen.add(given);
          if (given.equals("null")) {
            exchange.getResponseHeaders().add("Proxy-Authenticate", "Basic realm=\"proxy\"");
          }
          send(exchange, given.equals("null") ? 407 : 200, new byte[] {1});
        });
    try {
      String address = url(proxy).replace("http://", "http://user:p%40ss@");
      var download =
          new Download(Map.of("http_proxy", address), (_, _, _) -> {}, Duration.ofSeconds(5));
      Path file = download.fetch(URI.create("http://files.example/x"), folder, "x", "");
      assertEquals(1, Files.size(file));
      String expected = Base64.getEncoder().encodeToString("user:p@ss".getBytes());
      assertEquals(List.of("null", "Basic " + expected), seen);
    } finally {
      proxy.stop(0);
    }
  }

  @Test
  void ownCertificateAuthorityIsTrusted() throws Exception {
    Path keys = folder.resolve("keys.p12");
    Path certificate = folder.resolve("authority.pem");
    String keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
    String[] store = {"-keystore", keys.toString(), "-storepass", "secret", "-alias", "a"};
    run(keytool, "-genkeypair", store, "-keyalg EC -dname CN=localhost -ext san=dns:localhost");
    run(keytool, "-exportcert", store, "-rfc -file " + certificate);
    var loaded = KeyStore.getInstance(keys.toFile(), "secret".toCharArray());
    var factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    factory.init(loaded, "secret".toCharArray());
    var context = SSLContext.getInstance("TLS");
    context.init(factory.getKeyManagers(), null, null);
    var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
    HttpsServer server = HttpsServer.create(address, 0);
    server.setHttpsConfigurator(new HttpsConfigurator(context));
    server.createContext("/", exchange -> send(exchange, 200, new byte[] {1}));
    server.start();
    try {
      URI url = URI.create("https://localhost:%d/x".formatted(server.getAddress().getPort()));
      var environment = Map.of("SSL_CERT_FILE", certificate.toString());
      var trusting = new Download(environment, (_, _, _) -> {}, Duration.ofSeconds(5));
      assertEquals(1, Files.size(trusting.fetch(url, folder, "x", "")));
      var other = new Download(Map.of(), (_, _, _) -> {}, Duration.ofSeconds(5));
      assertThrows(IOException.class, () -> other.fetch(url, folder, "y", ""));
      Files.writeString(certificate, "none");
      var e =
          assertThrows(
              IOException.class,
              () ->
                  new Download(environment, (_, _, _) -> {}, Duration.ofSeconds(5))
                      .fetch(url, folder, "z", ""));
      assertTrue(e.getMessage().contains("SSL_CERT_FILE: cannot use the certificates of"));
    } finally {
      server.stop(0);
    }
  }

  private static void run(String program, String command, String[] words, String more)
      throws IOException, InterruptedException {
    var all = new ArrayList<>(List.of(program, command));
    all.addAll(List.of(words));
    all.addAll(List.of(more.split(" ")));
    assertEquals(0, new ProcessBuilder(all).inheritIO().start().waitFor());
  }
}
