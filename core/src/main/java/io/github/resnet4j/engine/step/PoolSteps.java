package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.PoolKernels;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import java.util.Arrays;

/** The steps without weights. */
public final class PoolSteps {
  private PoolSteps() {}

  /** A step that makes its result row by row, all channels of one at a time. */
  private interface ByRows extends Step {
    void row(Frame frame, int image, int y);

    @Override
    default void run(Frame frame, int first, int count, int phase, int part, int parts) {
      for (int n = first; n < first + count; n++) {
        if (part == 0) {
          out().clearBorder(frame.arena(), n);
        }
        int height = out().height();
        for (int y = height * part / parts; y < height * (part + 1) / parts; y++) {
          row(frame, n, y);
        }
      }
    }
  }

  /** Maximum over windows. The border's zeros are no larger than any result of a ReLU. */
  public record MaxPool(MaxPool2d layer, Activation in, Activation out, PoolKernels.MaxRow max)
      implements ByRows {
    public MaxPool(MaxPool2d layer, Activation in, Activation out, Kernels kernels) {
      this(
          layer,
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
    public void row(Frame frame, int image, int y) {
      int top = y * layer.stride() - layer.padding();
      for (int b = 0; b < out.blocks(); b++) {
        max.run(frame.memory(), in.at(image, b, top, -layer.padding()), out.at(image, b, y, 0));
      }
    }
  }

  /** The mean over all pixels. */
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
    public void run(Frame frame, int first, int count, int phase, int part, int parts) {
      for (int n = first; n < first + count; n++) {
        for (int b = in.blocks() * part / parts; b < in.blocks() * (part + 1) / parts; b++) {
          average.run(frame.memory(), in.at(n, b, 0, 0), out.at(n, b, 0, 0));
        }
      }
    }
  }

  /** The mean over windows of at most as many pixels as there are. */
  public static final class AverageWindows implements ByRows {
    private final AvgPool2d layer;
    private final Activation in;
    private final Activation out;

    /** By rows and columns of a window, less one; empty where numbers are no floats. */
    private final PoolKernels.Average[] averages;

    /**
     * @throws IllegalArgumentException if windows have more than 2×2 pixels, whose bytes would not
     *     add up so
     */
    public AverageWindows(AvgPool2d layer, Activation in, Activation out, Kernels kernels) {
      if (layer.kernel() > 2) {
        throw new IllegalArgumentException(
            "%s: means of 1×1 or 2×2 pixels, not %d".formatted(layer.name(), layer.kernel()));
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
    public void row(Frame frame, int image, int y) {
      for (int b = 0; b < out.blocks(); b++) {
        row(frame, image, b, y);
      }
    }

    private void row(Frame frame, int n, int b, int y) {
      int top = y * layer.stride();
      int rows = Math.min(layer.kernel(), in.height() - top);
      int to = out.at(n, b, y, 0);
      int from = in.at(n, b, top, 0);
      for (int x = 0; x < out.width(); x++) {
        int left = x * layer.stride();
        int columns = Math.min(layer.kernel(), in.width() - left);
        if (out.format().isFloat()) {
          averages[2 * (rows - 1) + columns - 1].run(
              frame.memory(), from + left * in.block(), to + x * out.block());
        } else {
          int[] pixels = new int[rows * columns];
          for (int i = 0; i < pixels.length; i++) {
            pixels[i] =
                from + left * in.block() + i / columns * in.rowStride() + i % columns * in.block();
          }
          words(frame.arena(), out, pixels, ONCE, pixels.length, to + x * out.block());
        }
      }
    }
  }

  /** A low-pass filter. */
  public record Blur(BlurPool2d layer, Activation in, Activation out) implements Step {
    private static final int[] WEIGHTS = {1, 2, 1, 2, 4, 2, 1, 2, 1};
    private static final int ALL = 16;

    @Override
    public String name() {
      return layer.name();
    }

    @Override
    public String algorithm() {
      return "blur 3x3/" + layer.stride();
    }

    @Override
    public void run(Frame frame, int first, int count, int phase, int part, int parts) {
      float[] arena = frame.arena();
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
     * @param pixels takes the places of a window's pixels
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
          words(arena, out, pixels, WEIGHTS, ALL, to + x * out.block());
        }
      }
    }

    private void floats(float[] arena, int[] p, int to) {
      for (int c = 0; c < out.block(); c++) {
        float corners = arena[p[0] + c] + arena[p[2] + c] + (arena[p[6] + c] + arena[p[8] + c]);
        float edges = arena[p[1] + c] + arena[p[3] + c] + (arena[p[5] + c] + arena[p[7] + c]);
        arena[to + c] = (corners + 2 * edges + 4 * arena[p[4] + c]) / ALL;
      }
      if (out.format() == Format.ROUNDED) {
        for (int c = 0; c < out.block(); c++) {
          arena[to + c] = Format.rounded(arena[to + c]);
        }
      }
    }
  }

  private static final int[] ONCE = {1, 1, 1, 1};
  private static final int EVEN_BYTES = 0x00FF00FF;
  private static final int ONES = 0x00010001;

  /**
   * A weighed mean of pixels where a word holds several channels: they are added side by side.
   *
   * @param weights of the pixels, {@code all} together, at most 16 and a power of two
   */
  private static void words(
      float[] arena, Activation out, int[] pixels, int[] weights, int all, int to) {
    // Bytes with a sign become such without one, by an even offset.
    int sign = out.format() == Format.S8 ? 0x80808080 : 0;
    for (int c = 0; c < out.block(); c++) {
      int low = 0; // of bytes the even ones, of halves the first, as bits of a float
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

  /** Two sums of 16 bits divided by a power of two, rounded to the nearest, of two the even one. */
  private static int mean(int sums, int all) {
    int shift = Integer.numberOfTrailingZeros(all);
    if (shift == 0) {
      return sums;
    }
    int before = (all / 2 - 1) * ONES + (sums >>> shift & ONES);
    return sums + before >>> shift & EVEN_BYTES;
  }

  /** Option A's shortcut: every {@code stride}-th pixel, zeros for the new channels. */
  public record Subsample(String name, int stride, Activation in, Activation out)
      implements ByRows {
    @Override
    public String algorithm() {
      return "subsample";
    }

    @Override
    public void row(Frame frame, int image, int y) {
      if (out.format().perWord() == 1) {
        rowOfFloats(frame.arena(), image, y);
      } else {
        for (int c = 0; c < out.layout().paddedChannels(); c++) {
          row(frame.arena(), image, y, c);
        }
      }
    }

    /** One row, in runs of channels that lie side by side in both activations. */
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

    /** One row of one channel; as many new channels come before the old ones as after them. */
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
