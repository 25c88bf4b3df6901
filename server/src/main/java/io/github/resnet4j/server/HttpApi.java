package io.github.resnet4j.server;

import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.Task;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.figures.HeatMapFigure;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.server.Admission.Endpoint;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.Batcher.Result;
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
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** The HTTP endpoints. */
final class HttpApi implements HttpService {
  /** The number of labels per model in the list of models. */
  private static final int LISTED_LABELS = 10;

  private static final String EXIF_ORIENTATION = "exif_orientation";
  private static final int DEFAULT_TOP = 5;
  private static final int MAX_TOP = 1000;

  private final ServerOptions options;
  private final ModelRepository models;
  private final Metrics metrics;
  private final Admission admission;
  private final InferenceApi inference;

  HttpApi(
      ServerOptions options,
      ModelRepository models,
      Metrics metrics,
      Admission admission,
      InferenceApi inference) {
    this.options = options;
    this.models = models;
    this.metrics = metrics;
    this.admission = admission;
    this.inference = inference;
  }

  @Override
  public void routing(HttpRules rules) {
    at(rules, "/", asset("index.html", "text/html; charset=utf-8"));
    at(rules, "/page.js", asset("page.js", "text/javascript; charset=utf-8"));
    at(rules, "/page.css", asset("page.css", "text/css; charset=utf-8"));
    at(rules, "/openapi", asset("openapi.json", "application/json"));
    at(rules, "/metrics", Endpoint.get("metrics", this::metrics));
    at(rules, "/models", Endpoint.get("models", this::list));
    at(rules, "/classify", Endpoint.queued("classify", this::classify));
    at(rules, "/features", Endpoint.queued("features", this::features));
    at(rules, "/explain", Endpoint.queued("explain", this::explain));
    inference.routing(rules);
    rules.any(
        admission.handler(
            new Endpoint(
                "unknown",
                "",
                true,
                false,
                exchange -> {
                  throw new ApiException(
                      Kind.NOT_FOUND, "there is no such endpoint; /openapi lists them");
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

  private ModelRepository.Lease acquire(Exchange exchange) {
    return models.acquire(exchange.query("model"), exchange.query("version"));
  }

  /** The encoded images of a request body, and whether the response is a list. */
  private record Images(List<byte[]> files, boolean isList) {}

  private Images images(Exchange exchange) {
    String type = exchange.contentType();
    if (type.startsWith("image/") || type.equals("application/octet-stream") || type.isEmpty()) {
      exchange.setImages(1);
      return new Images(List.of(exchange.body()), false);
    }
    List<byte[]> files;
    if (type.equals("multipart/form-data")) {
      files =
          Multipart.parts(
              exchange.header("Content-Type").orElse(""),
              exchange.body(),
              options.limits().maxImages());
    } else if (type.equals("application/json")) {
      files = RequestJson.files(exchange.body(), options.limits().maxImages());
    } else {
      throw new ApiException(
          Kind.UNSUPPORTED_MEDIA_TYPE, "send image/*, multipart/form-data or application/json");
    }
    exchange.setImages(files.size());
    return new Images(files, true);
  }

  private void classify(Exchange exchange) {
    OptionalInt asked = exchange.integer("top", 1, MAX_TOP);
    try (var lease = acquire(exchange)) {
      ServedModel model = lease.model();
      model.requireHead();
      int usual = model.classifier().task() instanceof Task.MultiLabel ? MAX_TOP : DEFAULT_TOP;
      int top = asked.orElse(usual);
      respondPerImage(
          exchange,
          model,
          result ->
              model.predictsNumbers()
                  ? Map.of("values", values(model.classifier(), result.logits()))
                  : Map.of("predictions", toFields(model.top(result.logits(), top))));
    }
  }

  private void features(Exchange exchange) {
    try (var lease = acquire(exchange)) {
      respondPerImage(exchange, lease.model(), result -> Map.of("features", result.embedding()));
    }
  }

  /**
   * Runs all images of a request and responds with one result per image.
   *
   * @param toFields the response fields of one image's result
   */
  private void respondPerImage(
      Exchange exchange, ServedModel model, Function<Result, Map<String, Object>> toFields) {
    try (var request = model.statistics().begin()) {
      respondPerImage(exchange, model, toFields, request);
    }
  }

  private void respondPerImage(
      Exchange exchange,
      ServedModel model,
      Function<Result, Map<String, Object>> toFields,
      Statistics.Request request) {
    boolean exifOrientation = exchange.flag(EXIF_ORIENTATION);
    Images images = images(exchange);
    var futures = new ArrayList<CompletableFuture<Result>>();
    var errors = new ArrayList<@Nullable ApiException>();
    for (byte[] file : images.files) {
      try {
        futures.add(model.run(file, exifOrientation, exchange.deadline()));
        errors.add(null);
      } catch (ApiException error) { // does not affect the other images
        if (!images.isList || error.kind() != Kind.BAD_REQUEST) {
          futures.forEach(future -> future.cancel(false));
          throw error;
        }
        errors.add(error);
      }
    }
    request.submitted();
    List<Result> computed = exchange.await(futures);
    computed.forEach(exchange::addResult);
    metrics.recordResults(computed);
    var results = computed.iterator();
    var fields = new LinkedHashMap<String, Object>();
    fields.put("model", model.name());
    fields.put("version", model.version());
    var all = new ArrayList<Map<String, Object>>();
    for (ApiException error : errors) {
      if (error == null) {
        Result result = results.next();
        all.add(toFields.apply(result));
      } else {
        all.add(Map.of("error", error.reason()));
      }
    }
    if (images.isList) {
      fields.put("results", all);
    } else {
      fields.putAll(all.getFirst());
    }
    if (!computed.isEmpty()) {
      request.complete(computed);
    }
    fields.put("duration_ms", Math.round((System.nanoTime() - exchange.begin()) / 1e4) / 100.0);
    exchange.json(fields);
  }

  private static Map<String, Object> values(Model model, float[] outputs) {
    var fields = new LinkedHashMap<String, Object>();
    float[] values = model.values(outputs);
    for (int k = 0; k < values.length; k++) {
      fields.put(model.labels().get(k), values[k]);
    }
    return fields;
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
    try (var lease = acquire(exchange)) {
      explain(exchange, lease.model());
    }
  }

  private void explain(Exchange exchange, ServedModel model) throws IOException {
    model.requireClasses();
    Explainer.Method method = method(exchange.query("method").orElse("gradcam"));
    var index = exchange.integer("class", 0, Integer.MAX_VALUE);
    Images images = images(exchange);
    if (images.files.size() != 1) {
      throw new ApiException(Kind.BAD_REQUEST, "/explain takes one image");
    }
    var prepared =
        model.prepare(
            images.files.getFirst(), exchange.flag(EXIF_ORIENTATION), exchange.deadline());
    HeatMap map = model.explain(prepared, method, index, exchange.deadline());
    Pixels input = prepared.pixels();
    String label = model.classifier().labels().get(map.index());
    if (exchange.header("Accept").orElse("").startsWith("application/json")) {
      var fields = new LinkedHashMap<String, Object>();
      fields.put("index", map.index());
      fields.put("label", label);
      fields.put("input", data(FigureFile.png(FigureFile.image(input))));
      fields.put("heat_map", data(FigureFile.png(HeatMapFigure.overlay(map.values()))));
      exchange.json(fields);
      return;
    }
    List<Prediction> top = model.classifier().top(map.logits(), DEFAULT_TOP).getFirst();
    byte[] png =
        FigureFile.png(
            HeatMapFigure.draw(input, map.values(), "Evidence for '%s'".formatted(label), top));
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
          throw new ApiException(Kind.BAD_REQUEST, "method must be gradcam, gradcam++ or eigencam");
    };
  }

  /** The ready models, for the page: names, versions, labels, preprocessing. */
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
        metrics.scrape().getBytes(StandardCharsets.UTF_8));
  }
}
