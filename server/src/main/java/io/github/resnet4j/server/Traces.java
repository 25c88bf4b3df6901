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
 * A span for each request, in the trace that its {@code traceparent} names, with those of waiting
 * and of the network's run in it. OpenTelemetry's own variables say whether and where they go
 * ({@code OTEL_EXPORTER_OTLP_ENDPOINT}); without, there are none.
 */
final class Traces implements AutoCloseable {
  private static final List<String> ASKING =
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
    boolean asked =
        ASKING.stream()
            .flatMap(name ->
                Stream.of(
                    String.valueOf(System.getProperty(name, "")),
                    System.getenv()
                        .getOrDefault(name.toUpperCase(Locale.ROOT).replace('.', '_'), "")))
            .anyMatch(value -> !value.isBlank());
    sdk =
        asked
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

  /** A request that was answered. */
  void answered(Exchange exchange, String endpoint, String method, int status) {
    if (sdk == null) {
      return;
    }
    // Spans want the time of day; the clock that measures is another one.
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
      long run = offset + result.endNanos() - result.runNanos();
      child(tracer, span, "queue", run - result.queueNanos(), run, result.batch());
      child(tracer, span, "inference", run, run + result.runNanos(), result.batch());
    }
    span.end();
  }

  private static void child(
      Tracer tracer, Span parent, String name, long begin, long end, int batch) {
    tracer
        .spanBuilder(name)
        .setParent(Context.root().with(parent))
        .setStartTimestamp(begin, TimeUnit.NANOSECONDS)
        .setAttribute("resnet4j.batch", batch)
        .startSpan()
        .end(end, TimeUnit.NANOSECONDS);
  }

  /** Sends what was not sent yet. */
  @Override
  public void close() {
    if (sdk != null) {
      sdk.close();
    }
  }
}
