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
   *     of floats or bfloat16, and nothing else may read the border
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
                  new PoolKernels.Windows(layer.kernel(), layer.stride(), signed || layer.zeros()),
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
          in.fillBorder(context.arena(), n, least(in.format()));
        }
      } else {
        RowStep.super.run(context, first, count, phase, part, parts);
      }
    }

    /** A word of negative infinities. */
    private static float least(Format format) {
      float[] word = new float[1];
      for (int i = 0; i < format.perWord(); i++) {
        format.put(word, 0, i, Float.NEGATIVE_INFINITY);
      }
      return word[0];
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

  /** Weighted sums of windows: average pooling, or a low-pass filter. */
  public record Windows(
      String name, String algorithm, Activation in, Activation out, PoolKernels.WeightedRow kernel)
      implements RowStep {
    private static Windows of(
        String name,
        String algorithm,
        WindowAxes axes,
        Activation in,
        Activation out,
        Kernels kernels) {
      return new Windows(
          name,
          algorithm,
          in,
          out,
          kernels.pool().weighted(axes.rows(), axes.columns(), in.asPlane(), out.asPlane(), false));
    }

    /** Average pooling. */
    public static Windows of(AvgPool2d layer, Activation in, Activation out, Kernels kernels) {
      String algorithm =
          "average %dx%d/%d".formatted(layer.kernel(), layer.kernel(), layer.stride());
      return of(layer.name(), algorithm, WindowAxes.of(layer, in, out), in, out, kernels);
    }

    /** A low-pass filter. */
    public static Windows of(BlurPool2d layer, Activation in, Activation out, Kernels kernels) {
      String algorithm = "blur 3x3/" + layer.stride();
      return of(layer.name(), algorithm, WindowAxes.of(layer, in, out), in, out, kernels);
    }

    @Override
    public void row(ExecutionContext context, int image, int y) {
      for (int b = 0; b < out.blocks(); b++) {
        kernel.run(context.memory(), in.at(image, b, 0, 0), y, out.at(image, b, y, 0));
      }
    }
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
      int before = (out.channels() - in.channels()) / 2;
      int perWord = out.format().perWord();
      if (before % perWord == 0 && in.channels() % perWord == 0) {
        rowOfWords(context.arena(), image, y, before);
      } else {
        for (int c = 0; c < out.layout().paddedChannels(); c++) {
          row(context.arena(), image, y, c, before);
        }
      }
    }

    /** One row; words that are contiguous in both activations are copied together. */
    private void rowOfWords(float[] arena, int n, int y, int before) {
      int perWord = out.format().perWord();
      int block = out.layout().blockChannels();
      int c = 0;
      while (c < out.layout().paddedChannels()) {
        int old = c - before;
        boolean isNew = old < 0 || old >= in.channels();
        int length = block - c % block;
        if (old < 0) {
          length = Math.min(length, -old);
        } else if (!isNew) {
          length = Math.min(length, Math.min(in.channels() - old, block - old % block));
        }
        int words = length / perWord;
        int to = out.word(n, c) + out.layout().pixel(y, 0);
        int from = isNew ? 0 : in.word(n, old) + in.layout().pixel(y * stride, 0);
        for (int x = 0; x < out.width(); x++) {
          int at = to + x * out.block();
          if (isNew) {
            Arrays.fill(arena, at, at + words, 0);
          } else {
            System.arraycopy(arena, from + x * stride * in.block(), arena, at, words);
          }
        }
        c += length;
      }
    }

    /** One row of one channel; half of the added channels precede the old ones. */
    private void row(float[] arena, int n, int y, int channel, int before) {
      int old = channel - before;
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
