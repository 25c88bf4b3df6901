package io.github.resnet4j.server;

import io.github.resnet4j.Prediction;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.figures.HeatMapFigure;
import io.github.resnet4j.figures.PictureFile;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Measurements.Phase;
import io.github.resnet4j.server.Refusal.Kind;
import io.helidon.http.HeaderNames;
import io.helidon.webserver.http.Handler;
import io.helidon.webserver.http.HttpRules;
import io.helidon.webserver.http.HttpService;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** What is answered where. */
final class HttpApi implements HttpService {
  private static final int TOP = 5;
  private static final int MOST_TOP = 1000;

  /** What an endpoint does. */
  private interface Action {
    void run(Exchange exchange) throws IOException;
  }

  private final ServerOptions options;
  private final ModelRepository models;
  private final Measurements measurements;
  private final AccessLog log;
  private final AtomicInteger accepted;
  private final Connections connections;
  private final Traces traces;
  private volatile boolean stopping;

  /**
   * @param accepted requests that are accepted and not answered yet, gRPC's too
   */
  HttpApi(
      ServerOptions options,
      ModelRepository models,
      Measurements measurements,
      AccessLog log,
      AtomicInteger accepted,
      Connections connections,
      Traces traces) {
    this.options = options;
    this.models = models;
    this.measurements = measurements;
    this.log = log;
    this.accepted = accepted;
    this.connections = connections;
    this.traces = traces;
  }

  /** From now on it says that it is not ready, so that nobody sends more. */
  void stop() {
    stopping = true;
  }

  boolean isReady() {
    return !stopping && models.isReady();
  }

  @Override
  public void routing(HttpRules rules) {
    rules
        .get("/", asset("index.html", "text/html; charset=utf-8"))
        .get("/page.js", asset("page.js", "text/javascript; charset=utf-8"))
        .get("/page.css", asset("page.css", "text/css; charset=utf-8"))
        .get("/openapi", asset("openapi.json", "application/json"))
        .get("/metrics", handler("metrics", false, this::metrics))
        .get("/models", handler("models", false, this::list))
        .post("/classify", handler("classify", true, this::classify))
        .post("/features", handler("features", true, this::features))
        .post("/explain", handler("explain", true, this::explain))
        .get("/v2", handler("v2", false, this::server))
        .get(
            "/v2/health/live",
            handler("live", false, exchange -> exchange.json(Map.of("live", true))))
        .get("/v2/health/ready", handler("ready", false, this::ready))
        .post("/v2/repository/index", handler("index", false, this::index))
        .post("/v2/repository/models/{model}/load", handler("load", false, this::load))
        .post("/v2/repository/models/{model}/unload", handler("unload", false, this::unload));
    for (String model : List.of("/v2/models/{model}", "/v2/models/{model}/versions/{version}")) {
      rules
          .get(model, handler("metadata", false, this::metadata))
          .get(model + "/ready", handler("model ready", false, this::modelReady))
          .post(model + "/infer", handler("infer", true, this::infer));
    }
    rules.any(
        handler(
            "unknown",
            false,
            exchange -> {
              throw new Refusal(
                  Kind.NOT_FOUND, "there is nothing here; /openapi says what there is");
            }));
  }

  private Handler asset(String name, String type) {
    byte[] content;
    try (InputStream in = HttpApi.class.getResourceAsStream("page/" + name)) {
      if (in == null) {
        throw new IllegalStateException("missing from the jar: " + name);
      }
      content = in.readAllBytes();
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return (_, response) -> {
      response
          .header(HeaderNames.CONTENT_TYPE, type)
          .header("X-Content-Type-Options", "nosniff")
          .header(
              "Content-Security-Policy",
              "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
                  + " img-src 'self' data: blob:; media-src 'self' blob:; base-uri 'none';"
                  + " form-action 'none'; frame-ancestors 'none'");
      response.send(content);
      connections.answered();
    };
  }

  /**
   * What every endpoint has around it: the token, the place in the queue, the answer to what goes
   * wrong, the numbers and the line in the log.
   *
   * @param works whether it takes a place
   */
  private Handler handler(String endpoint, boolean works, Action action) {
    return (request, response) -> {
      var exchange = new Exchange(request, response, options.limits(), connections.current());
      int status = 200;
      try {
        authorize(exchange, endpoint);
        if (!works) {
          action.run(exchange);
        } else {
          work(exchange, action);
        }
        status = response.status().code();
      } catch (Refusal refusal) {
        status = refusal.kind().status;
        measurements.refused(refusal.kind());
        exchange.passOverBody();
        if (refusal.kind() == Kind.BUSY) {
          response.header("Retry-After", "1");
        }
        if (refusal.kind() == Kind.UNAUTHORIZED) {
          response.header("WWW-Authenticate", "Bearer");
        }
        exchange.json(status, Map.of("error", refusal.reason()));
      } catch (IOException | RuntimeException e) {
        if (response.isSent()) {
          status = Kind.GONE.status; // it went away while it was answered
          measurements.refused(Kind.GONE);
        } else {
          status = Kind.FAILED.status;
          measurements.refused(Kind.FAILED);
          log.failure(endpoint + " " + exchange.id(), e);
          exchange.json(
              status, Map.of("error", "the server failed; its log has request " + exchange.id()));
        }
      } finally {
        long took = System.nanoTime() - exchange.begin();
        measurements.answered(endpoint, status, took);
        String method = request.prologue().method().text();
        write(exchange, endpoint, method, status, took);
        traces.answered(exchange, endpoint, method, status);
        connections.answered();
      }
    };
  }

  private void work(Exchange exchange, Action action) throws IOException {
    if (stopping) {
      throw new Refusal(Kind.NOT_READY, "the server is stopping");
    }
    try {
      if (accepted.incrementAndGet() > options.batching().queue()) {
        throw new Refusal(Kind.BUSY, "too many requests; try again in a second");
      }
      exchange
          .number("timeout_ms", 1, 3_600_000)
          .ifPresent(timeout -> exchange.within(TimeUnit.MILLISECONDS.toNanos(timeout)));
      action.run(exchange);
    } finally {
      accepted.decrementAndGet();
    }
  }

  private void authorize(Exchange exchange, String endpoint) {
    if (endpoint.equals("live") || endpoint.equals("ready")) {
      return;
    }
    if (!options.admits(exchange.header("Authorization").orElse(""))) {
      throw new Refusal(Kind.UNAUTHORIZED, "a bearer token is needed");
    }
  }

  private void write(Exchange exchange, String endpoint, String method, int status, long nanos) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("event", "request");
    fields.put("id", exchange.id());
    fields.put("method", method);
    fields.put("endpoint", endpoint);
    fields.put("status", status);
    fields.put("ms", Math.round(nanos / 1e4) / 100.0);
    fields.put("bytes", exchange.received());
    if (exchange.images() > 0) {
      fields.put("images", exchange.images());
      fields.put("batch", exchange.batch());
    }
    exchange
        .header("traceparent")
        .ifPresent(trace -> {
          if (trace.matches("[0-9a-f-]{1,64}")) {
            fields.put("traceparent", trace);
          }
        });
    log.request(fields);
  }

  // --- simple endpoints -----------------------------------------------------------------------

  private ServedModel chosen(Exchange exchange) {
    return models.find(exchange.query("model"), exchange.query("version"));
  }

  /** Pictures of a body, whatever form it has; and whether the answer is a list. */
  private record Pictures(List<byte[]> files, boolean several) {}

  private Pictures pictures(Exchange exchange) {
    String type = exchange.contentType();
    if (type.startsWith("image/") || type.equals("application/octet-stream") || type.isEmpty()) {
      exchange.hasImages(1);
      return new Pictures(List.of(exchange.body()), false);
    }
    List<byte[]> files;
    if (type.equals("multipart/form-data")) {
      files =
          Multipart.parts(
              exchange.header("Content-Type").orElse(""),
              exchange.body(),
              options.limits().images());
    } else if (type.equals("application/json")) {
      byte[] body = exchange.body();
      Object json = InferenceJson.json(body, body.length);
      List<?> list =
          json instanceof Map<?, ?> map
              ? InferenceJson.list("images", map.get("images"))
              : InferenceJson.list("the body", json);
      exchange.hasImages(list.size());
      files = list.stream().map(InferenceJson::base64).toList();
    } else {
      throw new Refusal(Kind.UNSUPPORTED, "send image/*, multipart/form-data or application/json");
    }
    exchange.hasImages(files.size());
    return new Pictures(files, true);
  }

  private void classify(Exchange exchange) {
    int top = exchange.number("top", 1, MOST_TOP).orElse(TOP);
    answerEach(
        exchange,
        (model, result) -> Map.of("predictions", toFields(model.top(result.logits(), top))));
  }

  private void features(Exchange exchange) {
    answerEach(exchange, (_, result) -> Map.of("features", result.embedding()));
  }

  /** What an image's result is answered with. */
  private interface Answer {
    Map<String, Object> of(ServedModel model, Result result);
  }

  private void answerEach(Exchange exchange, Answer answer) {
    ServedModel model = chosen(exchange);
    Pictures pictures = pictures(exchange);
    var futures = new ArrayList<CompletableFuture<Result>>();
    var refusals = new ArrayList<@Nullable Refusal>();
    for (byte[] file : pictures.files) {
      try {
        futures.add(model.run(file, exchange.deadline()));
        refusals.add(null);
      } catch (Refusal refusal) { // of one picture, which the others do not suffer for
        if (!pictures.several || refusal.kind() != Kind.BAD_REQUEST) {
          futures.forEach(future -> future.cancel(false));
          throw refusal;
        }
        refusals.add(refusal);
      }
    }
    var results = exchange.await(futures).iterator();
    var fields = new LinkedHashMap<String, Object>();
    fields.put("model", model.name());
    fields.put("version", model.version());
    var all = new ArrayList<Map<String, Object>>();
    for (Refusal refusal : refusals) {
      if (refusal == null) {
        Result result = results.next();
        note(exchange, result);
        all.add(answer.of(model, result));
      } else {
        all.add(Map.of("error", refusal.reason()));
      }
    }
    if (pictures.several) {
      fields.put("results", all);
    } else {
      fields.putAll(all.getFirst());
    }
    fields.put("ms", Math.round((System.nanoTime() - exchange.begin()) / 1e4) / 100.0);
    exchange.json(fields);
  }

  private void note(Exchange exchange, Result result) {
    exchange.note(result);
    measurements.phase(Phase.QUEUE, result.queueNanos());
    measurements.phase(Phase.INFERENCE, result.runNanos());
  }

  private static List<Map<String, Object>> toFields(List<Prediction> predictions) {
    var list = new ArrayList<Map<String, Object>>();
    for (Prediction prediction : predictions) {
      var fields = new LinkedHashMap<String, Object>();
      fields.put("index", prediction.index());
      fields.put("label", prediction.label());
      fields.put("probability", prediction.probability());
      list.add(fields);
    }
    return list;
  }

  private void explain(Exchange exchange) throws IOException {
    ServedModel model = chosen(exchange);
    Explainer.Method method = method(exchange.query("method").orElse("gradcam"));
    var index = exchange.number("class", 0, Integer.MAX_VALUE);
    Pictures pictures = pictures(exchange);
    if (pictures.files.size() != 1) {
      throw new Refusal(Kind.BAD_REQUEST, "one picture at a time is explained");
    }
    var prepared = model.prepare(pictures.files.getFirst(), exchange.deadline());
    HeatMap map = model.explain(prepared, method, index, exchange.deadline());
    Preprocessing preprocessing = model.classifier().preprocessing();
    Pixels picture = prepared.picture();
    Pixels seen = preprocessing.crop(preprocessing.channels() == 1 ? picture.toGray() : picture);
    String label = model.classifier().labels().get(map.index());
    if (exchange.header("Accept").orElse("").startsWith("application/json")) {
      var fields = new LinkedHashMap<String, Object>();
      fields.put("index", map.index());
      fields.put("label", label);
      fields.put("seen", data(PictureFile.png(PictureFile.image(seen))));
      fields.put("heat", data(PictureFile.png(HeatMapFigure.overlay(map.values()))));
      exchange.json(fields);
      return;
    }
    List<Prediction> top = model.classifier().top(map.logits(), TOP).getFirst();
    byte[] png =
        PictureFile.png(HeatMapFigure.draw(seen, map.values(), "why '%s'".formatted(label), top));
    exchange.send(200, "image/png", png);
  }

  private static String data(byte[] png) {
    return "data:image/png;base64," + Base64.getEncoder().encodeToString(png);
  }

  private static Explainer.Method method(String name) {
    return switch (name.toLowerCase(Locale.ROOT)) {
      case "gradcam" -> Explainer.Method.GRADCAM;
      case "gradcam++" -> Explainer.Method.GRADCAM_PLUS_PLUS;
      case "eigencam" -> Explainer.Method.EIGENCAM;
      default ->
          throw new Refusal(Kind.BAD_REQUEST, "method must be gradcam, gradcam++ or eigencam");
    };
  }

  // --- the Open Inference Protocol ------------------------------------------------------------

  private void server(Exchange exchange) {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("name", InferenceProtocol.SERVER);
    fields.put("version", InferenceServer.version());
    fields.put("extensions", InferenceProtocol.EXTENSIONS);
    exchange.json(fields);
  }

  private void ready(Exchange exchange) {
    exchange.json(isReady() ? 200 : 503, Map.of("ready", isReady()));
  }

  private ServedModel named(Exchange exchange) {
    String version = exchange.hasPath("version") ? exchange.path("version") : "";
    return models.find(Optional.of(exchange.path("model")), Optional.of(version));
  }

  private void metadata(Exchange exchange) {
    ServedModel model = named(exchange);
    exchange.json(InferenceProtocol.metadata(model, models.versions(model.name())));
  }

  private void modelReady(Exchange exchange) {
    ServedModel model = named(exchange);
    exchange.json(Map.of("name", model.name(), "ready", true));
  }

  private void infer(Exchange exchange) throws IOException {
    ServedModel model = named(exchange);
    var request = InferenceJson.read(exchange.body(), exchange.header(InferenceJson.HEADER_LENGTH));
    if (request.timeoutMicros() > 0) {
      exchange.within(TimeUnit.MICROSECONDS.toNanos(request.timeoutMicros()));
    }
    exchange.hasImages(InferenceProtocol.images(model, request.input()));
    List<Result> results =
        exchange.await(InferenceProtocol.begin(model, request.input(), exchange.deadline()));
    results.forEach(result -> note(exchange, result));
    request.answer(exchange, model, InferenceProtocol.finish(request.outputs(), results));
  }

  private void index(Exchange exchange) {
    exchange.json(
        models.list().stream()
            .map(each -> {
              var fields = new LinkedHashMap<String, Object>();
              fields.put("name", each.name());
              fields.put("version", each.version());
              fields.put("state", each.ready() ? "READY" : "UNAVAILABLE");
              fields.put("reason", each.reason());
              return fields;
            })
            .toList());
  }

  private void load(Exchange exchange) {
    models.load(exchange.path("model"));
    exchange.json(Map.of());
  }

  private void unload(Exchange exchange) {
    models.unload(exchange.path("model"));
    exchange.json(Map.of());
  }

  /** The models for the page: names, versions, labels' number, input. */
  private void list(Exchange exchange) {
    exchange.json(
        models.list().stream()
            .filter(ModelRepository.Listing::ready)
            .map(each -> {
              ServedModel model =
                  models.find(Optional.of(each.name()), Optional.of(each.version()));
              var fields = new LinkedHashMap<String, Object>();
              fields.put("name", each.name());
              fields.put("version", each.version());
              fields.putAll(ModelRepository.describe(model));
              return fields;
            })
            .toList());
  }

  private void metrics(Exchange exchange) {
    exchange.send(
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        measurements.scrape().getBytes(StandardCharsets.UTF_8));
  }
}
