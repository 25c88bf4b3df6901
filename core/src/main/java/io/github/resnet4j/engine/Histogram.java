package io.github.resnet4j.engine;

/**
 * A histogram of magnitudes, in bins of equal width. The width doubles when a value lies beyond the
 * last bin, so one pass over values of unknown range is enough.
 */
final class Histogram {
  private static final int BINS = 2048;

  /** The number of levels used to judge a range, as in TensorRT's calibration. */
  private static final int LEVELS = 128;

  private final long[] counts = new long[BINS];
  private float width = 1e-6f;
  private float largest;

  /**
   * Counts values by their magnitudes. Infinite values, NaNs and zeros are skipped; every range
   * represents zero exactly.
   */
  void add(float[] values, int count) {
    for (int i = 0; i < count; i++) {
      float value = Math.abs(values[i]);
      if (value > 0 && value <= Float.MAX_VALUE) {
        largest = Math.max(largest, value);
        while (value >= width * BINS) {
          widen();
        }
        counts[(int) (value / width)]++;
      }
    }
  }

  private void widen() {
    for (int i = 0; i < BINS; i++) {
      counts[i] = 2 * i < BINS ? counts[2 * i] + counts[2 * i + 1] : 0;
    }
    width *= 2;
  }

  float largest() {
    return largest;
  }

  /** The magnitude that the given fraction of all values does not exceed. */
  float percentile(double fraction) {
    long all = 0;
    for (long count : counts) {
      all += count;
    }
    long seen = 0;
    for (int i = 0; i < BINS; i++) {
      seen += counts[i];
      if (seen >= fraction * all) {
        return Math.min(largest, (i + 1) * width);
      }
    }
    return largest;
  }

  /**
   * The range that minimizes the Kullback-Leibler divergence between the values, clipped to the
   * range, and the values quantized to {@link #LEVELS} levels. (Migacz, 8-bit Inference with
   * TensorRT, GTC 2017.)
   */
  float minDivergenceRange() {
    int used = (int) (largest / width) + 1;
    double least = Double.MAX_VALUE;
    int best = used;
    for (int bins = Math.min(LEVELS, used); bins <= used; bins++) {
      double divergence = divergence(bins, used);
      if (divergence < least) {
        least = divergence;
        best = bins;
      }
    }
    return Math.min(largest, best * width);
  }

  private double divergence(int bins, int used) {
    long all = 0;
    long beyond = 0;
    for (int i = 0; i < used; i++) {
      all += counts[i];
      beyond += i < bins ? 0 : counts[i];
    }
    // The clipped values are counted in the last bin of the reference distribution, but not in the
    // quantized one.
    long inside = all - beyond;
    double divergence = 0;
    for (int level = 0; level < LEVELS; level++) {
      int from = (int) ((long) bins * level / LEVELS);
      int end = (int) ((long) bins * (level + 1) / LEVELS);
      long sum = 0;
      int occupied = 0;
      for (int i = from; i < end; i++) {
        sum += counts[i];
        occupied += counts[i] > 0 || i == bins - 1 && beyond > 0 ? 1 : 0;
      }
      for (int i = from; i < end; i++) {
        double p = (counts[i] + (i == bins - 1 ? beyond : 0)) / (double) all;
        if (p > 0) {
          // An empty level gets a very small probability, not zero.
          double q = Math.max((double) sum / occupied / Math.max(1, inside), 1e-12);
          divergence += p * Math.log(p / q);
        }
      }
    }
    return divergence;
  }
}
