package io.github.resnet4j.inspect;

import io.github.resnet4j.tensor.Tensor;

/**
 * Statistics of a tensor's values.
 *
 * @param count the number of values
 * @param notFinite the number of NaN and infinite values; all other statistics are of the finite
 *     ones
 * @param zeros the number of values equal to zero
 * @param min the minimum; like all that follow NaN if there is no finite value
 * @param deviation the standard deviation
 * @param histogram the counts in {@link #BINS} bins of equal width from min to max
 */
public record TensorStatistics(
    long count,
    long notFinite,
    long zeros,
    double min,
    double max,
    double mean,
    double deviation,
    @SuppressWarnings("ArrayRecordComponent") long[] histogram) {
  /** The number of bins of a histogram. */
  public static final int BINS = 48;

  /** The statistics of a tensor. */
  public static TensorStatistics of(Tensor tensor) {
    long zeros = 0;
    long finite = 0;
    double min = Double.NaN;
    double max = Double.NaN;
    double sum = 0;
    for (float value : tensor.data()) {
      if (Float.isFinite(value)) {
        finite++;
        zeros += value == 0 ? 1 : 0;
        min = finite == 1 ? value : Math.min(min, value);
        max = finite == 1 ? value : Math.max(max, value);
        sum += value;
      }
    }
    double mean = sum / finite;
    double squares = 0;
    long[] histogram = new long[BINS];
    for (float value : tensor.data()) {
      if (Float.isFinite(value)) {
        squares += (value - mean) * (value - mean);
        double part = max > min ? (value - min) / (max - min) : 0.5;
        histogram[(int) Math.min(BINS - 1, part * BINS)]++;
      }
    }
    return new TensorStatistics(
        tensor.size(),
        tensor.size() - finite,
        zeros,
        min,
        max,
        mean,
        Math.sqrt(squares / finite),
        histogram);
  }
}
