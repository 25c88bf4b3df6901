package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import java.util.Arrays;

/**
 * The end of a block with channel attention: every channel times its gate, plus the shortcut, then
 * ReLU. The means first, then the gates of an image, then its pixels.
 *
 * <p>Where a word holds several channels, those that are the first in their words are called a
 * lane, those that are the second another one: lanes are calculated side by side.
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
    this.numbers = new Activation(in.channels, 4, 1, in.blockChannels);
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

  private boolean isFloat() {
    return in.format().isFloat() && residual.format().isFloat() && out.format().isFloat();
  }

  /** Whether channels lie in the same places of the same words everywhere. */
  private boolean isWordByWord() {
    int perWord = in.format().perWord();
    return residual.format().perWord() == perWord && out.format().perWord() == perWord;
  }

  private void means(Frame frame, int n, int part, int parts) {
    for (int b = in.blocks() * part / parts; b < in.blocks() * (part + 1) / parts; b++) {
      int plane = in.image(n) + b * in.plane();
      if (in.format().isFloat()) {
        kernels.average(
            frame.memory(),
            plane + in.pixel(0, 0),
            in.rowStride(),
            in.block(),
            in.height,
            in.width,
            at(n, b, MEAN));
      } else {
        meansOfWords(frame.arena(), plane, at(n, b, MEAN));
      }
    }
  }

  private void meansOfWords(float[] arena, int plane, int to) {
    int perWord = in.format().perWord();
    for (int lane = 0; lane < perWord; lane++) {
      float[] sums = new float[in.block()];
      for (int y = 0; y < in.height; y++) {
        for (int x = 0; x < in.width; x++) {
          int from = plane + in.pixel(y, x);
          for (int w = 0; w < sums.length; w++) {
            sums[w] += number(in.format(), Float.floatToRawIntBits(arena[from + w]), lane);
          }
        }
      }
      float share = in.scale() / (in.height * in.width);
      for (int w = 0; w < sums.length; w++) {
        arena[to + w * perWord + lane] = sums[w] * share;
      }
    }
  }

  /** A number of a word. */
  private static float number(Format format, int word, int lane) {
    return switch (format) {
      case BF16 -> Float.intBitsToFloat(lane == 0 ? word << 16 : word & 0xFFFF0000);
      case S8 -> word << 24 - 8 * lane >> 24;
      case U8 -> word >>> 8 * lane & 0xFF;
      case FP32, ROUNDED -> Float.intBitsToFloat(word);
    };
  }

  private void gate(float[] arena, int n) {
    int block = in.blockChannels;
    int lanes = in.format().perWord();
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
    for (int c = 0; c < in.channels; c++) { // lane by lane
      int place = c % block % lanes * (block / lanes) + c % block / lanes;
      arena[at(n, c / block, GATE) + place] = found[c] * in.scale() / out.scale();
    }
  }

  private void weigh(Frame frame, int n, int part, int parts) {
    int from = end(part - 1, parts);
    if (end(part, parts) == from) {
      return;
    }
    for (int b = 0; b < in.blocks(); b++) {
      if (isFloat()) {
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
      if (!isFloat() || out.format() == Format.ROUNDED) {
        for (int y = from; y < end(part, parts); y++) {
          for (int x = 0; x < out.width; x++) {
            pixel(frame.arena(), n, b, y, x);
          }
        }
      }
    }
  }

  private void pixel(float[] arena, int n, int b, int y, int x) {
    int from = in.image(n) + b * in.plane() + in.pixel(y, x);
    int with = residual.image(n) + b * residual.plane() + residual.pixel(y, x);
    int to = out.image(n) + b * out.plane() + out.pixel(y, x);
    int gate = at(n, b, GATE);
    if (isFloat()) {
      for (int c = 0; c < out.block(); c++) {
        arena[to + c] = Format.rounded(arena[to + c]);
      }
    } else if (!isWordByWord()) {
      float share = residual.scale() / out.scale();
      for (int c = 0; c < out.blockChannels; c++) {
        int lanes = in.format().perWord();
        float own = arena[gate + c % lanes * in.block() + c / lanes];
        float sum =
            in.format().get(arena, from, c) * own + residual.format().get(arena, with, c) * share;
        out.format().put(arena, to, c, Math.max(0, sum));
      }
    } else if (out.format() == Format.BF16) {
      halves(arena, from, with, to, gate);
    } else {
      bytes(arena, from, with, to, gate);
    }
  }

  private void halves(float[] arena, int from, int with, int to, int gate) {
    int block = out.block();
    for (int w = 0; w < block; w++) {
      int a = Float.floatToRawIntBits(arena[from + w]);
      int b = Float.floatToRawIntBits(arena[with + w]);
      float low = Float.intBitsToFloat(a << 16) * arena[gate + w] + Float.intBitsToFloat(b << 16);
      float high =
          Float.intBitsToFloat(a & 0xFFFF0000) * arena[gate + block + w]
              + Float.intBitsToFloat(b & 0xFFFF0000);
      int first = half(Math.max(0, low)) >>> 16;
      arena[to + w] = Float.intBitsToFloat(first | half(Math.max(0, high)) & 0xFFFF0000);
    }
  }

  /** Rounded to the nearest, of two the even one, in the upper half; without a branch. */
  private static int half(float value) {
    int bits = Float.floatToRawIntBits(value);
    return bits + 0x7FFF + (bits >>> 16 & 1);
  }

  private void bytes(float[] arena, int from, int with, int to, int gate) {
    int block = out.block();
    float share = residual.scale() / out.scale();
    int sign = residual.format() == Format.S8 ? 0x80808080 : 0; // as the byte plus 128
    float offset = sign == 0 ? 0 : 128 * share;
    for (int w = 0; w < block; w++) {
      int a = Float.floatToRawIntBits(arena[from + w]);
      int b = Float.floatToRawIntBits(arena[with + w]) ^ sign;
      int word = 0;
      for (int lane = 0; lane < 4; lane++) {
        float own = (a << 24 - 8 * lane >> 24) * arena[gate + lane * block + w];
        float sum = own + ((b >>> 8 * lane & 0xFF) * share - offset);
        // A number that large has no bits for fractions: rounded to the nearest, of two the even.
        float whole = Math.min(255, Math.max(0, sum)) + ROUNDING;
        word |= (Float.floatToRawIntBits(whole) & 0xFF) << 8 * lane;
      }
      arena[to + w] = Float.intBitsToFloat(word);
    }
  }

  private static final float ROUNDING = 0x1p23f;
}
