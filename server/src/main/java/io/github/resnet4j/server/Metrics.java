package io.github.resnet4j.server;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.binder.jvm.JvmGcMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmMemoryMetrics;
import io.micrometer.core.instrument.binder.jvm.JvmThreadMetrics;
import io.micrometer.core.instrument.binder.system.FileDescriptorMetrics;
import io.micrometer.core.instrument.binder.system.ProcessorMetrics;
import io.micrometer.core.instrument.binder.system.UptimeMetrics;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;

/** The metrics that {@code /metrics} exports to Prometheus. */
final class Metrics implements AutoCloseable {
  private static final Duration[] BUCKETS = {
    Duration.ofMillis(1),
    Duration.ofMillis(2),
    Duration.ofMillis(5),
    Duration.ofMillis(10),
    Duration.ofMillis(20),
    Duration.ofMillis(50),
    Duration.ofMillis(100),
    Duration.ofMillis(200),
    Duration.ofMillis(500),
    Duration.ofSeconds(1),
    Duration.ofSeconds(2),
    Duration.ofSeconds(5),
    Duration.ofSeconds(10),
    Duration.ofSeconds(30),
  };

  /** The phases of a request, in order. */
  enum Phase {
    DECODE,
    PREPROCESS,
    QUEUE,
    INFERENCE,
    EXPLAIN
  }

  private final PrometheusMeterRegistry registry =
      new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
  private final JvmGcMetrics collections = new JvmGcMetrics();
  private final DistributionSummary batchSizes;
  private final Timer batchDurations;

  Metrics() {
    new JvmMemoryMetrics().bindTo(registry);
    new JvmThreadMetrics().bindTo(registry);
    new ProcessorMetrics().bindTo(registry);
    new FileDescriptorMetrics().bindTo(registry);
    new UptimeMetrics().bindTo(registry);
    collections.bindTo(registry);
    batchSizes =
        DistributionSummary.builder("resnet4j.batch.size")
            .description("Number of images in a batch")
            .serviceLevelObjectives(1, 2, 4, 8, 16, 32, 64)
            .register(registry);
    batchDurations =
        Timer.builder("resnet4j.batch.duration")
            .description("Time to run the network on a batch")
            .serviceLevelObjectives(BUCKETS)
            .register(registry);
  }

  void gauge(String name, String description, Supplier<Number> value) {
    Gauge.builder(name, value).description(description).register(registry);
  }

  /**
   * Adds a counter that reads its value from an object.
   *
   * @param source the object; referenced weakly, so the caller must keep it
   */
  <T> void counter(String name, String description, T source, ToDoubleFunction<T> value) {
    FunctionCounter.builder(name, source, value).description(description).register(registry);
  }

  void recordBatch(int images, Duration duration) {
    batchSizes.record(images);
    batchDurations.record(duration);
  }

  /** Records the waiting and the running of a request's images. */
  void recordResults(List<Batcher.Result> results) {
    for (Batcher.Result result : results) {
      recordPhase(Phase.QUEUE, result.queueNanos());
      recordPhase(Phase.INFERENCE, result.inferenceNanos());
    }
  }

  void recordPhase(Phase phase, long nanos) {
    Timer.builder("resnet4j.phase.duration")
        .description("Time of a phase of a request")
        .tag("phase", phase.name().toLowerCase(Locale.ROOT))
        .serviceLevelObjectives(BUCKETS)
        .register(registry)
        .record(Duration.ofNanos(nanos));
  }

  /**
   * Records a request with its response.
   *
   * @param endpoint the name of an endpoint, never text from a client
   */
  void recordRequest(String endpoint, int status, long nanos) {
    Timer.builder("resnet4j.request.duration")
        .description("Time from the start of a request to its response")
        .tag("endpoint", endpoint)
        .tag("status", String.valueOf(status))
        .serviceLevelObjectives(BUCKETS)
        .register(registry)
        .record(Duration.ofNanos(nanos));
  }

  void countError(ApiException.Kind kind) {
    Counter.builder("resnet4j.errors")
        .description("Total number of failed requests by kind of error")
        .tag("kind", kind.name().toLowerCase(Locale.ROOT))
        .register(registry)
        .increment();
  }

  String scrape() {
    return registry.scrape();
  }

  @Override
  public void close() {
    collections.close();
    registry.close();
  }
}
