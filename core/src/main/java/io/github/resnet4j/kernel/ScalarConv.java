package io.github.resnet4j.kernel;

/** Convolutions as plain loops. */
final class ScalarConv implements ConvKernels {
  /** The number of words that are multiplied by one instruction on matrices. */
  private static final int MATRIX_WORDS = 16;

  @Override
  public ConvTile tile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    OneTile tile;
    if (shape.groups() > 0) {
      tile = new GroupedTile(shape);
    } else if (shape.isFloat()) {
      tile = new FloatTile(shape);
    } else if (shape.in().format().isInteger()) {
      tile = new ByteTile(shape);
    } else {
      tile = new MixedTile(shape);
    }
    return new OneTile.Listed(tile, tiles, segments);
  }

  /** Adds bfloat16 products in the order of instructions on matrices. */
  static ConvTile matrixTile(ConvTile.Shape shape, ConvTile.Tiles tiles, Ints segments) {
    return new OneTile.Listed(new MatrixTile(shape), tiles, segments);
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
      forEachRow(
          shape,
          in,
          segments,
          weightAt,
          reduction,
          (x, row) -> {
            for (int p = 0; p < shape.pixels(); p++) {
              float value = arena[x + shape.inputAt(p)];
              accumulate(value, weights, row, arena, out + shape.outputAt(p), channels);
            }
          });
      for (int p = 0; shape.out().relu() && p < shape.pixels(); p++) {
        relu(arena, out + shape.outputAt(p), channels);
      }
    }
  }

  /** What is done with a row of weights. */
  private interface Row {
    /**
     * @param x the index of the word of the first pixel's input
     * @param row the index of the weights that it is multiplied with
     */
    void multiply(int x, int row);
  }

  /** All rows of weights of a sum, in their order. */
  private static void forEachRow(
      ConvTile.Shape shape,
      int in,
      int[] segments,
      int weightAt,
      ConvTile.Reduction reduction,
      Row each) {
    int row = weightAt;
    for (int r = reduction.firstSegment(); r < reduction.endSegment(); r++) {
      for (int i = 0; i < shape.in().segment(); i++) {
        each.multiply(in + segments[r] + i * shape.walk().step(), row);
        row += shape.walk().row();
      }
      row += shape.walk().gap();
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
          store(shape, arena, out, p, lane, sum);
        }
      }
    }
  }

  /**
   * A tile of floats or bfloat16 in, and any floating-point formats out: for each weight all
   * channels together. If words hold two bfloat16 values, the product of the second one comes
   * first.
   */
  private record MixedTile(ConvTile.Shape shape) implements OneTile {
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
      boolean halves = shape.in().format() == Format.BF16;
      float[][] sums = new float[shape.pixels()][channels];
      for (int p = 0; p < shape.pixels(); p++) {
        for (int c = 0; c < channels; c++) {
          float added = residual(shape, arena, residual, p, c);
          sums[p][c] = weights[reduction.biasAt() + c] + added;
        }
      }
      float[] first = new float[channels];
      float[] second = new float[channels];
      forEachRow(
          shape,
          in,
          segments,
          weightAt,
          reduction,
          (x, row) -> {
            if (halves) {
              unpack(weights, row, first, second);
            }
            for (int p = 0; p < shape.pixels(); p++) {
              float value = arena[x + shape.inputAt(p)];
              if (halves) {
                int bits = Float.floatToRawIntBits(value);
                accumulate(upper(bits), second, 0, sums[p], 0, channels);
                accumulate(upper(bits << 16), first, 0, sums[p], 0, channels);
              } else {
                accumulate(value, weights, row, sums[p], 0, channels);
              }
            }
          });
      for (int p = 0; p < shape.pixels(); p++) {
        for (int c = 0; c < channels; c++) {
          store(shape, arena, out, p, c, sums[p][c]);
        }
      }
    }

    private static void unpack(float[] weights, int row, float[] first, float[] second) {
      for (int c = 0; c < first.length; c++) {
        int bits = Float.floatToRawIntBits(weights[row + c]);
        first[c] = upper(bits << 16);
        second[c] = upper(bits);
      }
    }
  }

  private static float upper(int bits) {
    return Float.intBitsToFloat(bits & 0xFFFF0000);
  }

  /** A value of the residual, or 0 if there is none. */
  private static float residual(ConvTile.Shape shape, float[] arena, int at, int p, int c) {
    Format format = shape.out().residual();
    return format == null ? 0 : format.get(arena, at + shape.residualAt(p), c);
  }

  private static void store(
      ConvTile.Shape shape, float[] arena, int out, int p, int c, float value) {
    float result = shape.out().relu() ? relu(value) : value;
    shape.out().format().put(arena, out + shape.outputAt(p), c, result);
  }

  /** A tile of bfloat16 whose products are added in the order of instructions on matrices. */
  private record MatrixTile(ConvTile.Shape shape) implements OneTile {
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
      for (int p = 0; p < shape.pixels(); p++) {
        int from = in + shape.inputAt(p);
        for (int c = 0; c < shape.channels(); c++) {
          float bias = weights[reduction.biasAt() + c];
          float added = residual(shape, arena, residual, p, c);
          float sum = matrices(arena, from, segments, weights, weightAt + c, reduction);
          store(shape, arena, out, p, c, sum + bias + added);
        }
      }
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
  }

  /** A tile of bytes, whose sums are scaled. */
  private record ByteTile(ConvTile.Shape shape) implements OneTile {
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
        int from = in + shape.inputAt(p);
        for (int c = 0; c < channels; c++) {
          int products = bytes(arena, from, segments, weights, weightAt + c, reduction);
          float bias = weights[reduction.biasAt() + c];
          float scale = weights[reduction.biasAt() + channels + c];
          float factor = weights[reduction.biasAt() + 2 * channels + c];
          float sum = Math.fma(products, scale, bias);
          if (shape.out().residual() != null) {
            sum = Math.fma(residual(shape, arena, residual, p, c), factor, sum);
          }
          store(shape, arena, out, p, c, sum);
        }
      }
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
