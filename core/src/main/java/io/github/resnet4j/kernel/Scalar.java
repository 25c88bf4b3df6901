package io.github.resnet4j.kernel;

import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.function.IntUnaryOperator;

/**
 * Every operation of a residual network as a plain loop over {@code [N, C, H, W]} floats: the
 * reference for the faster kernels. No method changes its inputs.
 *
 * <p>The result of each element is computed in one fixed order, independent of the number of
 * threads.
 */
public final class Scalar {
  /** The number of floats of unfolded input per task: one megabyte, which fits into an L2 cache. */
  private static final int TILE_FLOATS = 1 << 18;

  private Scalar() {}

  /** The parameters of a convolution's window; the same on both axes. */
  public record Window(int stride, int padding, int dilation, int groups) {}

  /**
   * The size of a convolution's or pooling's output along one axis.
   *
   * @throws IllegalArgumentException if the window does not fit into the padded input
   */
  public static int outputExtent(int input, int kernel, int stride, int padding, int dilation) {
    int lastStart = input + 2 * padding - dilation * (kernel - 1) - 1;
    if (lastStart < 0) {
      throw new IllegalArgumentException(
          "a window of %d (dilation %d) does not fit into %d pixels with padding %d"
              .formatted(kernel, dilation, input, padding));
    }
    return lastStart / stride + 1;
  }

  /**
   * Cross-correlation without bias.
   *
   * @param x {@code [N, C, H, W]}
   * @param weight {@code [O, C/groups, KH, KW]}
   * @return {@code [N, O, OH, OW]}
   */
  public static Tensor conv2d(Tensor x, Tensor weight, Window window, Team team) {
    int n = x.dim(0);
    int h = x.dim(2);
    int w = x.dim(3);
    int o = weight.dim(0);
    int kh = weight.dim(2);
    int kw = weight.dim(3);
    int oh = outputExtent(h, kh, window.stride, window.padding, window.dilation);
    int ow = outputExtent(w, kw, window.stride, window.padding, window.dilation);
    Tensor y = Tensor.zeros(n, o, oh, ow);

    int groupChannels = weight.dim(1);
    int groupOutputs = o / window.groups;
    int depth = groupChannels * kh * kw;
    int rows = Math.clamp(TILE_FLOATS / ((long) depth * ow), 1, oh);
    int rowTiles = Math.ceilDiv(oh, rows);
    int tiles = n * window.groups * rowTiles;
    // If there are few tiles (small images, batch size 1), the output channels are split as well,
    // so that no thread is idle.
    int splits = tiles < 2 * team.size() ? Math.min(team.size(), groupOutputs) : 1;

    team.forEach(
        tiles * splits,
        task -> {
          int split = task % splits;
          int tile = task / splits;
          int row = tile % rowTiles * rows;
          int group = tile / rowTiles % window.groups;
          int image = tile / rowTiles / window.groups;
          int count = Math.min(rows, oh - row) * ow;
          int input = (image * x.dim(1) + group * groupChannels) * h * w;
          float[][] columns = new float[depth][count];
          for (int k = 0; k < depth; k++) {
            unfold(
                x.data(),
                input + k / (kh * kw) * h * w,
                h,
                w,
                row * window.stride - window.padding + k / kw % kh * window.dilation,
                k % kw * window.dilation - window.padding,
                window.stride,
                columns[k],
                ow);
          }
          float[] sum = new float[count];
          int first = group * groupOutputs + split * groupOutputs / splits;
          int last = group * groupOutputs + (split + 1) * groupOutputs / splits;
          for (int c = first; c < last; c++) {
            Arrays.fill(sum, 0);
            addWeighted(sum, weight.data(), c * depth, columns);
            System.arraycopy(sum, 0, y.data(), ((image * o + c) * oh + row) * ow, count);
          }
        });
    return y;
  }

  /**
   * The gradient of {@link #conv2d}'s input: a convolution of the output's gradient, with zeros
   * inserted for the stride, inputs and outputs exchanged and the window rotated by 180°.
   *
   * @param dy the gradient of the output, {@code [N, O, OH, OW]}
   * @param weight {@code [O, C/groups, KH, KW]}
   * @param height the height of the input
   * @param width the width of the input
   * @return {@code [N, C, height, width]}
   */
  public static Tensor conv2dInputGradient(
      Tensor dy, Tensor weight, Window window, int height, int width, Team team) {
    int reach = window.dilation * (weight.dim(2) - 1);
    int outputs = dy.dim(1);
    int h = height + 2 * window.padding - reach;
    int w = width + 2 * window.padding - window.dilation * (weight.dim(3) - 1);
    Tensor spread = Tensor.zeros(dy.dim(0), outputs, h, w);
    int from = 0;
    for (int plane = 0; plane < spread.size(); plane += h * w) {
      for (int y = 0; y < dy.dim(2); y++) {
        for (int x = 0; x < dy.dim(3); x++) {
          spread.data()[plane + y * window.stride * w + x * window.stride] = dy.data()[from++];
        }
      }
    }
    var back = new Window(1, reach - window.padding, window.dilation, window.groups);
    return conv2d(spread, rotated(weight, window.groups), back, team);
  }

  /** {@code [O, C/groups, KH, KW]} to {@code [C, O/groups, KH, KW]}, with rotated windows. */
  private static Tensor rotated(Tensor weight, int groups) {
    int outputs = weight.dim(0) / groups;
    int inputs = weight.dim(1);
    int window = weight.dim(2) * weight.dim(3);
    Tensor rotated = Tensor.zeros(inputs * groups, outputs, weight.dim(2), weight.dim(3));
    int from = 0;
    for (int o = 0; o < weight.dim(0); o++) {
      for (int i = 0; i < inputs; i++) {
        int input = o / outputs * inputs + i;
        int to = (input * outputs + o % outputs) * window;
        for (int k = window - 1; k >= 0; k--) {
          rotated.data()[to + k] = weight.data()[from++];
        }
      }
    }
    return rotated;
  }

  /**
   * Copies the input pixels that one weight is multiplied with, in output order; pixels outside the
   * image are zero.
   */
  private static void unfold(
      float[] x, int plane, int h, int w, int top, int left, int stride, float[] column, int ow) {
    int from = Math.max(0, Math.ceilDiv(-left, stride));
    int to = Math.min(ow, Math.floorDiv(w - 1 - left, stride) + 1);
    for (int at = 0, y = top; at < column.length; at += ow, y += stride) {
      if (y < 0 || y >= h || to <= from) {
        continue;
      }
      int source = plane + y * w + left;
      if (stride == 1) {
        System.arraycopy(x, source + from, column, at + from, to - from);
      } else {
        for (int c = from; c < to; c++) {
          column[at + c] = x[source + c * stride];
        }
      }
    }
  }

  /**
   * sum[p] += Σ over k of w[k] · columns[k][p], four terms per pass.
   *
   * <p>Each column is a separate array: the C2 compiler vectorizes a loop only if it can prove that
   * its stores and loads do not overlap, which it cannot for offsets in one array. This is 3.5
   * times as fast.
   */
  private static void addWeighted(float[] sum, float[] w, int wAt, float[][] columns) {
    int k = 0;
    for (; k + 4 <= columns.length; k += 4) {
      float w0 = w[wAt + k];
      float w1 = w[wAt + k + 1];
      float w2 = w[wAt + k + 2];
      float w3 = w[wAt + k + 3];
      float[] c0 = columns[k];
      float[] c1 = columns[k + 1];
      float[] c2 = columns[k + 2];
      float[] c3 = columns[k + 3];
      for (int p = 0; p < sum.length; p++) {
        sum[p] += w0 * c0[p] + w1 * c1[p] + w2 * c2[p] + w3 * c3[p];
      }
    }
    for (; k < columns.length; k++) {
      float wk = w[wAt + k];
      float[] column = columns[k];
      for (int p = 0; p < sum.length; p++) {
        sum[p] += wk * column[p];
      }
    }
  }

  /**
   * Batch normalization with running statistics (Ioffe and Szegedy, arXiv 1502.03167, algorithm 2):
   * {@code weight · (x − mean) / √(variance + eps) + bias} per channel of {@code [N, C, H, W]}.
   */
  public static Tensor batchNorm(
      Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor variance, double eps) {
    int channels = x.dim(1);
    int plane = x.dim(2) * x.dim(3);
    Tensor y = Tensor.zeros(x.shape());
    float[] in = x.data();
    float[] out = y.data();
    for (int i = 0; i < x.dim(0) * channels; i++) {
      int c = i % channels;
      double scale = weight.data()[c] / Math.sqrt(variance.data()[c] + eps);
      float a = (float) scale;
      float b = (float) (bias.data()[c] - mean.data()[c] * scale);
      for (int p = i * plane; p < (i + 1) * plane; p++) {
        out[p] = a * in[p] + b;
      }
    }
    return y;
  }

  /**
   * Group normalization (Wu and He, arXiv 1803.08494, equations 1 to 4): {@code weight · (x − mean)
   * / √(variance + eps) + bias}, with mean and variance of each image's pixels in each group of
   * adjacent channels of {@code [N, C, H, W]}.
   */
  public static Tensor groupNorm(Tensor x, int groups, Tensor weight, Tensor bias, double eps) {
    int channels = x.dim(1);
    int plane = x.dim(2) * x.dim(3);
    int each = channels / groups * plane;
    Tensor y = Tensor.zeros(x.shape());
    float[] in = x.data();
    float[] out = y.data();
    for (int from = 0; from < in.length; from += each) {
      double mean = 0;
      for (int i = from; i < from + each; i++) {
        mean += in[i];
      }
      mean /= each;
      double variance = 0;
      for (int i = from; i < from + each; i++) {
        variance += (in[i] - mean) * (in[i] - mean);
      }
      double factor = 1 / Math.sqrt(variance / each + eps);
      for (int i = from; i < from + each; i++) {
        int c = i / plane % channels;
        out[i] = (float) (weight.data()[c] * (in[i] - mean) * factor + bias.data()[c]);
      }
    }
    return y;
  }

  /** max(x, 0). */
  public static Tensor relu(Tensor x) {
    Tensor y = Tensor.zeros(x.shape());
    float[] in = x.data();
    float[] out = y.data();
    for (int i = 0; i < in.length; i++) {
      out[i] = Math.max(in[i], 0);
    }
    return y;
  }

  /** The element-wise sum of two tensors of the same shape. */
  public static Tensor add(Tensor a, Tensor b) {
    if (!a.sameShape(b)) {
      throw new IllegalArgumentException("cannot add " + a + " and " + b);
    }
    Tensor y = Tensor.zeros(a.shape());
    float[] out = y.data();
    for (int i = 0; i < out.length; i++) {
      out[i] = a.data()[i] + b.data()[i];
    }
    return y;
  }

  /** The maximum of square windows of {@code [N, C, H, W]}; padding is ignored. */
  public static Tensor maxPool(Tensor x, int kernel, int stride, int padding) {
    return maxPool(x, kernel, stride, padding, Float.NEGATIVE_INFINITY);
  }

  /**
   * The same with other values beyond the border.
   *
   * @param border their value
   */
  public static Tensor maxPool(Tensor x, int kernel, int stride, int padding, float border) {
    int h = x.dim(2);
    int w = x.dim(3);
    int oh = outputExtent(h, kernel, stride, padding, 1);
    int ow = outputExtent(w, kernel, stride, padding, 1);
    Tensor y = Tensor.zeros(x.dim(0), x.dim(1), oh, ow);
    int to = 0;
    for (int plane = 0; plane < x.size(); plane += h * w) {
      for (int r = 0; r < oh; r++) {
        for (int c = 0; c < ow; c++) {
          int top = r * stride - padding;
          int left = c * stride - padding;
          boolean isInside = top >= 0 && left >= 0 && top + kernel <= h && left + kernel <= w;
          float max = isInside ? Float.NEGATIVE_INFINITY : border;
          for (int i = Math.max(0, top); i < Math.min(h, top + kernel); i++) {
            for (int j = Math.max(0, left); j < Math.min(w, left + kernel); j++) {
              max = Math.max(max, x.data()[plane + i * w + j]);
            }
          }
          y.data()[to++] = max;
        }
      }
    }
    return y;
  }

  /**
   * The sums of square windows of {@code [N, C, H, W]}, without padding, each divided by a number
   * that depends on how many of its pixels are inside the border.
   *
   * @param oh the number of rows of the result
   * @param ow the number of columns of the result
   */
  public static Tensor averagePool(
      Tensor x, int kernel, int stride, int oh, int ow, IntUnaryOperator divisor) {
    int h = x.dim(2);
    int w = x.dim(3);
    Tensor y = Tensor.zeros(x.dim(0), x.dim(1), oh, ow);
    int to = 0;
    for (int plane = 0; plane < x.size(); plane += h * w) {
      for (int r = 0; r < oh; r++) {
        for (int c = 0; c < ow; c++) {
          int bottom = Math.min(h, r * stride + kernel);
          int right = Math.min(w, c * stride + kernel);
          float sum = 0;
          for (int i = r * stride; i < bottom; i++) {
            for (int j = c * stride; j < right; j++) {
              sum += x.data()[plane + i * w + j];
            }
          }
          y.data()[to++] = sum / divisor.applyAsInt((bottom - r * stride) * (right - c * stride));
        }
      }
    }
    return y;
  }

  /** The position of a window's pixel on an axis: {@code source(index of the result, tap)}. */
  public interface Source {
    int at(int index, int tap);
  }

  /**
   * The binomial filter of 3×3 pixels over {@code [N, C, H, W]}.
   *
   * @param rows the rows of a window's pixels, for each of {@code oh} rows of the result
   * @param columns the same for {@code ow} columns
   */
  public static Tensor blur(Tensor x, Source rows, int oh, Source columns, int ow) {
    int w = x.dim(3);
    int size = x.dim(2) * w;
    Tensor y = Tensor.zeros(x.dim(0), x.dim(1), oh, ow);
    int to = 0;
    for (int plane = 0; plane < x.size(); plane += size) {
      for (int r = 0; r < oh; r++) {
        for (int c = 0; c < ow; c++) {
          float sum = 0;
          for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++) {
              float pixel = x.data()[plane + rows.at(r, i) * w + columns.at(c, j)];
              sum += pixel * ((2 - Math.abs(i - 1)) * (2 - Math.abs(j - 1)));
            }
          }
          y.data()[to++] = sum / 16;
        }
      }
    }
    return y;
  }

  /** The mean of every plane: {@code [N, C, H, W]} to {@code [N, C]}. */
  public static Tensor globalAveragePool(Tensor x) {
    int plane = x.dim(2) * x.dim(3);
    Tensor y = Tensor.zeros(x.dim(0), x.dim(1));
    for (int i = 0; i < y.size(); i++) {
      double sum = 0;
      for (int p = i * plane; p < (i + 1) * plane; p++) {
        sum += x.data()[p];
      }
      y.data()[i] = (float) (sum / plane);
    }
    return y;
  }

  /**
   * {@code x · weightᵀ + bias}.
   *
   * @param x {@code [N, in]}
   * @param weight {@code [out, in]}
   * @param bias {@code [out]}
   * @return {@code [N, out]}
   */
  public static Tensor linear(Tensor x, Tensor weight, Tensor bias) {
    int in = weight.dim(1);
    int out = weight.dim(0);
    Tensor y = Tensor.zeros(x.dim(0), out);
    for (int n = 0; n < x.dim(0); n++) {
      for (int o = 0; o < out; o++) {
        double sum = bias.data()[o];
        for (int i = 0; i < in; i++) {
          sum += (double) x.data()[n * in + i] * weight.data()[o * in + i];
        }
        y.data()[n * out + o] = (float) sum;
      }
    }
    return y;
  }

  /**
   * The parameter-free shortcut (He et al., arXiv 1512.03385, option A): every {@code stride}-th
   * pixel, with zeros for the added channels, half of them before the old ones and the rest after
   * them.
   */
  public static Tensor subsampleAndPad(Tensor x, int channels, int stride) {
    int n = x.dim(0);
    int c = x.dim(1);
    int h = x.dim(2);
    int w = x.dim(3);
    int oh = Math.ceilDiv(h, stride);
    int ow = Math.ceilDiv(w, stride);
    Tensor y = Tensor.zeros(n, channels, oh, ow);
    int before = (channels - c) / 2;
    for (int image = 0; image < n; image++) {
      for (int channel = 0; channel < c; channel++) {
        int from = (image * c + channel) * h * w;
        int to = (image * channels + before + channel) * oh * ow;
        for (int r = 0; r < oh; r++) {
          for (int k = 0; k < ow; k++) {
            y.data()[to++] = x.data()[from + r * stride * w + k * stride];
          }
        }
      }
    }
    return y;
  }
}
