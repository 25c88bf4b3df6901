package io.github.resnet4j.engine;

import java.util.List;

/**
 * How a network is compiled.
 *
 * @param threads the number of threads, at least 1; by default the number of cores available to the
 *     JVM (and its container)
 * @param algorithm how 3×3 convolutions of stride 1 are computed; by default {@link Algorithm#AUTO}
 * @param taps names of layers whose results are additional outputs: {@code layer3}, {@code
 *     layer2.0}, {@code maxpool}; none by default
 * @param kernels the kernels to use; by default the fastest that this JVM supports
 * @param precision the precision of the computation; by default {@link Precision#FP32}
 * @param engine the engine that computes; by default {@link EngineChoice#RESNET4J}
 */
public record CompileOptions(
    int threads,
    Algorithm algorithm,
    List<String> taps,
    KernelChoice kernels,
    Precision precision,
    EngineChoice engine) {

  /** How 3×3 convolutions of stride 1 are computed. All other convolutions are direct. */
  public enum Algorithm {
    /** As measured on this machine if measurements exist ({@link #TUNED}), else by a rule. */
    AUTO,
    /**
     * As measured on this machine: a new combination of layer and batch size is measured when a
     * plan is compiled. This takes some seconds once (most of them for the JVM to compile the
     * kernels). The result is stored in the user's cache folder.
     */
    TUNED,
    /**
     * Always direct convolution, added in one fixed order: bit-identical results for every batch
     * size, number of threads and vector length.
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

  /** All cores, the fastest kernels, no taps, FP32. */
  public static CompileOptions defaults() {
    return new CompileOptions(
        Runtime.getRuntime().availableProcessors(),
        Algorithm.AUTO,
        List.of(),
        KernelChoice.AUTO,
        Precision.FP32,
        EngineChoice.RESNET4J);
  }

  public CompileOptions withThreads(int value) {
    return new CompileOptions(value, algorithm, taps, kernels, precision, engine);
  }

  public CompileOptions withAlgorithm(Algorithm value) {
    return new CompileOptions(threads, value, taps, kernels, precision, engine);
  }

  public CompileOptions withTaps(String... value) {
    return new CompileOptions(threads, algorithm, List.of(value), kernels, precision, engine);
  }

  public CompileOptions withKernels(KernelChoice value) {
    return new CompileOptions(threads, algorithm, taps, value, precision, engine);
  }

  public CompileOptions withPrecision(Precision value) {
    return new CompileOptions(threads, algorithm, taps, kernels, value, engine);
  }

  public CompileOptions withEngine(EngineChoice value) {
    return new CompileOptions(threads, algorithm, taps, kernels, precision, value);
  }
}
