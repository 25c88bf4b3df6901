package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/**
 * What {@link Precision#AUTO} measured for a network, and chose: the fastest precision whose result
 * deviates from that of {@link Precision#FP32} by at most {@link #MAX_DEVIATION}. A less exact
 * precision must be 10 % faster than a more exact one.
 *
 * <p>Only precisions for which the kernels have fast instructions are measured, and {@link
 * Precision#INT8} only with a {@link Quantization}. The inputs are two seeded images of noise with
 * structures of all sizes, 224×224 pixels, or 32×32 if the first convolution has stride 1. The
 * measurement takes about as long as 20 images.
 *
 * @param precision the choice: FP32, BF16 or INT8
 * @param candidates what was measured, FP32 first; empty if only FP32 was possible
 */
public record PrecisionChoice(Precision precision, List<Candidate> candidates) {
  /**
   * The largest accepted deviation of the result: the norm of the difference, divided by the norm
   * of the result in FP32. Trained networks are well below it; deep networks with random weights
   * are not, since they amplify every difference.
   */
  public static final double MAX_DEVIATION = 0.05;

  private static final double MIN_GAIN = 1.1;
  private static final int IMAGES = 2;
  private static final int RUNS = 3;

  /**
   * A precision that was measured.
   *
   * @param seconds the shortest time of a run with two images
   * @param deviation the norm of the difference from the result in FP32, divided by the norm of the
   *     latter; NaN if one of them is not finite
   */
  public record Candidate(Precision precision, double seconds, double deviation) {}

  public PrecisionChoice {
    candidates = List.copyOf(candidates);
  }

  /**
   * Measures a network.
   *
   * @param compile makes a session of a precision, which is closed here
   */
  static PrecisionChoice measure(
      Sequential network,
      int inChannels,
      boolean quantized,
      Kernels kernels,
      Function<Precision, Session> compile) {
    var precisions = new ArrayList<>(List.of(Precision.FP32));
    if (kernels.isFasterWith(Format.BF16)) {
      precisions.add(Precision.BF16);
    }
    if (quantized && kernels.isFasterWith(Format.U8)) {
      precisions.add(Precision.INT8);
    }
    if (precisions.size() == 1) {
      return new PrecisionChoice(Precision.FP32, List.of());
    }
    Tensor x = images(inChannels, firstStride(network) == 1 ? 32 : 224);
    var candidates = new ArrayList<Candidate>();
    Tensor exact = null;
    for (Precision precision : precisions) {
      try (Session session = compile.apply(precision)) {
        Tensor y = session.run(x);
        exact = exact == null ? y : exact;
        candidates.add(new Candidate(precision, seconds(session, x), deviation(exact, y)));
      }
    }
    return choose(candidates);
  }

  /** The choice among measured candidates, from the most exact to the least. */
  static PrecisionChoice choose(List<Candidate> candidates) {
    Candidate best = candidates.getFirst();
    for (Candidate each : candidates) {
      if (each.deviation <= MAX_DEVIATION && each.seconds * MIN_GAIN <= best.seconds) {
        best = each;
      }
    }
    return new PrecisionChoice(best.precision, candidates);
  }

  private static double seconds(Session session, Tensor x) {
    double least = Double.POSITIVE_INFINITY;
    for (int i = 0; i < RUNS; i++) {
      long start = System.nanoTime();
      session.run(x);
      least = Math.min(least, (System.nanoTime() - start) * 1e-9);
    }
    return least;
  }

  private static double deviation(Tensor exact, Tensor y) {
    double difference = 0;
    double length = 0;
    for (int i = 0; i < y.size(); i++) {
      double apart = (double) y.data()[i] - exact.data()[i];
      difference += apart * apart;
      length += (double) exact.data()[i] * exact.data()[i];
    }
    return difference == 0 ? length * 0 : Math.sqrt(difference / length);
  }

  /** Noise of the sizes 2, 4, 8 … pixels, each with the same variance; variance 1 in total. */
  private static Tensor images(int channels, int size) {
    Tensor x = Tensor.zeros(IMAGES, channels, size, size);
    var random = TorchRandom.manualSeed(0);
    int octaves = Integer.numberOfTrailingZeros(Integer.highestOneBit(size)) - 1;
    float scale = (float) Math.sqrt(1.0 / octaves);
    for (int octave = 1; octave <= octaves; octave++) {
      int cells = Math.ceilDiv(size, 1 << octave);
      float[] noise = random.randn(IMAGES * channels, cells, cells).data();
      for (int i = 0; i < x.size(); i++) {
        int column = i % size >> octave;
        int row = i / size % size >> octave;
        x.data()[i] += scale * noise[(i / (size * size) * cells + row) * cells + column];
      }
    }
    return x;
  }

  /** The stride of the first convolution. */
  private static int firstStride(Layer layer) {
    return switch (layer) {
      case Layer.Conv2d conv -> conv.stride();
      case Sequential sequential -> firstStride(sequential.layers().getFirst());
      default -> 1;
    };
  }

  /**
   * {@code bf16 (bf16: 2.9 times as fast as fp32, deviation 0.80 %; limit 5 %)}: the choice, then
   * what was measured.
   */
  @Override
  public String toString() {
    if (candidates.isEmpty()) {
      return "fp32: no faster precision is possible with these kernels and weights";
    }
    double exact = candidates.getFirst().seconds;
    var text = new StringBuilder(precision.name().toLowerCase(Locale.ROOT)).append(" (");
    for (Candidate each : candidates.subList(1, candidates.size())) {
      text.append(
          String.format(
              Locale.ROOT,
              "%s: %.1f times as fast as fp32, deviation %.2f %%; ",
              each.precision.name().toLowerCase(Locale.ROOT),
              exact / each.seconds,
              100 * each.deviation));
    }
    return text.append(String.format(Locale.ROOT, "limit %.0f %%)", 100 * MAX_DEVIATION))
        .toString();
  }
}
