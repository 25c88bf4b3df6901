package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Kernels;
import java.util.Arrays;

/**
 * The end of a block with channel attention: every channel times its gate, plus the shortcut, then
 * ReLU. The means first, then the gates of an image, then its pixels.
 */
final class AttentionStep implements Step {
  // Rows of an image's numbers: what the kernel multiplies x with, what it adds, what it multiplies
  // the shortcut with; and the means.
  private static final int GATE = 0;
  private static final int ZERO = 1;
  private static final int ONE = 2;
  private static final int MEAN = 3;

  private final String name;
  private final Gates gates;
  private final Activation in;
  private final Activation residual;
  private final Activation out;
  private final Activation numbers;
  private final Kernels kernels;
  private final Kernels.Region[] rows;
  private final Kernels.Region whole;

  /**
   * @param images taken at once
   * @param parts that an image may be split into
   */
  AttentionStep(
      String name,
      Gates gates,
      Activation in,
      Activation residual,
      Activation out,
      int images,
      int parts,
      Kernels kernels) {
    this.name = name;
    this.gates = gates;
    this.in = in;
    this.residual = residual;
    this.out = out;
    this.kernels = kernels;
    this.numbers = new Activation(in.channels, 4, 1, in.block());
    numbers.holdImages(images);
    this.whole = new Kernels.Region(in.height, in.width, in.block());
    this.rows = new Kernels.Region[parts];
    Arrays.setAll(
        rows,
        part ->
            new Kernels.Region(
                Math.max(1, end(part, parts) - end(part - 1, parts)), in.width, in.block()));
  }

  private int end(int part, int parts) {
    return in.height * (part + 1) / parts;
  }

  /** Where an image's numbers are while the step runs. */
  Activation room() {
    return numbers;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public String algorithm() {
    return "attention";
  }

  @Override
  public Activation out() {
    return out;
  }

  @Override
  public long flops() {
    return 0;
  }

  @Override
  public int phases() {
    return 3;
  }

  @Override
  public void run(Frame frame, int first, int count, int phase, int part, int parts) {
    for (int n = first; n < first + count; n++) {
      switch (phase) {
        case 0 -> means(frame, n, part, parts);
        case 1 -> {
          if (part == 0) {
            gate(frame.arena(), n);
            out.clearBorder(frame.arena(), n);
          }
        }
        default -> weigh(frame, n, part, parts);
      }
    }
  }

  private int at(int image, int b, int row) {
    return numbers.image(image) + b * numbers.plane() + numbers.pixel(row, 0);
  }

  private void means(Frame frame, int n, int part, int parts) {
    for (int b = in.blocks() * part / parts; b < in.blocks() * (part + 1) / parts; b++) {
      kernels.average(
          frame.memory(),
          in.image(n) + b * in.plane() + in.pixel(0, 0),
          in.rowStride(),
          in.block(),
          in.height,
          in.width,
          at(n, b, MEAN));
    }
  }

  private void gate(float[] arena, int n) {
    int block = in.block();
    float[] means = new float[in.channels];
    float[] found = new float[in.channels];
    for (int c = 0; c < in.channels; c++) {
      means[c] = arena[at(n, c / block, MEAN) + c % block];
    }
    gates.compute(means, found);
    for (int b = 0; b < in.blocks(); b++) {
      Arrays.fill(arena, at(n, b, GATE), at(n, b, ZERO) + block, 0);
      Arrays.fill(arena, at(n, b, ONE), at(n, b, ONE) + block, 1);
    }
    for (int c = 0; c < in.channels; c++) {
      arena[at(n, c / block, GATE) + c % block] = found[c];
    }
  }

  private void weigh(Frame frame, int n, int part, int parts) {
    int from = end(part - 1, parts);
    if (end(part, parts) == from) {
      return;
    }
    for (int b = 0; b < in.blocks(); b++) {
      kernels.normalize(
          frame.memory(),
          parts == 1 ? whole : rows[part],
          in.image(n) + b * in.plane() + in.pixel(from, 0),
          in.rowStride(),
          at(n, b, GATE),
          residual.image(n) + b * residual.plane() + residual.pixel(from, 0),
          residual.rowStride(),
          out.image(n) + b * out.plane() + out.pixel(from, 0),
          out.rowStride());
    }
  }
}
