package io.github.resnet4j.server;

import io.github.resnet4j.Prediction;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.figures.HeatMapFigure;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.server.Admission.Endpoint;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.server.Measurements.Phase;
import io.github.resnet4j.server.Refusal.Kind;
import io.github.resnet4j.tensor.Tensor;
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
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** What is answered where. */
final class HttpApi implements HttpService {
  /** Labels by which a list of models says what each recognizes. */
  private static final int LISTED_LABELS = 10;

  private static final String EXIF_ORIENTATION = "exif_orientation";
  private static final int TOP = 5;
  private static final int MOST_TOP = 1000;

  private final ServerOptions options;
  private final ModelRepository models;
  private final Measurements measurements;
  private final Admission admission;

  HttpApi(
      ServerOptions options,
      ModelRepository models,
      Measurements measurements,
      Admission admission) {
    this.options = options;
    this.models = models;
    this.measurements = measurements;
    this.admission = admission;
  }

  boolean isReady() {
    return !admission.isStopping() && models.isReady();
  }

  @Override
  public void routing(HttpRules rules) {
    at(rules, "/", asset("index.html", "text/html; charset=utf-8"));
    at(rules, "/page.js", asset("page.js", "text/javascript; charset=utf-8"));
    at(rules, "/page.css", asset("page.css", "text/css; charset=utf-8"));
    at(rules, "/openapi", asset("openapi.json", "application/json"));
    at(rules, "/metrics", Endpoint.get("metrics", this::metrics));
    at(rules, "/models", Endpoint.get("models", this::list));
    at(rules, "/classify", Endpoint.work("classify", this::classify));
    at(rules, "/features", Endpoint.work("features", this::features));
    at(rules, "/explain", Endpoint.work("explain", this::explain));
    at(rules, "/v2", Endpoint.get("v2", this::server));
    at(
        rules,
        "/v2/health/live",
        Endpoint.get("live", exchange -> exchange.json(Map.of("live", true))).withoutToken());
    at(rules, "/v2/health/ready", Endpoint.get("ready", this::ready).withoutToken());
    at(rules, "/v2/repository/index", Endpoint.post("index", this::index));
    at(rules, "/v2/repository/models/{model}/load", Endpoint.post("load", this::load));
    at(rules, "/v2/repository/models/{model}/unload", Endpoint.post("unload", this::unload));
    for (String model : List.of("/v2/models/{model}", "/v2/models/{model}/versions/{version}")) {
      at(rules, model, Endpoint.get("metadata", this::metadata));
      at(rules, model + "/ready", Endpoint.get("model ready", this::modelReady));
      at(rules, model + "/infer", Endpoint.work("infer", this::infer));
    }
    rules.any(
        admission.handler(
            new Endpoint(
                "unknown",
                "",
                true,
                false,
                exchange -> {
                  throw new Refusal(
                      Kind.NOT_FOUND, "there is nothing here; /openapi says what there is");
                })));
  }

  private void at(HttpRules rules, String path, Endpoint endpoint) {
    rules.any(path, admission.handler(endpoint));
  }

  private static Endpoint asset(String name, String type) {
    byte[] content;
    try (InputStream in = HttpApi.class.getResourceAsStream("page/" + name)) {
      if (in == null) {
        throw new IllegalStateException("missing from the jar: " + name);
      }
      content = in.readAllBytes();
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return Endpoint.get(
            "page",
            exchange -> {
              exchange.header(
                  "Content-Security-Policy",
                  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
                      + " img-src 'self' data: blob:; media-src 'self' blob:; base-uri 'none';"
                      + " form-action 'none'; frame-ancestors 'none'");
              exchange.send(200, type, content);
            })
        .withoutToken();
  }

  // --- simple endpoints -----------------------------------------------------------------------

  private ModelRepository.Held chosen(Exchange exchange) {
    return models.hold(exchange.query("model"), exchange.query("version"));
  }

  /** Images of a body, whatever form it has; and whether the answer is a list. */
  private record Images(List<byte[]> files, boolean several) {}

  private Images images(Exchange exchange) {
    String type = exchange.contentType();
    if (type.startsWith("image/") || type.equals("application/octet-stream") || type.isEmpty()) {
      exchange.hasImages(1);
      return new Images(List.of(exchange.body()), false);
    }
    List<byte[]> files;
    if (type.equals("multipart/form-data")) {
      files =
          Multipart.parts(
              exchange.header("Content-Type").orElse(""),
              exchange.body(),
              options.limits().images());
    } else if (type.equals("application/json")) {
      files = RequestJson.files(exchange.body(), options.limits().images());
    } else {
      throw new Refusal(Kind.UNSUPPORTED, "send image/*, multipart/form-data or application/json");
    }
    exchange.hasImages(files.size());
    return new Images(files, true);
  }

  private void classify(Exchange exchange) {
    int top = exchange.number("top", 1, MOST_TOP).orElse(TOP);
    try (var held = chosen(exchange)) {
      ServedModel model = held.model();
      model.requireHead();
      answerEach(
          exchange,
          model,
          result -> Map.of("predictions", toFields(model.top(result.logits(), top))));
    }
  }

  private void features(Exchange exchange) {
    try (var held = chosen(exchange)) {
      answerEach(exchange, held.model(), result -> Map.of("features", result.embedding()));
    }
  }

  /**
   * Runs all images of a request.
   *
   * @param answer the fields that an image's result is answered with
   */
  private void answerEach(
      Exchange exchange, ServedModel model, Function<Result, Map<String, Object>> answer) {
    boolean upright = exchange.flag(EXIF_ORIENTATION);
    Images images = images(exchange);
    var futures = new ArrayList<CompletableFuture<Result>>();
    var refusals = new ArrayList<@Nullable Refusal>();
    for (byte[] file : images.files) {
      try {
        futures.add(model.run(file, upright, exchange.deadline()));
        refusals.add(null);
      } catch (Refusal refusal) { // of one image, which the others do not suffer for
        if (!images.several || refusal.kind() != Kind.BAD_REQUEST) {
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
        all.add(answer.apply(result));
      } else {
        all.add(Map.of("error", refusal.reason()));
      }
    }
    if (images.several) {
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
    try (var held = chosen(exchange)) {
      explain(exchange, held.model());
    }
  }

  private void explain(Exchange exchange, ServedModel model) throws IOException {
    model.requireHead();
    Explainer.Method method = method(exchange.query("method").orElse("gradcam"));
    var index = exchange.number("class", 0, Integer.MAX_VALUE);
    Images images = images(exchange);
    if (images.files.size() != 1) {
      throw new Refusal(Kind.BAD_REQUEST, "one image at a time is explained");
    }
    var prepared =
        model.prepare(
            images.files.getFirst(), exchange.flag(EXIF_ORIENTATION), exchange.deadline());
    HeatMap map = model.explain(prepared, method, index, exchange.deadline());
    Pixels seen = prepared.seen();
    String label = model.classifier().labels().get(map.index());
    if (exchange.header("Accept").orElse("").startsWith("application/json")) {
      var fields = new LinkedHashMap<String, Object>();
      fields.put("index", map.index());
      fields.put("label", label);
      fields.put("seen", data(FigureFile.png(FigureFile.image(seen))));
      fields.put("heat", data(FigureFile.png(HeatMapFigure.overlay(map.values()))));
      exchange.json(fields);
      return;
    }
    List<Prediction> top = model.classifier().top(map.logits(), TOP).getFirst();
    byte[] png =
        FigureFile.png(HeatMapFigure.draw(seen, map.values(), "why '%s'".formatted(label), top));
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
    return models.find(Optional.of(exchange.path("model")), version(exchange));
  }

  private static Optional<String> version(Exchange exchange) {
    return Optional.of(exchange.hasPath("version") ? exchange.path("version") : "");
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
    try (var held = models.hold(Optional.of(exchange.path("model")), version(exchange))) {
      infer(exchange, held.model());
    }
  }

  private void infer(Exchange exchange, ServedModel model) throws IOException {
    int images = options.limits().images();
    var most =
        new InferenceJson.Most(
            images, (int) Math.min(1L << 30, (long) images * Tensor.sizeOf(model.inputShape())));
    var request =
        InferenceJson.read(exchange.body(), exchange.header(InferenceJson.HEADER_LENGTH), most);
    if (request.timeoutMicros() > 0) {
      exchange.within(TimeUnit.MICROSECONDS.toNanos(request.timeoutMicros()));
    }
    List<String> outputs = InferenceProtocol.outputs(model, request.outputs());
    exchange.hasImages(InferenceProtocol.images(model, request.input()));
    List<Result> results =
        exchange.await(InferenceProtocol.begin(model, request.input(), exchange.deadline()));
    results.forEach(result -> note(exchange, result));
    request.answer(exchange, model, InferenceProtocol.finish(outputs, results));
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
              List<String> labels = model.classifier().labels();
              fields.put("labels", labels.subList(0, Math.min(LISTED_LABELS, labels.size())));
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
