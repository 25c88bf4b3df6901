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
