package io.github.resnet4j.kernel;

/** Kernels that know one tile, and take lists of them tile by tile. */
abstract class TileByTile implements Kernels {
  /** {@link ConvTile} of one tile; what {@link TileGenerator} implements. */
  interface OneTile {
    void run(
        float[] arena,
        int inAt,
        int[] runs,
        int firstRun,
        int endRun,
        float[] weights,
        int weightAt,
        int biasAt,
        int residualAt,
        int outAt);
  }

  static ConvTile manyTiles(OneTile tile) {
    return new ManyTiles(tile);
  }

  private record ManyTiles(OneTile tile) implements ConvTile {
    @Override
    public void run(
        Floats arena,
        Tiles tiles,
        int first,
        int end,
        int in,
        int out,
        int residual,
        Ints runs,
        int firstRun,
        int endRun,
        Floats weights,
        int weightAt,
        int biasAt) {
      for (int t = first; t < end; t++) {
        tile.run(
            arena.values,
            in + tiles.in().get(t),
            runs.values,
            firstRun,
            endRun,
            weights.values,
            weightAt,
            biasAt,
            residual + tiles.residual().get(t),
            out + tiles.out().get(t));
      }
    }
  }

  @Override
  public void gather(
      Floats source,
      int start,
      int stride,
      Ints from,
      Floats scales,
      int first,
      int channels,
      Floats to,
      int at) {
    for (int i = 0; i < from.size(); i++) {
      row(
          source.values,
          start + from.get(i),
          stride,
          scales.values,
          first,
          channels,
          to.values,
          at + i * channels);
    }
  }

  /** A method of its own, which the JVM compiles soon. */
  private static void row(
      float[] source,
      int start,
      int stride,
      float[] scales,
      int first,
      int channels,
      float[] to,
      int at) {
    for (int c = 0; c < channels; c++) {
      to[at + c] = source[start + c * stride] * scales[first + c];
    }
  }

  @Override
  public void maxPoolGradientRow(
      Floats memory,
      int from,
      int rowStride,
      int block,
      int size,
      int stride,
      int maxima,
      int gradient,
      int to,
      int toRowStride,
      int count) {
    float[] arena = memory.values;
    for (int x = 0; x < count; x++) {
      for (int c = 0; c < block; c++) {
        float maximum = arena[maxima + x * block + c];
        boolean found = false;
        for (int i = 0; i < size && !found; i++) {
          for (int j = 0; j < size && !found; j++) {
            int pixel = (x * stride + j) * block + c;
            found = arena[from + i * rowStride + pixel] == maximum;
            if (found) {
              arena[to + i * toRowStride + pixel] += arena[gradient + x * block + c];
            }
          }
        }
      }
    }
  }

  @Override
  public void moments(Floats memory, Region region, int x, int xRow, int pivot, int to) {
    float[] arena = memory.values;
    int block = region.block();
    for (int i = 0; i < region.rows(); i++) {
      for (int c = 0; c < block; c++) {
        float sum = 0;
        float squares = 0;
        int at = x + i * xRow + c;
        for (int j = 0; j < region.columns(); j++, at += block) {
          float d = arena[at] - arena[pivot + c];
          sum += d;
          squares = Math.fma(d, d, squares);
        }
        arena[to + c] += sum;
        arena[to + block + c] += squares;
      }
    }
  }

  @Override
  public void normalize(
      Floats memory,
      Region region,
      int x,
      int xRow,
      int coefficients,
      int residual,
      int residualRow,
      int y,
      int yRow) {
    float[] arena = memory.values;
    int block = region.block();
    for (int i = 0; i < region.rows(); i++) {
      for (int j = 0; j < region.columns(); j++) {
        for (int c = 0; c < block; c++) {
          float start = arena[coefficients + block + c];
          if (residual >= 0) {
            float added = arena[residual + i * residualRow + j * block + c];
            start = Math.fma(added, arena[coefficients + 2 * block + c], start);
          }
          float sum = Math.fma(arena[x + i * xRow + j * block + c], arena[coefficients + c], start);
          arena[y + i * yRow + j * block + c] = sum < 0 ? 0 : sum;
        }
      }
    }
  }

  @Override
  public void gradientMoments(
      Floats memory,
      Region region,
      Mask mask,
      int g,
      int gRow,
      int x,
      int xRow,
      int y,
      int yRow,
      int coefficients,
      int to) {
    float[] arena = memory.values;
    int block = region.block();
    for (int i = 0; i < region.rows(); i++) {
      for (int c = 0; c < block; c++) {
        float mean = arena[coefficients + c];
        float a = arena[coefficients + block + c];
        float b = arena[coefficients + 2 * block + c];
        float sum = 0;
        float products = 0;
        for (int j = 0; j < region.columns(); j++) {
          int at = g + i * gRow + j * block + c;
          float value = arena[x + i * xRow + j * block + c];
          boolean passes =
              switch (mask) {
                case NONE -> true;
                case INPUT -> Math.fma(value, a, b) > 0;
                case OUTPUT -> arena[y + i * yRow + j * block + c] > 0;
              };
          float gradient = passes ? arena[at] : 0;
          if (mask == Mask.OUTPUT) {
            arena[at] = gradient;
          }
          sum += gradient;
          products = Math.fma(gradient, value - mean, products);
        }
        arena[to + c] += sum;
        arena[to + block + c] += products;
      }
    }
  }

  @Override
  public void normGradient(
      Floats memory,
      Region region,
      boolean masked,
      int g,
      int gRow,
      int x,
      int xRow,
      int coefficients,
      int out,
      int outRow) {
    float[] arena = memory.values;
    int block = region.block();
    for (int i = 0; i < region.rows(); i++) {
      for (int j = 0; j < region.columns(); j++) {
        for (int c = 0; c < block; c++) {
          int k = coefficients + c;
          float value = arena[x + i * xRow + j * block + c];
          boolean passes =
              !masked || Math.fma(value, arena[k + 3 * block], arena[k + 4 * block]) > 0;
          float gradient = passes ? arena[g + i * gRow + j * block + c] : 0;
          float rest = Math.fma(value, arena[k + block], arena[k + 2 * block]);
          arena[out + i * outRow + j * block + c] = Math.fma(gradient, arena[k], rest);
        }
      }
    }
  }

  /** {@link #winogradInput} of one tile. */
  abstract void transform(
      Winograd form,
      float[] arena,
      int from,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch);

  @Override
  public void winogradInput(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int in,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch) {
    for (int t = first; t < end; t++) {
      int from = in + tiles.in().get(t);
      transform(
          form, arena.values, from, rowStride, block, to + (t - first) * block, step, scratch);
    }
  }

  @Override
  public void winogradGradient(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int in,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch) {
    float[] values = arena.values;
    float[][] at = form.outputTransform();
    int t = form.inputs();
    int m = form.outputs();
    for (int tile = first; tile < end; tile++) {
      int from = in + tiles.in().get(tile);
      for (int i = 0; i < t; i++) { // down the columns
        for (int x = 0; x < m; x++) {
          int square = scratch + (i * m + x) * block;
          for (int c = 0; c < block; c++) {
            float sum = 0;
            for (int y = 0; y < m; y++) {
              sum += at[y][i] * values[from + y * rowStride + x * block + c];
            }
            values[square + c] = sum;
          }
        }
      }
      for (int i = 0; i < t; i++) { // along the rows
        for (int j = 0; j < t; j++) {
          int product = to + (tile - first) * block + (i * t + j) * step;
          for (int c = 0; c < block; c++) {
            float sum = 0;
            for (int x = 0; x < m; x++) {
              sum += at[x][j] * values[scratch + (i * m + x) * block + c];
            }
            values[product + c] = sum;
          }
        }
      }
    }
  }

  /** {@link #winogradOutput} of one tile. */
  abstract void transformBack(
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
      int scratch);

  @Override
  public void winogradOutput(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int from,
      int step,
      int block,
      Floats weights,
      int biasAt,
      int out,
      int rowStride,
      int pixelStride,
      int residual,
      int residualRowStride,
      Epilogue epilogue,
      int scratch) {
    for (int t = first; t < end; t++) {
      transformBack(
          form,
          arena.values,
          from + (t - first) * block,
          step,
          block,
          weights.values,
          biasAt,
          out + tiles.out().get(t),
          rowStride,
          pixelStride,
          tiles.rows().get(t),
          tiles.columns().get(t),
          residual + tiles.residual().get(t),
          residualRowStride,
          epilogue,
          scratch);
    }
  }
}
