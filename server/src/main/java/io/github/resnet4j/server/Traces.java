package io.github.resnet4j.server;

import io.github.resnet4j.server.Batcher.Result;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * OpenTelemetry traces: a span for each request, in the trace named by its {@code traceparent},
 * with child spans for the queue and for inference. OpenTelemetry's standard variables, such as
 * {@code OTEL_EXPORTER_OTLP_ENDPOINT}, configure the export; without them no spans are created.
 */
final class Traces implements AutoCloseable {
  private static final List<String> EXPORTER_SETTINGS =
      List.of(
          "otel.exporter.otlp.endpoint",
          "otel.exporter.otlp.traces.endpoint",
          "otel.traces.exporter");

  private static final TextMapGetter<Exchange> HEADERS =
      new TextMapGetter<>() {
        @Override
        public Iterable<String> keys(Exchange carrier) {
          return List.of("traceparent", "tracestate");
        }

        @Override
        public @Nullable String get(@Nullable Exchange carrier, String key) {
          return carrier == null ? null : carrier.header(key).orElse(null);
        }
      };

  private final @Nullable OpenTelemetrySdk sdk;

  Traces() {
    boolean enabled =
        EXPORTER_SETTINGS.stream()
            .flatMap(name ->
                Stream.of(
                    String.valueOf(System.getProperty(name, "")),
                    System.getenv()
                        .getOrDefault(name.toUpperCase(Locale.ROOT).replace('.', '_'), "")))
            .anyMatch(value -> !value.isBlank());
    sdk =
        enabled
            ? AutoConfiguredOpenTelemetrySdk.builder()
                .addPropertiesSupplier(() ->
                    Map.of(
                        "otel.service.name", "resnet4j",
                        "otel.exporter.otlp.protocol", "http/protobuf",
                        "otel.metrics.exporter", "none",
                        "otel.logs.exporter", "none"))
                .disableShutdownHook()
                .build()
                .getOpenTelemetrySdk()
            : null;
  }

  /** Records the span of a request after its response. */
  void record(Exchange exchange, String endpoint, String method, int status) {
    if (sdk == null) {
      return;
    }
    // Spans need wall-clock time, but durations are measured with nanoTime.
    long offset = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()) - System.nanoTime();
    Tracer tracer = sdk.getTracer("resnet4j");
    Context parent =
        sdk.getPropagators().getTextMapPropagator().extract(Context.root(), exchange, HEADERS);
    Span span =
        tracer
            .spanBuilder(method + " " + endpoint)
            .setParent(parent)
            .setSpanKind(SpanKind.SERVER)
            .setStartTimestamp(offset + exchange.begin(), TimeUnit.NANOSECONDS)
            .setAttribute("http.request.method", method)
            .setAttribute("http.response.status_code", status)
            .setAttribute("resnet4j.request_id", exchange.id())
            .setAttribute("resnet4j.images", exchange.images())
            .startSpan();
    if (status >= 500) {
      span.setStatus(StatusCode.ERROR);
    }
    for (Result result : exchange.results()) {
      long run = offset + result.endNanos() - result.inferenceNanos();
      child(tracer, span, "queue", run - result.queueNanos(), run, result.batchSize());
      child(tracer, span, "inference", run, run + result.inferenceNanos(), result.batchSize());
    }
    span.end();
  }

  private static void child(
      Tracer tracer, Span parent, String name, long begin, long end, int batchSize) {
    tracer
        .spanBuilder(name)
        .setParent(Context.root().with(parent))
        .setStartTimestamp(begin, TimeUnit.NANOSECONDS)
        .setAttribute("resnet4j.batch_size", batchSize)
        .startSpan()
        .end(end, TimeUnit.NANOSECONDS);
  }

  /** Exports the remaining spans. */
  @Override
  public void close() {
    if (sdk != null) {
      sdk.close();
    }
  }
}
