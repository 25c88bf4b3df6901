package io.github.resnet4j.kernel;

import java.util.Arrays;

/** Winograd's transforms as matrix products, tile by tile. */
class ScalarWinograd implements WinogradKernels {
  /** The transform of one tile. */
  interface OneTransform {
    /**
     * @param from the index of its first input
     * @param to the index of its first result
     */
    void run(float[] arena, int from, int to, int scratch);
  }

  /** Transforms tile by tile. */
  record Transforms(OneTransform one, Ints offsets, int block) implements Transform {
    @Override
    public void run(Floats arena, int first, int end, int in, int to, int scratch) {
      for (int t = first; t < end; t++) {
        one.run(arena.values, in + offsets.get(t), to + (t - first) * block, scratch);
      }
    }
  }

  @Override
  public Transform input(Winograd form, Plane in, Ints offsets, int step, Format factors) {
    float[][] bt = form.inputTransform();
    OneTransform one =
        (arena, from, to, scratch) -> transform(arena, bt, in, from, factors, step, to, scratch);
    return new Transforms(one, offsets, in.channels() / factors.perWord());
  }

  @Override
  public Transform gradient(Winograd form, Plane in, Ints offsets, int step) {
    float[][] a = transposed(form.outputTransform());
    OneTransform one =
        (arena, from, to, scratch) -> transform(arena, a, in, from, Format.FP32, step, to, scratch);
    return new Transforms(one, offsets, in.channels());
  }

  private static float[][] transposed(float[][] matrix) {
    float[][] transposed = new float[matrix[0].length][matrix.length];
    for (int i = 0; i < matrix.length; i++) {
      for (int j = 0; j < matrix[0].length; j++) {
        transposed[j][i] = matrix[i][j];
      }
    }
    return transposed;
  }

  @Override
  public Rows weights(Winograd form, WindowRows windows, Format factors) {
    var rows = new ScalarRows(form.weightTransform(), 3, windows.channels());
    int perWord = factors.perWord();
    return (from, window, to, product, inputs) -> {
      for (int c = 0; c < inputs; c++) {
        rows.load(from.values, window + c * windows.channels(), windows.tapStride());
        rows.transform();
        int at = product + c / perWord * windows.rowStride();
        for (int i = 0; i < form.products(); i++) {
          for (int k = 0; k < windows.channels(); k++) {
            int word = at + i * windows.step() + k;
            factors.put(to.values, word, c % perWord, rows.results[i][k]);
          }
        }
      }
    };
  }

  @Override
  public Rows weightGradient(Winograd form, WindowRows windows) {
    float[][] g = transposed(form.weightTransform());
    var rows = new ScalarRows(g, form.inputs(), windows.channels());
    return (to, window, from, product, inputs) -> {
      for (int c = 0; c < inputs; c++) {
        rows.load(from.values, product + c * windows.rowStride(), windows.step());
        rows.transform();
        for (int tap = 0; tap < 9; tap++) {
          int at = window + tap * windows.tapStride() + c * windows.channels();
          for (int k = 0; k < windows.channels(); k++) {
            to.values[at + k] += rows.results[tap][k];
          }
        }
      }
    };
  }

  /** {@code M x Mᵀ} for a row of squares: not one by one, since C2 vectorizes loops over a row. */
  private static final class ScalarRows {
    private final float[][] m;
    private final int size;
    private final float[][] square;
    private final float[][] half;
    final float[][] results;

    /**
     * @param size the number of rows and columns of x
     */
    ScalarRows(float[][] m, int size, int channels) {
      this.m = m;
      this.size = size;
      this.square = new float[size * size][channels];
      this.half = new float[m.length * size][channels];
      this.results = new float[m.length * m.length][channels];
    }

    void load(float[] from, int at, int step) {
      for (int i = 0; i < square.length; i++) {
        System.arraycopy(from, at + i * step, square[i], 0, square[i].length);
      }
    }

    void transform() {
      for (int i = 0; i < m.length; i++) {
        for (int j = 0; j < size; j++) {
          combine(m[i], square, j, size, half[i * size + j]);
        }
      }
      for (int i = 0; i < m.length; i++) {
        for (int j = 0; j < m.length; j++) {
          combine(m[j], half, i * size, 1, results[i * m.length + j]);
        }
      }
    }

    /** The sum of some rows, each times its factor. */
    private static void combine(float[] factors, float[][] rows, int first, int step, float[] sum) {
      Arrays.fill(sum, 0);
      for (int i = 0; i < factors.length; i++) {
        float factor = factors[i];
        float[] row = rows[first + i * step];
        for (int k = 0; k < sum.length; k++) {
          sum[k] += factor * row[k];
        }
      }
    }
  }

  /** {@code M d Mᵀ} of one tile: down the columns, then along the rows. */
  private static void transform(
      float[] arena,
      float[][] m,
      Plane in,
      int from,
      Format factors,
      int step,
      int to,
      int scratch) {
    int channels = in.channels();
    Format format = in.format();
    int n = m[0].length;
    for (int i = 0; i < m.length; i++) {
      for (int x = 0; x < n; x++) {
        for (int c = 0; c < channels; c++) {
          float sum = 0;
          for (int y = 0; y < n; y++) {
            sum += m[i][y] * format.get(arena, from + y * in.rowStride() + x * in.block(), c);
          }
          arena[scratch + (i * n + x) * channels + c] = sum;
        }
      }
    }
    for (int i = 0; i < m.length; i++) {
      for (int j = 0; j < m.length; j++) {
        for (int c = 0; c < channels; c++) {
          float sum = 0;
          for (int x = 0; x < n; x++) {
            sum += m[j][x] * arena[scratch + (i * n + x) * channels + c];
          }
          factors.put(arena, to + (i * m.length + j) * step, c, sum);
        }
      }
    }
  }

  /** The transform of one tile's products. */
  interface OneOutput {
    /**
     * @param from the index of its first product
     * @param rows the number of rows of outputs that exist
     * @param columns the number of columns of outputs that exist
     */
    void run(
        float[] arena,
        int from,
        int bias,
        int out,
        int residual,
        int rows,
        int columns,
        int scratch);
  }

  /** Transforms products tile by tile. */
  record Outputs(OneOutput one, TileOffsets offsets, int channels) implements Output {
    @Override
    public void run(
        Floats arena, int first, int end, int from, int bias, int out, int residual, int scratch) {
      for (int t = first; t < end; t++) {
        one.run(
            arena.values,
            from + (t - first) * channels,
            bias,
            out + offsets.out().get(t),
            residual + offsets.residual().get(t),
            offsets.rows().get(t),
            offsets.columns().get(t),
            scratch);
      }
    }
  }

  @Override
  public Output output(
      Winograd form, int channels, int step, TileOffsets offsets, Epilogue epilogue) {
    return new Outputs(new ScalarOutput(form, channels, step, epilogue), offsets, channels);
  }

  private record ScalarOutput(Winograd form, int channels, int step, Epilogue epilogue)
      implements OneOutput {
    @Override
    public void run(
        float[] arena,
        int from,
        int bias,
        int out,
        int residual,
        int rows,
        int columns,
        int scratch) {
      float[][] at = form.outputTransform();
      int t = form.inputs();
      for (int i = 0; i < form.outputs(); i++) {
        for (int j = 0; j < t; j++) {
          for (int c = 0; c < channels; c++) {
            float sum = 0;
            for (int k = 0; k < t; k++) {
              sum += at[i][k] * arena[from + (k * t + j) * step + c];
            }
            arena[scratch + (i * t + j) * channels + c] = sum;
          }
        }
      }
      Plane to = epilogue.out();
      Plane added = epilogue.residual();
      for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
          for (int c = 0; c < channels; c++) {
            float sum = epilogue.biases().values[bias + c];
            for (int k = 0; k < t; k++) {
              sum += at[j][k] * arena[scratch + (i * t + k) * channels + c];
            }
            if (added != null) {
              int pixel = residual + i * added.rowStride() + j * added.block();
              sum += added.format().get(arena, pixel, c);
            }
            float result = epilogue.relu() ? ScalarConv.relu(sum) : sum;
            to.format().put(arena, out + i * to.rowStride() + j * to.block(), c, result);
          }
        }
      }
    }
  }
}
