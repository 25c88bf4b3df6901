package io.github.resnet4j.engine;

/**
 * How often magnitudes occur, in bins of equal width. The width doubles when a number lies beyond
 * the last bin, so that one pass over unknown numbers is enough.
 */
final class Histogram {
  private static final int BINS = 2048;

  /** Levels that the entropy of a range is judged by, as in TensorRT's calibration. */
  private static final int LEVELS = 128;

  private final long[] counts = new long[BINS];
  private float width = 1e-6f;
  private float largest;

  /**
   * Counts numbers by their magnitudes. Infinite ones and those that are no number are passed over,
   * as are zeros, which every range tells exactly.
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

  /** The magnitude that so large a part of all does not exceed. */
  float percentile(double part) {
    long all = 0;
    for (long count : counts) {
      all += count;
    }
    long seen = 0;
    for (int i = 0; i < BINS; i++) {
      seen += counts[i];
      if (seen >= part * all) {
        return Math.min(largest, (i + 1) * width);
      }
    }
    return largest;
  }

  /**
   * The range within which {@link #LEVELS} levels tell most of what the numbers say: the one of the
   * least Kullback-Leibler divergence between the numbers, cut off at the range, and their levels.
   * (Migacz, 8-bit Inference with TensorRT, GTC 2017.)
   */
  float leastDivergent() {
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
    // The levels know nothing of what lies beyond; the numbers have it in the last bin.
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
          // A level that is empty stands for very little, not for nothing.
          double q = Math.max((double) sum / occupied / Math.max(1, inside), 1e-12);
          divergence += p * Math.log(p / q);
        }
      }
    }
    return divergence;
  }
}
