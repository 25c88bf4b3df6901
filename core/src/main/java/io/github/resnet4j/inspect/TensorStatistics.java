package io.github.resnet4j.inspect;

import io.github.resnet4j.tensor.Tensor;

/**
 * The numbers of a tensor at a glance.
 *
 * @param count numbers altogether
 * @param notFinite how many of them are infinite or none at all; the rest of this is of the others
 * @param zeros how many are exactly zero
 * @param min NaN, as all that follows, if there is no finite number
 * @param deviation the root of the mean square of the distance from the mean
 * @param histogram how many lie in each of {@link #BINS} parts of equal width from min to max
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
  /** Parts of a histogram. */
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
