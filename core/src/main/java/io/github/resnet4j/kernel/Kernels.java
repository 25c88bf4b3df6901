package io.github.resnet4j.kernel;

import java.util.Optional;

/**
 * The loops that the engine spends its time in, over blocked arrays: {@code block} consecutive
 * words are the channels of one pixel, one, two or four to a word ({@link Format}). Everything of
 * one run lies in one array, the arena.
 *
 * <p>A kernel is asked for when a plan is made, with all extents and strides that it will meet
 * ({@link Plane}, {@link ConvTile.Shape}); a run says where its operands begin and allocates
 * nothing. Several threads may run one kernel at the same time.
 *
 * <p>Providers give the same bits where the order of the additions is fixed ({@link ConvTile}).
 */
public interface Kernels {
  /**
   * The fastest kernels that this JVM offers, chosen once: machine code where the processor has
   * AVX2 and the JVM lets native code run ({@code --enable-native-access}); else vectors where the
   * JVM has them and compiles them well; else {@link #scalar} ones, with a warning that says why.
   * The system property {@code resnet4j.kernels} ({@code auto}, {@code machine}, {@code
   * machine256}, {@code vector}, {@code scalar}) overrules it.
   *
   * @throws IllegalArgumentException if the property asks for what this JVM does not have
   */
  static Kernels best() {
    return Providers.chosen();
  }

  /**
   * Machine code, which needs no warming up, where processor and JVM permit it; empty also if the
   * system property asks for others.
   */
  static Optional<Kernels> machine() {
    return Providers.machine();
  }

  /** Plain loops: the twin of the others, for comparison and for a run too short to warm up for. */
  static Kernels scalar() {
    return new ScalarKernels();
  }

  /** What runs here, for people: {@code vector, 512 bit}. */
  String name();

  /** Floats of a vector. */
  int lanes();

  /** The most vectors of output channels that a tile has for each pixel. */
  int mostVectors();

  /** How many vectors of results a tile keeps in registers: pixels times vectors. */
  int accumulators();

  /** Whether a compiled plan on these kernels is faster than the reference forward pass. */
  boolean isFast();

  /**
   * Whether there are instructions for tiles that read or write this format. Where there are not,
   * plain loops give the same results, slowly.
   */
  boolean has(Format format);

  /** Whether tiles that read this format do more in the same time than those that read floats. */
  boolean gainsBy(Format in);

  /** Convolutions and matrix products. */
  ConvKernels conv();

  /** Winograd's transforms. */
  WinogradKernels winograd();

  /** Pooling. */
  PoolKernels pool();

  /** Batch norm. */
  NormKernels norm();

  /**
   * Runs the kernels that only training uses once, small, and compares them with the scalar twin's.
   *
   * @throws IllegalStateException if they differ
   */
  default void testForTraining() {
    SelfTest.trainingFailure(this)
        .ifPresent(failure -> {
          throw new IllegalStateException(failure + "; -Dresnet4j.kernels=vector takes others");
        });
  }
}
