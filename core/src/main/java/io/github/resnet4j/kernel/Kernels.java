package io.github.resnet4j.kernel;

/**
 * The inner loops of the engine, over blocked arrays: {@code block} consecutive words are the
 * channels of one pixel, one, two or four per word ({@link Format}). All operands of a call are in
 * one array, the arena.
 *
 * <p>A kernel is created for a plan, with all its extents and strides ({@link Plane}, {@link
 * ConvTile.Shape}). A call passes the indices of its operands and allocates nothing. Several
 * threads may call one kernel concurrently.
 *
 * <p>All providers give bit-identical results where the order of the additions is fixed ({@link
 * ConvTile}).
 */
public interface Kernels {
  /**
   * The fastest kernels that this JVM supports, chosen once: machine code if the processor has AVX2
   * and the JVM allows native code ({@code --enable-native-access}); else vectors if the JVM has
   * the Vector API and compiles it well; else {@link #scalar} ones, with a warning that names the
   * reason. For tests and measurements, the system property {@code resnet4j.kernels} ({@code auto},
   * {@code machine}, {@code machine256}, {@code vector}, {@code scalar}) overrides the choice.
   *
   * @throws IllegalArgumentException if the property names kernels that this JVM does not support
   */
  static Kernels best() {
    return Providers.chosen();
  }

  /** Whether processor and JVM support machine code, and the system property allows it. */
  static boolean hasMachine() {
    return Providers.hasMachine();
  }

  /** Whether the JVM has the Vector API and compiles it well. */
  static boolean hasVector() {
    return Providers.hasVector();
  }

  /**
   * Machine code, which needs no warm-up.
   *
   * @throws IllegalArgumentException if processor or JVM do not support it; states the reason
   */
  static Kernels machine() {
    return Providers.machine();
  }

  /**
   * The Vector API.
   *
   * @throws IllegalArgumentException if the JVM does not have it or does not compile it well;
   *     states the reason
   */
  static Kernels vector() {
    return Providers.vector();
  }

  /** Plain loops: the reference for the others, and for runs that are too short for a warm-up. */
  static Kernels scalar() {
    return new ScalarKernels();
  }

  /** A description for users: {@code vector, 512 bit}. */
  String name();

  /** The number of floats of a vector. */
  int lanes();

  /** The largest number of vectors of output channels per pixel of a tile. */
  int maxVectors();

  /** The number of vectors of results that a tile keeps in registers: pixels times vectors. */
  int accumulators();

  /** Whether a compiled plan on these kernels is faster than the reference forward pass. */
  boolean isOptimized();

  /**
   * Whether there are instructions for tiles that read or write this format. Otherwise plain loops
   * compute the same results, slowly.
   */
  boolean supports(Format format);

  /** Whether tiles that read this format are faster than those that read floats. */
  boolean isFasterWith(Format in);

  /** Whether training with activations of this format is faster than with floats. */
  default boolean trainsFasterWith(Format format) {
    return isFasterWith(format);
  }

  /** Convolutions and matrix products. */
  ConvKernels conv();

  /** Winograd's transforms. */
  WinogradKernels winograd();

  /** Pooling. */
  PoolKernels pool();

  /** Batch norm. */
  NormKernels norm();

  /** Operands of products in bfloat16. */
  PairKernels pairs();

  /**
   * Starts to load words, which another core wrote, into the cache of the calling core, which will
   * soon read them. All at once take much less time than one after the other when a kernel needs
   * them. Changes no result; without machine code it does nothing.
   */
  default void prefetch(Floats memory, int at, int words) {}

  /** The same for words that the calling core will soon write, and another core has read. */
  default void prefetchForWriting(Floats memory, int at, int words) {}

  /**
   * Runs the kernels that only training uses once, on small operands, and compares them with the
   * scalar kernels.
   *
   * @param format that of the activations: floats or bfloat16
   * @throws IllegalStateException if they differ
   */
  default void testForTraining(Format format) {
    SelfTest.trainingFailure(this, format)
        .ifPresent(failure -> {
          throw new IllegalStateException(failure + "; choose other kernels, such as VECTOR");
        });
  }
}
