package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.PoolKernels;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import java.util.Arrays;

/** The steps of layers without weights. */
public final class PoolSteps {
  private PoolSteps() {}

  /** A step that computes its result row by row, all channels of a row together. */
  private interface RowStep extends Step {
    void row(ExecutionContext context, int image, int y);

    @Override
    default void run(
        ExecutionContext context, int first, int count, int phase, int part, int parts) {
      for (int n = first; n < first + count; n++) {
        if (part == 0) {
          out().clearBorder(context.arena(), n);
        }
        int height = out().height();
        for (int y = height * part / parts; y < height * (part + 1) / parts; y++) {
          row(context, n, y);
        }
      }
    }
  }

  /**
   * The maximum of each window. After a ReLU the border's zeros do not change the maximum;
   * otherwise the border is set to negative infinity first.
   *
   * @param signed whether the input may be negative and its border does not count; it then consists
   *     of floats, and nothing else may read the border
   */
  public record MaxPool(
      MaxPool2d layer, boolean signed, Activation in, Activation out, PoolKernels.MaxRow max)
      implements RowStep {
    public MaxPool(
        MaxPool2d layer, boolean signed, Activation in, Activation out, Kernels kernels) {
      this(
          layer,
          signed,
          in,
          out,
          kernels
              .pool()
              .max(
                  new PoolKernels.Windows(layer.kernel(), layer.stride()),
                  in.asPlane(),
                  out.asPlane()));
    }

    @Override
    public String name() {
      return layer.name();
    }

    @Override
    public String algorithm() {
      return "max %dx%d/%d".formatted(layer.kernel(), layer.kernel(), layer.stride());
    }

    @Override
    public int phases() {
      return signed ? 2 : 1;
    }

    @Override
    public void run(
        ExecutionContext context, int first, int count, int phase, int part, int parts) {
      if (phase == 0 && signed) {
        for (int n = first; n < first + count && part == 0; n++) {
          in.fillBorder(context.arena(), n, Float.NEGATIVE_INFINITY);
        }
      } else {
        RowStep.super.run(context, first, count, phase, part, parts);
      }
    }

    @Override
    public void row(ExecutionContext context, int image, int y) {
      int top = y * layer.stride() - layer.padding();
      for (int b = 0; b < out.blocks(); b++) {
        max.run(context.memory(), in.at(image, b, top, -layer.padding()), out.at(image, b, y, 0));
      }
    }
  }

  /** The mean of all pixels. */
  public record AveragePool(String name, Activation in, Activation out, PoolKernels.Average average)
      implements Step {
    public AveragePool(String name, Activation in, Activation out, Kernels kernels) {
      this(name, in, out, kernels.pool().average(in.asPlane()));
    }

    @Override
    public String algorithm() {
      return "average";
    }

    @Override
    public void run(
        ExecutionContext context, int first, int count, int phase, int part, int parts) {
      for (int n = first; n < first + count; n++) {
        for (int b = in.blocks() * part / parts; b < in.blocks() * (part + 1) / parts; b++) {
          average.run(context.memory(), in.at(n, b, 0, 0), out.at(n, b, 0, 0));
        }
      }
    }
  }

  /** The mean of each window; windows at the edge have fewer pixels. */
  public static final class AverageWindows implements RowStep {
    private final AvgPool2d layer;
    private final Activation in;
    private final Activation out;

    /** By the height and width of a window, less one; empty if values are not floats. */
    private final PoolKernels.Average[] averages;

    /**
     * @throws IllegalArgumentException if windows have more than 2×2 pixels, since sums of more
     *     bytes would overflow
     */
    public AverageWindows(AvgPool2d layer, Activation in, Activation out, Kernels kernels) {
      if (layer.kernel() > 2) {
        throw new IllegalArgumentException(
            "%s: average pooling supports windows of 1×1 or 2×2 pixels, not %d"
                .formatted(layer.name(), layer.kernel()));
      }
      this.layer = layer;
      this.in = in;
      this.out = out;
      this.averages = new PoolKernels.Average[out.format().isFloat() ? 4 : 0];
      Arrays.setAll(averages, i -> kernels.pool().average(in.asPlane().part(1 + i / 2, 1 + i % 2)));
    }

    @Override
    public Activation out() {
      return out;
    }

    @Override
    public String name() {
      return layer.name();
    }

    @Override
    public String algorithm() {
      return "average %dx%d/%d".formatted(layer.kernel(), layer.kernel(), layer.stride());
    }

    @Override
    public void row(ExecutionContext context, int image, int y) {
      for (int b = 0; b < out.blocks(); b++) {
        row(context, image, b, y);
      }
    }

    private void row(ExecutionContext context, int n, int b, int y) {
      int top = y * layer.stride();
      int rows = Math.min(layer.kernel(), in.height() - top);
      int to = out.at(n, b, y, 0);
      int from = in.at(n, b, top, 0);
      for (int x = 0; x < out.width(); x++) {
        int left = x * layer.stride();
        int columns = Math.min(layer.kernel(), in.width() - left);
        if (out.format().isFloat()) {
          averages[2 * (rows - 1) + columns - 1].run(
              context.memory(), from + left * in.block(), to + x * out.block());
        } else {
          int[] pixels = new int[rows * columns];
          for (int i = 0; i < pixels.length; i++) {
            pixels[i] =
                from + left * in.block() + i / columns * in.rowStride() + i % columns * in.block();
          }
          words(context.arena(), out, pixels, EQUAL_WEIGHTS, pixels.length, to + x * out.block());
        }
      }
    }
  }

  /** A low-pass filter. */
  public record Blur(BlurPool2d layer, Activation in, Activation out) implements Step {
    private static final int[] WEIGHTS = {1, 2, 1, 2, 4, 2, 1, 2, 1};
    private static final int WEIGHT_SUM = 16;

    @Override
    public String name() {
      return layer.name();
    }

    @Override
    public String algorithm() {
      return "blur 3x3/" + layer.stride();
    }

    @Override
    public void run(
        ExecutionContext context, int first, int count, int phase, int part, int parts) {
      float[] arena = context.arena();
      int[] pixels = new int[WEIGHTS.length];
      for (int n = first; n < first + count; n++) {
        if (part == 0) {
          out.clearBorder(arena, n);
        }
        for (int y = out.height() * part / parts; y < out.height() * (part + 1) / parts; y++) {
          for (int b = 0; b < out.blocks(); b++) {
            row(arena, n, b, y, pixels);
          }
        }
      }
    }

    /**
     * @param pixels receives the indices of a window's pixels
     */
    private void row(float[] arena, int n, int b, int y, int[] pixels) {
      int to = out.at(n, b, y, 0);
      for (int x = 0; x < out.width(); x++) {
        for (int i = 0; i < pixels.length; i++) {
          int row = layer.source(y, i / 3, in.height());
          pixels[i] = in.at(n, b, row, layer.source(x, i % 3, in.width()));
        }
        if (out.format().isFloat()) {
          floats(arena, pixels, to + x * out.block());
        } else {
          words(arena, out, pixels, WEIGHTS, WEIGHT_SUM, to + x * out.block());
        }
      }
    }

    private void floats(float[] arena, int[] p, int to) {
      for (int c = 0; c < out.block(); c++) {
        float corners = arena[p[0] + c] + arena[p[2] + c] + (arena[p[6] + c] + arena[p[8] + c]);
        float edges = arena[p[1] + c] + arena[p[3] + c] + (arena[p[5] + c] + arena[p[7] + c]);
        arena[to + c] = (corners + 2 * edges + 4 * arena[p[4] + c]) / WEIGHT_SUM;
      }
      if (out.format() == Format.ROUNDED) {
        for (int c = 0; c < out.block(); c++) {
          arena[to + c] = Format.rounded(arena[to + c]);
        }
      }
    }
  }

  private static final int[] EQUAL_WEIGHTS = {1, 1, 1, 1};
  private static final int EVEN_BYTES = 0x00FF00FF;
  private static final int ONES = 0x00010001;

  /**
   * A weighted mean of pixels where a word holds several channels, which are summed in parallel.
   *
   * @param weights the weights of the pixels, whose sum {@code all} is at most 16 and a power of
   *     two
   */
  private static void words(
      float[] arena, Activation out, int[] pixels, int[] weights, int all, int to) {
    // Signed bytes become unsigned by an even offset.
    int sign = out.format() == Format.S8 ? 0x80808080 : 0;
    for (int c = 0; c < out.block(); c++) {
      int low = 0; // the even bytes or the first halves, as bits of a float
      int high = 0;
      for (int i = 0; i < pixels.length; i++) {
        int word = Float.floatToRawIntBits(arena[pixels[i] + c]);
        if (out.format() == Format.BF16) {
          low = added(low, word << 16, weights[i]);
          high = added(high, word & 0xFFFF0000, weights[i]);
        } else {
          int bytes = word ^ sign;
          low += (bytes & EVEN_BYTES) * weights[i];
          high += (bytes >>> 8 & EVEN_BYTES) * weights[i];
        }
      }
      int word =
          out.format() == Format.BF16
              ? half(low, all) >>> 16 | half(high, all)
              : (mean(low, all) | mean(high, all) << 8) ^ sign;
      arena[to + c] = Float.intBitsToFloat(word);
    }
  }

  private static int added(int sum, int bits, int weight) {
    return Float.floatToRawIntBits(Float.intBitsToFloat(sum) + weight * Float.intBitsToFloat(bits));
  }

  private static int half(int sum, int all) {
    return Float.floatToRawIntBits(Format.rounded(Float.intBitsToFloat(sum) / all));
  }

  /** Divides two sums of 16 bits by a power of two, rounded half to even. */
  private static int mean(int sums, int all) {
    int shift = Integer.numberOfTrailingZeros(all);
    if (shift == 0) {
      return sums;
    }
    int before = (all / 2 - 1) * ONES + (sums >>> shift & ONES);
    return sums + before >>> shift & EVEN_BYTES;
  }

  /** The option A shortcut: every {@code stride}-th pixel, zeros for the added channels. */
  public record Subsample(String name, int stride, Activation in, Activation out)
      implements RowStep {
    @Override
    public String algorithm() {
      return "subsample";
    }

    @Override
    public void row(ExecutionContext context, int image, int y) {
      if (out.format().perWord() == 1) {
        rowOfFloats(context.arena(), image, y);
      } else {
        for (int c = 0; c < out.layout().paddedChannels(); c++) {
          row(context.arena(), image, y, c);
        }
      }
    }

    /** One row; channels that are contiguous in both activations are copied together. */
    private void rowOfFloats(float[] arena, int n, int y) {
      int before = (out.channels() - in.channels()) / 2;
      int c = 0;
      while (c < out.layout().paddedChannels()) {
        int old = c - before;
        boolean isNew = old < 0 || old >= in.channels();
        int length = out.block() - c % out.block();
        if (old < 0) {
          length = Math.min(length, -old);
        } else if (!isNew) {
          length = Math.min(length, Math.min(in.channels() - old, in.block() - old % in.block()));
        }
        int to = out.word(n, c) + out.layout().pixel(y, 0);
        int from = isNew ? 0 : in.word(n, old) + in.layout().pixel(y * stride, 0);
        for (int x = 0; x < out.width(); x++) {
          int at = to + x * out.block();
          if (isNew) {
            Arrays.fill(arena, at, at + length, 0);
          } else {
            System.arraycopy(arena, from + x * stride * in.block(), arena, at, length);
          }
        }
        c += length;
      }
    }

    /** One row of one channel; half of the added channels precede the old ones. */
    private void row(float[] arena, int n, int y, int channel) {
      int old = channel - (out.channels() - in.channels()) / 2;
      boolean isNew = old < 0 || old >= in.channels();
      int to = out.word(n, channel) + out.layout().pixel(y, 0);
      int from = isNew ? 0 : in.word(n, old) + in.layout().pixel(y * stride, 0);
      Format format = out.format();
      for (int x = 0; x < out.width(); x++) {
        float value =
            isNew ? 0 : format.get(arena, from + x * stride * in.block(), old % format.perWord());
        format.put(arena, to + x * out.block(), channel % format.perWord(), value);
      }
    }
  }
}
