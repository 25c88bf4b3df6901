package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.MachineCode.check;
import static io.github.resnet4j.kernel.MachineCode.unexpected;

import io.github.resnet4j.kernel.MachineCode.Feature;
import io.github.resnet4j.kernel.Vec.Width;
import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** Convolutions in machine code, in the formats whose products the processor has. */
final class MachineConv implements ConvKernels {
  private static final MethodHandle GATHER = MachineCode.caller(4, 7);

  /** Floats that a call brings to their place: some 20 µs, since the collector waits for it. */
  private static final int FLOATS_OF_A_CALL = 16_384;

  private final Width width;
  private final boolean hasBytes;
  private final boolean hasHalves;
  private final MachineCache cache;

  /** For the formats that this processor has no products of. */
  private final ConvKernels scalar = new ScalarConv();

  /** Which formats passed their self-test. */
  private final ConcurrentHashMap<Format, Boolean> passed = new ConcurrentHashMap<>();

  /** Whether bfloat16 is fast; measured when first asked. */
  private @Nullable Boolean gainsByHalves;

  MachineConv(Width width, Set<Feature> features, MachineCache cache) {
    this.width = width;
    this.hasBytes = features.contains(width == Width.ZMM ? Feature.AVX512_VNNI : Feature.AVX_VNNI);
    this.hasHalves = width == Width.ZMM && features.contains(Feature.AVX512_BF16);
    this.cache = cache;
  }

  /** Vectors of results that a tile keeps in registers. */
  int accumulators() {
    return width == Width.ZMM ? 28 : 12;
  }

  /** Vectors of output channels that a tile has for each pixel, at most. */
  int mostVectors() {
    return width == Width.ZMM ? 4 : 2;
  }

  @Override
  public ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints runs) {
    return has(shape.in().format()) && has(shape.out().format())
        ? machineTile(shape, tiles, runs)
        : scalar.tile(shape, tiles, runs);
  }

  private ConvTile machineTile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints runs) {
    MemorySegment code = cache.get(shape, () -> new MachineTileCode(shape, width).generate());
    return new MachineTile(shape, width.lanes(), code, tiles, runs);
  }

  boolean has(Format format) {
    return switch (format) {
      case FP32, ROUNDED -> true;
      case BF16 -> hasHalves && passes(Format.BF16);
      case U8, S8 -> hasBytes && passes(Format.U8);
    };
  }

  /** Whether a format passes its self-test, which waits until somebody asks for the format. */
  private boolean passes(Format in) {
    return passed.computeIfAbsent(
        in,
        format -> {
          boolean agree = SelfTest.agree(this::machineTile, width.lanes(), format);
          if (!agree) {
            System.getLogger("io.github.resnet4j")
                .log(Level.WARNING, "the self-test of {0} failed: plain loops instead", format);
          }
          return agree;
        });
  }

  boolean gainsBy(Format in) {
    return switch (in) {
      case FP32, ROUNDED, S8 -> false;
      case U8 -> has(in);
      case BF16 -> has(in) && gainsByHalves();
    };
  }

  /** Some processors have the products, but take several times as long for them. */
  private synchronized boolean gainsByHalves() {
    if (gainsByHalves == null) {
      gainsByHalves = fastest(Format.BF16) < 1.5 * fastest(Format.FP32);
    }
    return gainsByHalves;
  }

  /** Nanoseconds of some calls that take as many instructions in every format. */
  private long fastest(Format format) {
    int run = 256;
    int channels = mostVectors() * width.lanes();
    int pixels = accumulators() / mostVectors();
    var shape =
        new ConvTile.Shape(
            pixels,
            channels,
            new ConvTile.Input(format, run, run),
            new ConvTile.Output(Format.FP32, channels, null, true));
    ConvTile tile = tile(shape, ConvTile.Tiles.ONE, Ints.of(0));
    Floats arena = Floats.of(new float[pixels * (run + channels)]);
    Floats weights = Floats.of(new float[(run + 1) * channels]);
    var sum = new ConvTile.Reduction(0, 1, run * channels);
    long fastest = Long.MAX_VALUE;
    for (int i = 0; i < 8; i++) {
      long start = System.nanoTime();
      for (int r = 0; r < 4; r++) {
        tile.run(arena, 0, 1, 0, pixels * run, 0, weights, 0, sum);
      }
      fastest = Math.min(fastest, System.nanoTime() - start);
    }
    return fastest;
  }

  /** The code of gathering has no constants. */
  private record GatherCode() {}

  @Override
  public Gather gather(Ints from, int stride, int channels) {
    if (stride < 0 || channels < 1 || channels % 4 != 0) {
      throw new IllegalArgumentException(
          "channels must be a multiple of 4, was %d, %d apart".formatted(channels, stride));
    }
    MemorySegment code = cache.get(new GatherCode(), MachineGather::code);
    int atOnce = Math.max(1, FLOATS_OF_A_CALL / channels);
    long span = (channels - 1L) * stride + 1;
    return (source, start, scales, first, to, at) -> {
      check(source, (long) start + from.least, start + from.most + span);
      check(scales, first, (long) first + channels);
      check(to, at, at + (long) from.size() * channels);
      MemorySegment input = source.enter();
      MemorySegment factors = scales.enter();
      MemorySegment result = to.enter();
      for (int i = 0; i < from.size(); i += atOnce) {
        try {
          GATHER.invokeExact(
              code,
              input,
              from.segment,
              factors,
              result,
              4L * start,
              4L * first,
              4L * (at + i * channels),
              (long) Math.min(atOnce, from.size() - i),
              4L * stride,
              (long) channels,
              4L * i);
        } catch (Throwable e) {
          throw unexpected(e);
        }
      }
      to.leave();
    };
  }
}
