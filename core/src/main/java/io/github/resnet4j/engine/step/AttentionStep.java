package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.kernel.PoolKernels;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The end of a block with channel attention: multiplies every channel by its gate, adds the
 * shortcut and applies ReLU. The phases compute the means, the gates of an image, and its pixels.
 *
 * <p>If a word holds several channels, the first channels of all words form a lane, the second
 * channels another one, and so on. Lanes are computed one after the other.
 */
public final class AttentionStep implements Step {
  // Rows of an image's workspace: the factor of x, the summand, the factor of the shortcut; and the
  // means.
  private static final int GATE = 0;
  private static final int ZERO = 1;
  private static final int ONE = 2;
  private static final int MEAN = 3;

  private final String name;
  private final Gates gates;
  private final Activation in;
  private final Activation residual;
  private final Activation out;
  private final Activation workspace;
  private final PoolKernels.@Nullable Average average;

  /**
   * By the number of rows of a part; the last one takes all rows. Empty if values are not floats.
   */
  private final NormKernels.Normalize[] scale;

  /**
   * @param workspace the {@link #workspace}
   * @param parts the number of threads among which an image may be split
   */
  public AttentionStep(
      String name,
      Gates gates,
      Operands operands,
      Activation workspace,
      int parts,
      Kernels kernels) {
    this.name = name;
    this.gates = gates;
    this.in = operands.in();
    this.residual = Objects.requireNonNull(operands.residual());
    this.out = operands.out();
    this.workspace = workspace;
    this.average = in.format().isFloat() ? kernels.pool().average(in.asPlane()) : null;
    this.scale = new NormKernels.Normalize[isFloat() ? parts + 1 : 0];
    Arrays.setAll(
        scale,
        part -> {
          int own = part == parts ? in.height() : end(part, parts) - end(part - 1, parts);
          int rows = Math.max(1, own);
          return kernels
              .norm()
              .normalize(
                  in.asPlane().part(rows, in.width()),
                  residual.asPlane().part(rows, in.width()),
                  out.asPlane().part(rows, in.width()));
        });
  }

  private int end(int part, int parts) {
    return in.height() * (part + 1) / parts;
  }

  /** The layout of the workspace for the input's channels. */
  public static Layout workspace(Layout in, int images) {
    return Layout.of(in.channels(), 4, 1, in.blockChannels()).withImages(images);
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
  public int phases() {
    return 3;
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    for (int n = first; n < first + count; n++) {
      switch (phase) {
        case 0 -> means(context, n, part, parts);
        case 1 -> {
          if (part == 0) {
            gate(context.arena(), n);
            out.clearBorder(context.arena(), n);
          }
        }
        default -> scale(context, n, part, parts);
      }
    }
  }

  private int at(int image, int b, int row) {
    return workspace.at(image, b, row, 0);
  }

  private boolean isFloat() {
    return in.format().isFloat() && residual.format().isFloat() && out.format().isFloat();
  }

  /** Whether all operands have their channels at the same positions of the same words. */
  private boolean isWordByWord() {
    int perWord = in.format().perWord();
    return residual.format().perWord() == perWord && out.format().perWord() == perWord;
  }

  private void means(ExecutionContext context, int n, int part, int parts) {
    for (int b = in.blocks() * part / parts; b < in.blocks() * (part + 1) / parts; b++) {
      if (average != null) {
        average.run(context.memory(), in.at(n, b, 0, 0), at(n, b, MEAN));
      } else {
        meansOfWords(context.arena(), in.at(n, b, 0, 0), at(n, b, MEAN));
      }
    }
  }

  /** Rows are summed first: the C2 compiler vectorizes only long loops. */
  private void meansOfWords(float[] arena, int from, int to) {
    int perWord = in.format().perWord();
    int block = in.block();
    float[] sums = new float[in.width() * block];
    float meanScale = in.layout().scale() / (in.height() * in.width());
    for (int lane = 0; lane < perWord; lane++) {
      Arrays.fill(sums, 0);
      for (int y = 0; y < in.height(); y++) {
        addRow(arena, from + y * in.rowStride(), lane, sums);
      }
      for (int w = 0; w < block; w++) {
        float sum = 0;
        for (int i = w; i < sums.length; i += block) {
          sum += sums[i];
        }
        arena[to + w * perWord + lane] = sum * meanScale;
      }
    }
  }

  private void addRow(float[] arena, int from, int lane, float[] sums) {
    if (in.format() == Format.BF16) {
      int shift = lane == 0 ? 16 : 0;
      for (int i = 0; i < sums.length; i++) {
        int word = Float.floatToRawIntBits(arena[from + i]);
        sums[i] += Float.intBitsToFloat(word << shift & 0xFFFF0000);
      }
    } else {
      int left = 24 - 8 * lane;
      for (int i = 0; i < sums.length; i++) {
        sums[i] += Float.floatToRawIntBits(arena[from + i]) << left >> 24;
      }
    }
  }

  private void gate(float[] arena, int n) {
    int block = in.layout().blockChannels();
    int lanes = in.format().perWord();
    float[] means = new float[in.channels()];
    float[] found = new float[in.channels()];
    for (int c = 0; c < in.channels(); c++) {
      means[c] = arena[at(n, c / block, MEAN) + c % block];
    }
    gates.compute(means, found);
    for (int b = 0; b < in.blocks(); b++) {
      Arrays.fill(arena, at(n, b, GATE), at(n, b, ZERO) + block, 0);
      Arrays.fill(arena, at(n, b, ONE), at(n, b, ONE) + block, 1);
    }
    for (int c = 0; c < in.channels(); c++) { // lane by lane
      int place = c % block % lanes * (block / lanes) + c % block / lanes;
      arena[at(n, c / block, GATE) + place] = found[c] * in.layout().scale() / out.layout().scale();
    }
  }

  private void scale(ExecutionContext context, int n, int part, int parts) {
    int from = end(part - 1, parts);
    if (end(part, parts) == from) {
      return;
    }
    float[] spread =
        isWordByWord() && !isFloat() ? new float[out.width() * in.layout().blockChannels()] : NONE;
    for (int b = 0; b < in.blocks(); b++) {
      if (isFloat()) {
        scale[parts == 1 ? scale.length - 1 : part].run(
            context.memory(),
            in.at(n, b, from, 0),
            at(n, b, GATE),
            residual.at(n, b, from, 0),
            out.at(n, b, from, 0));
      } else {
        spread(context.arena(), at(n, b, GATE), spread);
      }
      if (!isFloat() || out.format() == Format.ROUNDED) {
        for (int y = from; y < end(part, parts); y++) {
          row(context.arena(), n, b, y, spread);
        }
      }
    }
  }

  private static final float[] NONE = {};

  /** Repeats the gates of every lane for each pixel of a row, so that a row is one long loop. */
  private void spread(float[] arena, int gate, float[] to) {
    int block = in.block();
    int row = out.width() * block;
    for (int i = 0; i < to.length; i += block) {
      System.arraycopy(arena, gate + i / row * block, to, i, block);
    }
  }

  private void row(float[] arena, int n, int b, int y, float[] spread) {
    int from = in.at(n, b, y, 0);
    int with = residual.at(n, b, y, 0);
    int to = out.at(n, b, y, 0);
    int words = out.width() * out.block();
    if (isFloat()) {
      for (int i = 0; i < words; i++) {
        arena[to + i] = Format.rounded(arena[to + i]);
      }
    } else if (!isWordByWord()) {
      for (int x = 0; x < out.width(); x++) {
        pixel(
            arena,
            from + x * in.block(),
            with + x * residual.block(),
            to + x * out.block(),
            at(n, b, GATE));
      }
    } else if (out.format() == Format.BF16) {
      halves(arena, from, with, to, words, spread);
    } else {
      bytes(arena, from, with, to, words, spread);
    }
  }

  /** Computes a pixel for any combination of formats. */
  private void pixel(float[] arena, int from, int with, int to, int gate) {
    int lanes = in.format().perWord();
    float residualScale = residual.layout().scale() / out.layout().scale();
    for (int c = 0; c < out.layout().blockChannels(); c++) {
      float own = arena[gate + c % lanes * in.block() + c / lanes];
      float sum =
          in.format().get(arena, from, c) * own
              + residual.format().get(arena, with, c) * residualScale;
      out.format().put(arena, to, c, Math.max(0, sum));
    }
  }

  private static void halves(float[] arena, int from, int with, int to, int words, float[] gates) {
    for (int i = 0; i < words; i++) {
      int a = Float.floatToRawIntBits(arena[from + i]);
      int b = Float.floatToRawIntBits(arena[with + i]);
      float low = Float.intBitsToFloat(a << 16) * gates[i] + Float.intBitsToFloat(b << 16);
      float high =
          Float.intBitsToFloat(a & 0xFFFF0000) * gates[words + i]
              + Float.intBitsToFloat(b & 0xFFFF0000);
      int first = half(Math.max(0, low)) >>> 16;
      arena[to + i] = Float.intBitsToFloat(first | half(Math.max(0, high)) & 0xFFFF0000);
    }
  }

  /** The upper half of the float, rounded half to even; without a branch. */
  private static int half(float value) {
    int bits = Float.floatToRawIntBits(value);
    return bits + 0x7FFF + (bits >>> 16 & 1);
  }

  private void bytes(float[] arena, int from, int with, int to, int words, float[] gates) {
    float residualScale = residual.layout().scale() / out.layout().scale();
    int sign = residual.format() == Format.S8 ? 0x80808080 : 0; // as the byte plus 128
    float offset = sign == 0 ? 0 : 128 * residualScale;
    for (int i = 0; i < words; i++) {
      int a = Float.floatToRawIntBits(arena[from + i]);
      int b = Float.floatToRawIntBits(arena[with + i]) ^ sign;
      float first = (a << 24 >> 24) * gates[i] + ((b & 0xFF) * residualScale - offset);
      float second =
          (a << 16 >> 24) * gates[words + i] + ((b >>> 8 & 0xFF) * residualScale - offset);
      float third =
          (a << 8 >> 24) * gates[2 * words + i] + ((b >>> 16 & 0xFF) * residualScale - offset);
      float fourth = (a >> 24) * gates[3 * words + i] + ((b >>> 24) * residualScale - offset);
      arena[to + i] =
          Float.intBitsToFloat(
              whole(first) | whole(second) << 8 | whole(third) << 16 | whole(fourth) << 24);
    }
  }

  /**
   * A number from 0 to 255, rounded half to even: after the addition the float has no bits for
   * fractions.
   */
  private static int whole(float value) {
    return Float.floatToRawIntBits(Math.min(255, Math.max(0, value)) + 0x1p23f) & 0xFF;
  }
}
