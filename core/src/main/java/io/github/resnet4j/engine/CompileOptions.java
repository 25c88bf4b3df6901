package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Kernels;
import java.util.List;

/**
 * How a network is compiled.
 *
 * @param threads that compute, at least 1; by default the cores that the JVM (and its container)
 *     really has
 * @param algorithm how 3×3 convolutions of stride 1 are computed; by default {@link Algorithm#AUTO}
 * @param taps layers whose results are outputs too, by name: {@code layer3}, {@code layer2.0},
 *     {@code maxpool}; by default none
 * @param kernels what runs underneath; by default the fastest that this JVM offers
 * @param precision what is calculated with; by default {@link Precision#FP32}
 */
public record CompileOptions(
    int threads, Algorithm algorithm, List<String> taps, Kernels kernels, Precision precision) {

  /** How 3×3 convolutions of stride 1 are computed; all others are direct. */
  public enum Algorithm {
    /** As measured on this machine if that was ever done ({@link #TUNED}), else by rule. */
    AUTO,
    /**
     * As measured on this machine: a new combination of layer and batch is timed when a plan is
     * compiled, which takes some seconds once (most of them until the JVM has compiled the
     * kernels), and the result kept in the user's cache folder.
     */
    TUNED,
    /**
     * Always the sum that a convolution is defined by, added in one order: the same bits for every
     * batch size, number of threads and vector length.
     */
    DIRECT
  }

  /**
   * @throws IllegalArgumentException if threads is less than 1
   */
  public CompileOptions {
    if (threads < 1) {
      throw new IllegalArgumentException("threads must be at least 1, was " + threads);
    }
    taps = List.copyOf(taps);
  }

  /** All cores, the fastest kernels, no taps. */
  public static CompileOptions defaults() {
    return new CompileOptions(
        Runtime.getRuntime().availableProcessors(),
        Algorithm.AUTO,
        List.of(),
        Kernels.best(),
        Precision.FP32);
  }

  public CompileOptions withThreads(int value) {
    return new CompileOptions(value, algorithm, taps, kernels, precision);
  }

  public CompileOptions withAlgorithm(Algorithm value) {
    return new CompileOptions(threads, value, taps, kernels, precision);
  }

  public CompileOptions withTaps(String... value) {
    return new CompileOptions(threads, algorithm, List.of(value), kernels, precision);
  }

  public CompileOptions withKernels(Kernels value) {
    return new CompileOptions(threads, algorithm, taps, value, precision);
  }

  public CompileOptions withPrecision(Precision value) {
    return new CompileOptions(threads, algorithm, taps, kernels, value);
  }
}
