package io.github.resnet4j.kernel;

import java.util.concurrent.ConcurrentHashMap;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The kernels on {@code jdk.incubator.vector}, with the longest vectors of this machine. The
 * micro-kernels are generated ({@link TileGenerator}); the others are written in Java, and those
 * that only training uses are plain loops, which the C2 compiler vectorizes.
 *
 * <p>C2 generates good code only if methods are small and lengths are constants: docs/engine.md
 * describes the measurements.
 */
final class VectorKernels implements Kernels {
  static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int LANES = SPECIES.length();

  /** AVX-512 and arm64 have 32 vector registers, AVX2 has 16. */
  private static final boolean HAS_32_REGISTERS =
      LANES >= 16 || System.getProperty("os.arch").equals("aarch64");

  private final ConvKernels conv = new Conv();
  private final WinogradKernels winograd = new VectorWinograd();
  private final PoolKernels pool = new VectorPool();
  private final NormKernels norm = new ScalarNorm();
  private final PairKernels pairs = new ScalarPairs();

  private static final class Conv implements ConvKernels {
    private final ConcurrentHashMap<ConvTile.Shape, OneTile> tiles = new ConcurrentHashMap<>();

    /** For the formats that the Vector API does not support. */
    private final ConvKernels scalar = new ScalarConv();

    @Override
    public ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles at, Ints segments) {
      return shape.isFloat()
          ? new OneTile.Listed(tiles.computeIfAbsent(shape, TileGenerator::generate), at, segments)
          : scalar.tile(shape, at, segments);
    }

    @Override
    public Gather gather(Ints from, int stride, int channels) {
      return scalar.gather(from, stride, channels);
    }
  }

  @Override
  public String name() {
    return "vector, %d bit".formatted(SPECIES.vectorBitSize());
  }

  @Override
  public int lanes() {
    return LANES;
  }

  @Override
  public int maxVectors() {
    return HAS_32_REGISTERS ? 4 : 2;
  }

  @Override
  public int accumulators() {
    return HAS_32_REGISTERS ? 24 : 12; // the other registers hold weights and the input
  }

  @Override
  public boolean isOptimized() {
    return true;
  }

  @Override
  public boolean supports(Format format) {
    return format == Format.FP32;
  }

  @Override
  public boolean isFasterWith(Format in) {
    return false;
  }

  @Override
  public ConvKernels conv() {
    return conv;
  }

  @Override
  public WinogradKernels winograd() {
    return winograd;
  }

  @Override
  public PoolKernels pool() {
    return pool;
  }

  @Override
  public PairKernels pairs() {
    return pairs;
  }

  @Override
  public NormKernels norm() {
    return norm;
  }
}
