package io.github.resnet4j.kernel;

import java.lang.System.Logger.Level;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Convolutions in machine code for arm64, in the formats that the processor supports. */
final class Arm64Conv implements ConvKernels {
  static final int LANES = 4;

  /** The number of products of a tile per call: 50 µs on a slow core. */
  private static final long MAX_PRODUCTS_PER_CALL = 1_000_000;

  private final Set<Arm64Feature> features;
  private final MachineCache cache;

  /** For the formats that this processor does not support. */
  private final ConvKernels scalar = new ScalarConv();

  /** The results of the self-tests, by format. */
  private final ConcurrentHashMap<Format, Boolean> passed = new ConcurrentHashMap<>();

  Arm64Conv(Set<Arm64Feature> features, MachineCache cache) {
    this.features = features;
    this.cache = cache;
  }

  @Override
  public ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    return supports(shape.in().format())
            && supports(shape.out().format())
            && shape.in().weights() != Format.S16
        ? machineTile(shape, tiles, segments)
        : scalar.tile(shape, tiles, segments);
  }

  private ConvTile machineTile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    MemorySegment code = cache.get(shape, () -> new Arm64TileCode(shape, features).generate());
    return new MachineTile(shape, LANES, code, MAX_PRODUCTS_PER_CALL, tiles, segments);
  }

  boolean supports(Format format) {
    return switch (format) {
      case FP32, ROUNDED -> true;
      case BF16 -> features.contains(Arm64Feature.BF16) && passes(Format.BF16);
      case S16 -> false;
      case U8, S8 -> features.contains(Arm64Feature.DOT_PRODUCT) && passes(Format.U8);
    };
  }

  /** bfloat16 needs two instructions where float needs one: it only saves memory. */
  boolean isFasterWith(Format in) {
    return in == Format.U8 && supports(in);
  }

  /** Whether a format passes its self-test, which runs when the format is first used. */
  private boolean passes(Format in) {
    return passed.computeIfAbsent(
        in,
        format -> {
          boolean agree = SelfTest.agree(this::machineTile, LANES, format, weights(format));
          if (!agree) {
            System.getLogger("io.github.resnet4j")
                .log(
                    Level.WARNING,
                    "the self-test of {0} failed: using plain loops instead",
                    format);
          }
          return agree;
        });
  }

  @Override
  public Gather gather(Ints from, int stride, int channels) {
    return MachineGather.create(from, stride, channels, Target.arm64(), cache);
  }
}
