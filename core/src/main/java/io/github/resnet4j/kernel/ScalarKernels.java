package io.github.resnet4j.kernel;

import java.util.Arrays;

/**
 * The twin: every kernel as the plain loops that its description reads as. Runs wherever Java runs.
 */
final class ScalarKernels extends TileByTile {
  @Override
  public String name() {
    return "scalar";
  }

  @Override
  public int lanes() {
    return 16;
  }

  @Override
  public int mostVectors() {
    return 4;
  }

  @Override
  public int accumulators() {
    return 24;
  }

  @Override
  public boolean isFast() {
    return false;
  }

  @Override
  public boolean has(Format format) {
    return format == Format.FP32;
  }

  @Override
  public boolean gainsBy(Format in) {
    return false;
  }

  @Override
  public ConvTile tile(ConvTile.Shape shape) {
    return manyTiles(shape.isFloat() || shape.groups() > 0 ? new Tile(shape) : new AnyTile(shape));
  }

  /** A tile of any formats. */
  private record AnyTile(ConvTile.Shape shape) implements OneTile {
    @Override
    public void run(
        float[] arena,
        int inAt,
        int[] runs,
        int firstRun,
        int endRun,
        float[] weights,
        int weightAt,
        int biasAt,
        int residualAt,
        int outAt) {
      int channels = shape.channels();
      Format residual = shape.residual();
      for (int p = 0; p < shape.pixels(); p++) {
        int in = inAt + p * shape.pixelStride();
        int residualPixel = residualAt + p * shape.residualStride();
        for (int c = 0; c < channels; c++) {
          float bias = weights[biasAt + c];
          float added = residual == null ? 0 : residual.get(arena, residualPixel, c);
          float sum =
              switch (shape.in()) {
                case FP32, ROUNDED ->
                    floats(arena, in, runs, firstRun, endRun, weights, weightAt + c, bias + added);
                case BF16 ->
                    halves(arena, in, runs, firstRun, endRun, weights, weightAt + c, bias + added);
                case U8, S8 -> {
                  float scale = weights[biasAt + channels + c];
                  float factor = weights[biasAt + 2 * channels + c];
                  float products = bytes(arena, in, runs, firstRun, endRun, weights, weightAt + c);
                  float scaled = Math.fma(products, scale, bias);
                  yield residual == null ? scaled : Math.fma(added, factor, scaled);
                }
              };
          shape.out().put(arena, outAt + p * shape.outStride(), c, shape.relu() ? relu(sum) : sum);
        }
      }
    }

    private float floats(
        float[] arena,
        int in,
        int[] runs,
        int firstRun,
        int endRun,
        float[] weights,
        int weightAt,
        float start) {
      float sum = start;
      int row = weightAt;
      for (int r = firstRun; r < endRun; r++) {
        for (int i = 0; i < shape.run(); i++, row += shape.channels()) {
          sum = Math.fma(arena[in + runs[r] + i], weights[row], sum);
        }
      }
      return sum;
    }

    private float halves(
        float[] arena,
        int in,
        int[] runs,
        int firstRun,
        int endRun,
        float[] weights,
        int weightAt,
        float start) {
      float sum = start;
      int row = weightAt;
      for (int r = firstRun; r < endRun; r++) {
        for (int i = 0; i < shape.run(); i++, row += shape.channels()) {
          int x = Float.floatToRawIntBits(arena[in + runs[r] + i]);
          int w = Float.floatToRawIntBits(weights[row]);
          sum = Math.fma(upper(x), upper(w), sum);
          sum = Math.fma(upper(x << 16), upper(w << 16), sum);
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
        int[] runs,
        int firstRun,
        int endRun,
        float[] weights,
        int weightAt) {
      int sum = 0;
      int row = weightAt;
      for (int r = firstRun; r < endRun; r++) {
        for (int i = 0; i < shape.run(); i++, row += shape.channels()) {
          int x = Float.floatToRawIntBits(arena[in + runs[r] + i]);
          int w = Float.floatToRawIntBits(weights[row]);
          for (int shift = 0; shift < 32; shift += 8) {
            sum += (x >>> shift & 0xFF) * (byte) (w >> shift);
          }
        }
      }
      return sum;
    }
  }

  private record Tile(ConvTile.Shape shape) implements OneTile {
    @Override
    public void run(
        float[] arena,
        int inAt,
        int[] runs,
        int firstRun,
        int endRun,
        float[] weights,
        int weightAt,
        int biasAt,
        int residualAt,
        int outAt) {
      if (shape.groups() > 0) {
        grouped(arena, inAt, runs, firstRun, endRun, weights, weightAt, biasAt, residualAt, outAt);
        return;
      }
      int channels = shape.channels();
      for (int p = 0; p < shape.pixels(); p++) {
        int to = outAt + p * shape.outStride();
        if (shape.residual() != null) {
          int from = residualAt + p * shape.outStride();
          for (int c = 0; c < channels; c++) {
            arena[to + c] = weights[biasAt + c] + arena[from + c];
          }
        } else {
          System.arraycopy(weights, biasAt, arena, to, channels);
        }
      }
      int row = weightAt;
      for (int r = firstRun; r < endRun; r++) {
        for (int i = 0; i < shape.run(); i++) {
          for (int p = 0; p < shape.pixels(); p++) {
            accumulate(
                arena[inAt + runs[r] + p * shape.pixelStride() + i * shape.walk().step()],
                weights,
                row,
                arena,
                outAt + p * shape.outStride(),
                channels);
          }
          row += shape.walk().row();
        }
        row += shape.walk().gap();
      }
      if (shape.relu()) {
        for (int p = 0; p < shape.pixels(); p++) {
          relu(arena, outAt + p * shape.outStride(), channels);
        }
      }
    }

    private void grouped(
        float[] arena,
        int inAt,
        int[] runs,
        int firstRun,
        int endRun,
        float[] weights,
        int weightAt,
        int biasAt,
        int residualAt,
        int outAt) {
      int groups = shape.groups();
      for (int p = 0; p < shape.pixels(); p++) {
        for (int v = 0; v < shape.vectors(groups); v++) {
          for (int g = 0; g < groups; g++) {
            int lane = v * ConvTile.GROUP_STRIDE + g;
            float sum = weights[biasAt + lane];
            if (shape.residual() != null) {
              sum += arena[residualAt + p * shape.outStride() + lane];
            }
            int row = weightAt + v * groups + g;
            for (int r = firstRun; r < endRun; r++) {
              for (int i = 0; i < shape.run(); i++) {
                int x = inAt + runs[r] + p * shape.pixelStride() + i * ConvTile.GROUP_STRIDE + g;
                sum = Math.fma(arena[x], weights[row], sum);
                row += shape.channels();
              }
            }
            shape
                .out()
                .put(arena, outAt + p * shape.outStride(), lane, shape.relu() ? relu(sum) : sum);
          }
        }
      }
    }
  }

  /** A method of its own, so that the compiler sees one loop over two arrays. */
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

  private static float relu(float x) {
    return x < 0 ? 0 : x; // not Math.max: NaN and -0 stay what they are, as in a vector's blend
  }

  @Override
  void transform(
      Winograd form,
      float[] arena,
      int from,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch) {
    float[][] bt = form.inputTransform();
    int t = form.inputs();
    for (int i = 0; i < t; i++) {
      for (int j = 0; j < t; j++) {
        for (int c = 0; c < block; c++) {
          float sum = 0;
          for (int k = 0; k < t; k++) {
            sum += bt[i][k] * arena[from + k * rowStride + j * block + c];
          }
          arena[scratch + (i * t + j) * block + c] = sum;
        }
      }
    }
    for (int i = 0; i < t; i++) {
      for (int j = 0; j < t; j++) {
        for (int c = 0; c < block; c++) {
          float sum = 0;
          for (int k = 0; k < t; k++) {
            sum += bt[j][k] * arena[scratch + (i * t + k) * block + c];
          }
          arena[to + (i * t + j) * step + c] = sum;
        }
      }
    }
  }

  @Override
  void transformBack(
      Winograd form,
      float[] arena,
      int from,
      int step,
      int block,
      float[] weights,
      int biasAt,
      int to,
      int rowStride,
      int pixelStride,
      int rows,
      int columns,
      int residualAt,
      int residualRowStride,
      Epilogue epilogue,
      int scratch) {
    float[][] at = form.outputTransform();
    int t = form.inputs();
    for (int i = 0; i < form.outputs(); i++) {
      for (int j = 0; j < t; j++) {
        for (int c = 0; c < block; c++) {
          float sum = 0;
          for (int k = 0; k < t; k++) {
            sum += at[i][k] * arena[from + (k * t + j) * step + c];
          }
          arena[scratch + (i * t + j) * block + c] = sum;
        }
      }
    }
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < columns; j++) {
        for (int c = 0; c < block; c++) {
          float sum = weights[biasAt + c];
          for (int k = 0; k < t; k++) {
            sum += at[j][k] * arena[scratch + (i * t + k) * block + c];
          }
          if (epilogue.residual()) {
            sum += arena[residualAt + i * residualRowStride + j * pixelStride + c];
          }
          float result = epilogue.relu() ? relu(sum) : sum;
          arena[to + i * rowStride + j * pixelStride + c] =
              epilogue.rounded() ? Format.rounded(result) : result;
        }
      }
    }
  }

  @Override
  public void maxPoolRow(
      Floats memory,
      Format format,
      int from,
      int rowStride,
      int block,
      int size,
      int stride,
      int to,
      int count) {
    float[] arena = memory.values;
    for (int x = 0; x < count; x++) {
      int out = to + x * block;
      int window = from + x * stride * block;
      for (int c = 0; c < block * format.perWord(); c++) {
        float most = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < size; i++) {
          for (int j = 0; j < size; j++) {
            most = Math.max(most, format.get(arena, window + i * rowStride + j * block, c));
          }
        }
        format.put(arena, out, c, most);
      }
    }
  }

  @Override
  public void average(
      Floats memory, int from, int rowStride, int block, int rows, int columns, int to) {
    float[] arena = memory.values;
    Arrays.fill(arena, to, to + block, 0);
    for (int y = 0; y < rows; y++) {
      for (int x = 0; x < columns; x++) {
        for (int c = 0; c < block; c++) {
          arena[to + c] += arena[from + y * rowStride + x * block + c];
        }
      }
    }
    float scale = 1f / (rows * columns);
    for (int c = 0; c < block; c++) {
      arena[to + c] *= scale;
    }
  }
}
