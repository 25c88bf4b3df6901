package io.github.resnet4j.kernel;

/**
 * The order in which a block's 64 coefficients are stored: along diagonals, low frequencies first.
 */
public final class ZigZag {
  private ZigZag() {}

  /**
   * The position {@code 8 · row + column} of the k-th stored coefficient. The index may be up to 15
   * too large in damaged data; the position is then the last one, as in libjpeg.
   */
  public static byte[] positions() {
    byte[] positions = new byte[64 + 16];
    int k = 0;
    for (int diagonal = 0; diagonal < 15; diagonal++) {
      for (int i = Math.max(0, diagonal - 7); i <= Math.min(diagonal, 7); i++) {
        boolean upwards = (diagonal & 1) == 0;
        int row = upwards ? diagonal - i : i;
        positions[k++] = (byte) (8 * row + diagonal - row);
      }
    }
    while (k < positions.length) {
      positions[k++] = 63;
    }
    return positions;
  }
}
