package io.github.resnet4j.kernel;

/** Convolutions as plain loops. */
final class ScalarConv implements ConvKernels {
  /** The number of words that are multiplied by one instruction on matrices. */
  private static final int MATRIX_WORDS = 16;

  @Override
  public ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    OneTile tile =
        shape.groups() > 0
            ? new GroupedTile(shape)
            : shape.isFloat() ? new FloatTile(shape) : new AnyTile(shape, false);
    return new OneTile.Listed(tile, tiles, segments);
  }

  /** Adds bfloat16 products in the order of instructions on matrices. */
  static ConvTile matrixTile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    return new OneTile.Listed(new AnyTile(shape, true), tiles, segments);
  }

  /** A tile of floats: for each weight all channels together, accumulated in the output itself. */
  private record FloatTile(ConvTile.Shape shape) implements OneTile {
    @Override
    public void run(
        float[] arena,
        int in,
        int out,
        int residual,
        int[] segments,
        float[] weights,
        int weightAt,
        ConvTile.Reduction reduction) {
      int channels = shape.channels();
      for (int p = 0; p < shape.pixels(); p++) {
        int to = out + shape.outputAt(p);
        if (shape.out().residual() != null) {
          int from = residual + shape.residualAt(p);
          for (int c = 0; c < channels; c++) {
            arena[to + c] = weights[reduction.biasAt() + c] + arena[from + c];
          }
        } else {
          System.arraycopy(weights, reduction.biasAt(), arena, to, channels);
        }
      }
      int row = weightAt;
      for (int r = reduction.firstSegment(); r < reduction.endSegment(); r++) {
        for (int i = 0; i < shape.in().segment(); i++) {
          int x = in + segments[r] + i * shape.walk().step();
          for (int p = 0; p < shape.pixels(); p++) {
            float value = arena[x + shape.inputAt(p)];
            accumulate(value, weights, row, arena, out + shape.outputAt(p), channels);
          }
          row += shape.walk().row();
        }
        row += shape.walk().gap();
      }
      for (int p = 0; shape.out().relu() && p < shape.pixels(); p++) {
        relu(arena, out + shape.outputAt(p), channels);
      }
    }
  }

  /** A separate method, so that the compiler sees one loop over two arrays. */
  private static void accumulate(float x, float[] weights, int row, float[] sums, int to, int n) {
    for (int c = 0; c < n; c++) {
      sums[to + c] = Math.fma(x, weights[row + c], sums[to + c]);
    }
  }

  private static void relu(float[] values, int at, int n) {
    for (int c = at; c < at + n; c++) {
      values[c] = relu(values[c]);
    }
  }

  /** Unlike Math.max it keeps NaN and -0, as a vector's blend does. */
  static float relu(float x) {
    return x < 0 ? 0 : x;
  }

  /** A tile of narrow groups. */
  private record GroupedTile(ConvTile.Shape shape) implements OneTile {
    @Override
    public void run(
        float[] arena,
        int in,
        int out,
        int residual,
        int[] segments,
        float[] weights,
        int weightAt,
        ConvTile.Reduction reduction) {
      int groups = shape.groups();
      for (int p = 0; p < shape.pixels(); p++) {
        int pixel = shape.outputAt(p);
        for (int c = 0; c < shape.channels(); c++) {
          int group = c % groups;
          int lane = c / groups * ConvTile.GROUP_STRIDE + group;
          float sum = weights[reduction.biasAt() + lane];
          if (shape.out().residual() != null) {
            sum += arena[residual + shape.residualAt(p) + lane];
          }
          int row = weightAt + c;
          for (int r = reduction.firstSegment(); r < reduction.endSegment(); r++) {
            int x = in + segments[r] + shape.inputAt(p) + group;
            for (int i = 0; i < shape.in().segment(); i++, row += shape.channels()) {
              sum = Math.fma(arena[x + i * ConvTile.GROUP_STRIDE], weights[row], sum);
            }
          }
          float result = shape.out().relu() ? relu(sum) : sum;
          shape.out().format().put(arena, out + pixel, lane, result);
        }
      }
    }
  }

  /** A tile of any formats. */
  private record AnyTile(ConvTile.Shape shape, boolean matrices) implements OneTile {
    @Override
    public void run(
        float[] arena,
        int in,
        int out,
        int residual,
        int[] segments,
        float[] weights,
        int weightAt,
        ConvTile.Reduction reduction) {
      int channels = shape.channels();
      ConvTile.Output results = shape.out();
      for (int p = 0; p < shape.pixels(); p++) {
        int from = in + shape.inputAt(p);
        for (int c = 0; c < channels; c++) {
          float bias = weights[reduction.biasAt() + c];
          float added =
              results.residual() == null
                  ? 0
                  : results.residual().get(arena, residual + shape.residualAt(p), c);
          float sum;
          if (shape.in().format().isInteger()) {
            int products = bytes(arena, from, segments, weights, weightAt + c, reduction);
            float scale = weights[reduction.biasAt() + channels + c];
            float factor = weights[reduction.biasAt() + 2 * channels + c];
            sum = Math.fma(products, scale, bias);
            sum = results.residual() == null ? sum : Math.fma(added, factor, sum);
          } else if (matrices) {
            sum = matrices(arena, from, segments, weights, weightAt + c, reduction) + bias + added;
          } else {
            sum = floats(arena, from, segments, weights, weightAt + c, reduction, bias + added);
          }
          float result = results.relu() ? relu(sum) : sum;
          results.format().put(arena, out + shape.outputAt(p), c, result);
        }
      }
    }

    /** If words hold two bfloat16 values, the product of the second one comes first. */
    private float floats(
        float[] arena,
        int in,
        int[] segments,
        float[] weights,
        int weightAt,
        ConvTile.Reduction reduction,
        float start) {
      boolean halves = shape.in().format() == Format.BF16;
      float sum = start;
      int row = weightAt;
      for (int r = reduction.firstSegment(); r < reduction.endSegment(); r++) {
        for (int i = 0; i < shape.in().segment(); i++, row += shape.channels()) {
          float x = arena[in + segments[r] + i];
          float w = weights[row];
          if (halves) {
            int xs = Float.floatToRawIntBits(x);
            int ws = Float.floatToRawIntBits(w);
            sum = Math.fma(upper(xs), upper(ws), sum);
            sum = Math.fma(upper(xs << 16), upper(ws << 16), sum);
          } else {
            sum = Math.fma(x, w, sum);
          }
        }
      }
      return sum;
    }

    /** The lower and the upper halves of up to 16 words have sums of their own. */
    private float matrices(
        float[] arena,
        int in,
        int[] segments,
        float[] weights,
        int weightAt,
        ConvTile.Reduction reduction) {
      float sum = 0;
      int row = weightAt;
      for (int r = reduction.firstSegment(); r < reduction.endSegment(); r++) {
        int segment = shape.in().segment();
        for (int first = 0; first < segment; first += MATRIX_WORDS) {
          float lower = 0;
          float upper = 0;
          for (int i = first; i < Math.min(segment, first + MATRIX_WORDS); i++) {
            int x = Float.floatToRawIntBits(arena[in + segments[r] + i]);
            int w = Float.floatToRawIntBits(weights[row]);
            lower = Math.fma(upper(x << 16), upper(w << 16), lower);
            upper = Math.fma(upper(x), upper(w), upper);
            row += shape.channels();
          }
          sum += lower + upper;
        }
      }
      return sum;
    }

    private static float upper(int bits) {
      return Float.intBitsToFloat(bits & 0xFFFF0000);
    }

    private int bytes(
        float[] arena,
        int in,
        int[] segments,
        float[] weights,
        int weightAt,
        ConvTile.Reduction reduction) {
      int sum = 0;
      int row = weightAt;
      for (int r = reduction.firstSegment(); r < reduction.endSegment(); r++) {
        for (int i = 0; i < shape.in().segment(); i++, row += shape.walk().row()) {
          int x = Float.floatToRawIntBits(arena[in + segments[r] + i]);
          int w = Float.floatToRawIntBits(weights[row]);
          if (shape.in().weights() == Format.S16) {
            int second = Float.floatToRawIntBits(weights[row + shape.channels()]);
            sum += (x & 0xFF) * (short) w + (x >>> 16 & 0xFF) * (w >> 16);
            sum += (x >>> 8 & 0xFF) * (short) second + (x >>> 24) * (second >> 16);
          } else {
            for (int shift = 0; shift < 32; shift += 8) {
              sum += (x >>> shift & 0xFF) * (byte) (w >> shift);
            }
          }
        }
      }
      return sum;
    }
  }

  @Override
  public Gather gather(Ints from, int stride, int channels) {
    return (source, start, scales, first, to, at) -> {
      for (int i = 0; i < from.size(); i++) {
        int row = start + from.get(i);
        int place = at + i * channels;
        row(source.values, row, stride, scales.values, first, to.values, place, channels);
      }
    };
  }

  /** A separate method, which the JVM compiles early. */
  private static void row(
      float[] source,
      int start,
      int stride,
      float[] scales,
      int first,
      float[] to,
      int at,
      int channels) {
    for (int c = 0; c < channels; c++) {
      to[at + c] = source[start + c * stride] * scales[first + c];
    }
  }
}
