package io.github.resnet4j.kernel;

/** A {@link ConvTile} of one tile, for which Java guards each access. */
interface OneTile {
  /**
   * Computes it.
   *
   * @param in where the first pixel's input begins
   * @param out where the first pixel's output goes
   * @param residual where the first pixel's residual lies; unused without residual
   * @param runs where each run begins, relative to {@code in}
   */
  void run(
      float[] arena,
      int in,
      int out,
      int residual,
      int[] runs,
      float[] weights,
      int weightAt,
      ConvTile.Reduction reduction);

  /** Many of them, one after the other. */
  record Listed(OneTile tile, ConvTile.Tiles tiles, Ints runs) implements ConvTile {
    @Override
    public void run(
        Floats arena,
        int first,
        int end,
        int in,
        int out,
        int residual,
        Floats weights,
        int weightAt,
        Reduction reduction) {
      for (int t = first; t < end; t++) {
        tile.run(
            arena.values,
            in + tiles.in().get(t),
            out + tiles.out().get(t),
            residual + tiles.residual().get(t),
            runs.values,
            weights.values,
            weightAt,
            reduction);
      }
    }
  }
}
