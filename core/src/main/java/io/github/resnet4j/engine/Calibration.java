package io.github.resnet4j.engine;

import io.github.resnet4j.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Finds out how large activations get: run some images through {@link #observe}, prepared as for a
 * prediction, and ask for the {@link #quantization}. A hundred are plenty.
 */
public final class Calibration implements AutoCloseable {
  /** Which magnitudes are worth telling apart. */
  public enum Method {
    /** All that were seen. */
    MIN_MAX,
    /** All but the largest one of ten thousand. */
    PERCENTILE,
    /** Those within which so many levels tell most about the numbers. */
    ENTROPY
  }

  private static final double PART = 0.9999;

  /** A range for what was zero throughout. */
  private static final float NOTHING = 1e-6f;

  private final Session session;
  private final Map<String, Histogram> histograms = new LinkedHashMap<>();

  /**
   * @param session of floats ({@link Precision#FP32}); closed with this
   */
  public Calibration(Session session) {
    if (session.precision() != Precision.FP32) {
      throw new IllegalArgumentException("calibrate with floats, not with " + session.precision());
    }
    this.session = session;
  }

  /**
   * Takes images into account.
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
   * What was found.
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
            case PERCENTILE -> histogram.percentile(PART);
            case ENTROPY -> histogram.leastDivergent();
          };
      // An image's range is known, and its borders count.
      ranges.put(
          name, Math.max(NOTHING, name.equals(Quantization.INPUT) ? histogram.largest() : range));
    });
    return new Quantization(ranges);
  }

  @Override
  public void close() {
    session.close();
  }
}
