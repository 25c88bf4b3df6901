package io.github.resnet4j.server;

import io.github.resnet4j.server.Admission.Endpoint;
import io.github.resnet4j.server.Batcher.Result;
import io.github.resnet4j.tensor.Tensor;
import io.helidon.webserver.http.HttpRules;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** The Open Inference Protocol over HTTP, with Triton's extensions. */
final class InferenceApi {
  private final ServerOptions options;
  private final ModelRepository models;
  private final Metrics metrics;
  private final Admission admission;

  InferenceApi(
      ServerOptions options, ModelRepository models, Metrics metrics, Admission admission) {
    this.options = options;
    this.models = models;
    this.metrics = metrics;
    this.admission = admission;
  }

  boolean isReady() {
    return !admission.isStopping() && models.isReady();
  }

  void routing(HttpRules rules) {
    at(rules, "/v2", Endpoint.get("v2", this::server));
    at(
        rules,
        "/v2/health/live",
        Endpoint.get("live", exchange -> exchange.json(Map.of("live", true))).withoutToken());
    at(rules, "/v2/health/ready", Endpoint.get("ready", this::ready).withoutToken());
    at(rules, "/v2/repository/index", Endpoint.post("index", this::index));
    at(rules, "/v2/repository/models/{model}/load", Endpoint.post("load", this::load));
    at(rules, "/v2/repository/models/{model}/unload", Endpoint.post("unload", this::unload));
    at(rules, "/v2/models/stats", Endpoint.get("stats", this::statistics));
    for (String model : List.of("/v2/models/{model}", "/v2/models/{model}/versions/{version}")) {
      at(rules, model, Endpoint.get("metadata", this::metadata));
      at(rules, model + "/config", Endpoint.get("config", this::config));
      at(rules, model + "/stats", Endpoint.get("stats", this::statistics));
      at(rules, model + "/ready", Endpoint.get("model ready", this::modelReady));
      at(rules, model + "/infer", Endpoint.queued("infer", this::infer));
    }
  }

  private void at(HttpRules rules, String path, Endpoint endpoint) {
    rules.any(path, admission.handler(endpoint));
  }

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

  private ServedModel requestedModel(Exchange exchange) {
    return models.find(Optional.of(exchange.path("model")), version(exchange));
  }

  private static Optional<String> version(Exchange exchange) {
    return Optional.of(exchange.hasPath("version") ? exchange.path("version") : "");
  }

  private void metadata(Exchange exchange) {
    ServedModel model = requestedModel(exchange);
    exchange.json(InferenceProtocol.metadata(model, models.versions(model.name())));
  }

  private void config(Exchange exchange) {
    var config = TritonExtensions.config(requestedModel(exchange), options.batching());
    exchange.json(TritonExtensions.toJson(config));
  }

  private void statistics(Exchange exchange) {
    String name = exchange.hasPath("model") ? exchange.path("model") : "";
    var found = models.find(name, version(exchange).orElse(""));
    exchange.json(
        Map.of(
            "model_stats",
            found.stream()
                .map(model -> TritonExtensions.toJson(TritonExtensions.statistics(model)))
                .toList()));
  }

  private void modelReady(Exchange exchange) {
    ServedModel model = requestedModel(exchange);
    exchange.json(Map.of("name", model.name(), "ready", true));
  }

  private void infer(Exchange exchange) throws IOException {
    try (var lease = models.acquire(Optional.of(exchange.path("model")), version(exchange));
        var request = lease.model().statistics().begin()) {
      infer(exchange, lease.model(), request);
    }
  }

  private void infer(Exchange exchange, ServedModel model, Statistics.Request measured)
      throws IOException {
    int images = options.limits().maxImages();
    var limits =
        new InferenceJson.Limits(
            images, (int) Math.min(1L << 30, (long) images * Tensor.sizeOf(model.inputShape())));
    var request =
        InferenceJson.read(exchange.body(), exchange.header(InferenceJson.HEADER_LENGTH), limits);
    if (request.timeoutMicros() > 0) {
      exchange.shortenDeadline(TimeUnit.MICROSECONDS.toNanos(request.timeoutMicros()));
    }
    List<String> outputs = InferenceProtocol.outputs(model, request.outputs());
    exchange.setImages(InferenceProtocol.images(model, request.input()));
    var futures = InferenceProtocol.submit(model, request.input(), exchange.deadline());
    measured.submitted();
    List<Result> results = exchange.await(futures);
    results.forEach(exchange::addResult);
    metrics.recordResults(results);
    var collected = InferenceProtocol.collect(model, outputs, results);
    measured.complete(results);
    request.respond(exchange, model, collected);
  }

  private void index(Exchange exchange) {
    exchange.json(
        models.list().stream()
            .map(each -> {
              var fields = new LinkedHashMap<String, Object>();
              fields.put("name", each.name());
              fields.put("version", each.version());
              fields.put("state", each.state());
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
}
