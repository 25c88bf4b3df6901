package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.MachineCode.Feature;
import io.github.resnet4j.kernel.Vec.Width;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** Convolutions in machine code, in the formats that the processor supports. */
final class MachineConv implements ConvKernels {
  private static final System.Logger LOG = System.getLogger("io.github.resnet4j");

  /** The number of products of a tile per call: 50 µs on a slow core. */
  private static final long MAX_PRODUCTS_PER_CALL = 2_000_000;

  /** The same with matrices, of which an instruction has 16 times as many products. */
  private static final long MAX_MATRIX_PRODUCTS_PER_CALL = 16_000_000;

  private final Width width;

  /** Whether an instruction adds the products of four bytes (VNNI). */
  private final boolean addsBytes;

  private final boolean hasBf16;
  private final Set<Feature> features;
  private final MachineCache cache;

  /** For the formats that this processor does not support. */
  private final ConvKernels scalar = new ScalarConv();

  /** The results of the self-tests, by format. */
  private final ConcurrentHashMap<Format, Boolean> passed = new ConcurrentHashMap<>();

  /** The same for tiles of matrices. */
  private final ConcurrentHashMap<Format, Boolean> matricesPassed = new ConcurrentHashMap<>();

  /** Whether bfloat16 is faster than single precision; measured on first use. */
  private @Nullable Boolean isBf16Faster;

  MachineConv(Width width, Set<Feature> features, MachineCache cache) {
    this.width = width;
    this.addsBytes = features.contains(width == Width.ZMM ? Feature.AVX512_VNNI : Feature.AVX_VNNI);
    this.hasBf16 = width == Width.ZMM && features.contains(Feature.AVX512_BF16);
    this.features = features;
    this.cache = cache;
  }

  /** The number of vectors of results that a tile keeps in registers. */
  int accumulators() {
    return width == Width.ZMM ? 28 : 12;
  }

  /** The largest number of vectors of output channels per pixel of a tile. */
  int maxVectors() {
    return width == Width.ZMM ? 4 : 2;
  }

  @Override
  public ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    boolean instructions = addsBytes || shape.in().weights() != Format.S8;
    if (!instructions || !supports(shape.in().format()) || !supports(shape.out().format())) {
      return scalar.tile(shape, tiles, segments);
    }
    return MachineAmxCode.supports(shape) && multiplyMatrices(shape.in())
        ? matrixTile(shape, tiles, segments)
        : vectorTile(shape, tiles, segments);
  }

  private ConvTile vectorTile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    MemorySegment code = cache.get(shape, () -> new MachineTileCode(shape, width).generate());
    return new MachineTile(shape, width.lanes(), code, MAX_PRODUCTS_PER_CALL, tiles, segments);
  }

  /** The key of code with matrices. */
  private record MatrixCode(ConvTile.Shape shape) {}

  private ConvTile matrixTile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    MemorySegment code =
        cache.get(new MatrixCode(shape), () -> new MachineAmxCode(shape).generate());
    return new MachineTile(
        shape, width.lanes(), code, MAX_MATRIX_PRODUCTS_PER_CALL, tiles, segments);
  }

  @Override
  public boolean multiplyMatrices(ConvTile.Input in) {
    return MachineAmxCode.hasMatrices(in) && hasMatrices(in.format());
  }

  /** Whether the processor multiplies matrices of a format; tested when it is first used. */
  private boolean hasMatrices(Format in) {
    if (width != Width.ZMM
        || !supports(in)
        || !features.contains(in.isInteger() ? Feature.AMX_INT8 : Feature.AMX_BF16)) {
      return false;
    }
    return matricesPassed.computeIfAbsent(
        in,
        format -> {
          if (!MachineCode.permitMatrices()) {
            return false;
          }
          boolean agree = SelfTest.matricesAgree(this::matrixTile, format);
          if (!agree) {
            LOG.log(Level.WARNING, "the self-test of AMX with {0} failed: using vectors", format);
          }
          return agree;
        });
  }

  @Override
  public Format weights(Format in) {
    return in != Format.U8 ? in : addsBytes ? Format.S8 : Format.S16;
  }

  boolean supports(Format format) {
    return switch (format) {
      case FP32, ROUNDED -> true;
      case BF16 -> hasBf16 && passes(Format.BF16);
      case U8, S8 -> passes(Format.U8);
      case S16 -> false;
    };
  }

  /** Whether a format passes its self-test, which runs when the format is first used. */
  private boolean passes(Format in) {
    return passed.computeIfAbsent(
        in,
        format -> {
          boolean agree = SelfTest.agree(this::vectorTile, width.lanes(), format, weights(format));
          if (!agree) {
            LOG.log(Level.WARNING, "the self-test of {0} failed: using plain loops", format);
          }
          return agree;
        });
  }

  boolean isFasterWith(Format in) {
    return switch (in) {
      case FP32, ROUNDED, S8, S16 -> false;
      case U8 -> supports(in);
      case BF16 -> supports(in) && isBf16Faster();
    };
  }

  /** Some processors have the instructions, but they take several times as long. */
  private synchronized boolean isBf16Faster() {
    if (isBf16Faster == null) {
      isBf16Faster = hasMatrices(Format.BF16) || fastest(Format.BF16) < 1.5 * fastest(Format.FP32);
    }
    return isBf16Faster;
  }

  /**
   * The shortest time in nanoseconds of some calls with the same number of instructions in every
   * format.
   */
  private long fastest(Format format) {
    int segment = 256;
    int channels = maxVectors() * width.lanes();
    int pixels = accumulators() / maxVectors();
    var shape =
        new ConvTile.Shape(
            pixels,
            channels,
            new ConvTile.Input(format, segment, segment),
            new ConvTile.Output(Format.FP32, channels, null, true));
    ConvTile tile = tile(shape, ConvTile.Tiles.ONE, Ints.of(0));
    Floats arena = Floats.of(new float[pixels * (segment + channels)]);
    Floats weights = Floats.of(new float[(segment + 1) * channels]);
    var sum = new ConvTile.Reduction(0, 1, segment * channels);
    long fastest = Long.MAX_VALUE;
    for (int i = 0; i < 8; i++) {
      long start = System.nanoTime();
      for (int r = 0; r < 4; r++) {
        tile.run(arena, 0, 1, 0, pixels * segment, 0, weights, 0, sum);
      }
      fastest = Math.min(fastest, System.nanoTime() - start);
    }
    return fastest;
  }

  @Override
  public Gather gather(Ints from, int stride, int channels) {
    return MachineGather.create(from, stride, channels, Target.x86(width), cache);
  }
}
