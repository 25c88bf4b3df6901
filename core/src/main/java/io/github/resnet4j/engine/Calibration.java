package io.github.resnet4j.engine;

import io.github.resnet4j.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Measures the ranges of activations: pass images through {@link #observe}, preprocessed as for a
 * prediction, then ask for the {@link #quantization}. A hundred images are enough.
 */
public final class Calibration implements AutoCloseable {
  /** How the range of an activation is chosen from its histogram. */
  public enum Method {
    /** The largest observed magnitude. */
    MIN_MAX,
    /** The 99.99th percentile of the magnitudes. */
    PERCENTILE,
    /**
     * The range with the least Kullback-Leibler divergence between the values and their quantized
     * levels.
     */
    ENTROPY
  }

  private static final double PERCENTILE_FRACTION = 0.9999;

  /** The range of an activation that is always zero. */
  private static final float MIN_RANGE = 1e-6f;

  private final Session session;
  private final Map<String, Histogram> histograms = new LinkedHashMap<>();

  /**
   * @param session an {@link Precision#FP32} session; {@link #close} closes it
   */
  public Calibration(Session session) {
    if (session.precision() != Precision.FP32) {
      throw new IllegalArgumentException(
          "calibration needs an fp32 session; the precision of this one is " + session.precision());
    }
    this.session = session;
  }

  /**
   * Adds images to the histograms.
   *
   * @param x {@code [N, C, H, W]}
   */
  public void observe(Tensor x) {
    session.observe(
        x,
        (name, values, count) ->
            histograms.computeIfAbsent(name, _ -> new Histogram()).add(values, count));
  }

  /**
   * The ranges that were observed.
   *
   * @throws IllegalStateException if no image was observed
   */
  public Quantization quantization(Method method) {
    if (histograms.isEmpty()) {
      throw new IllegalStateException("no image was observed");
    }
    var ranges = new LinkedHashMap<String, Float>();
    histograms.forEach((name, histogram) -> {
      float range =
          switch (method) {
            case MIN_MAX -> histogram.largest();
            case PERCENTILE -> histogram.percentile(PERCENTILE_FRACTION);
            case ENTROPY -> histogram.minDivergenceRange();
          };
      // The range of an image follows from its preprocessing, and its extreme values occur.
      ranges.put(
          name, Math.max(MIN_RANGE, name.equals(Quantization.INPUT) ? histogram.largest() : range));
    });
    return new Quantization(ranges);
  }

  @Override
  public void close() {
    session.close();
  }

  /** {@code Calibration of Session[FP32, 8 threads, …]}. */
  @Override
  public String toString() {
    return "Calibration of " + session;
  }
}
