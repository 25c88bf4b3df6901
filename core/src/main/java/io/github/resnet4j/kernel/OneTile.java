package io.github.resnet4j.kernel;

/** A {@link ConvTile} of one tile, whose accesses Java checks. */
interface OneTile {
  /**
   * Computes the tile.
   *
   * @param in the index of the first pixel's input
   * @param out the index of the first pixel's output
   * @param residual the index of the first pixel's residual; unused without residual
   * @param segments the offset of each segment, relative to {@code in}
   */
  void run(
      float[] arena,
      int in,
      int out,
      int residual,
      int[] segments,
      float[] weights,
      int weightAt,
      ConvTile.Reduction reduction);

  /** A list of tiles, computed one after the other. */
  record Listed(OneTile tile, ConvTile.Tiles tiles, Ints segments) implements ConvTile {
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
            segments.values,
            weights.values,
            weightAt,
            reduction);
      }
    }
  }
}
