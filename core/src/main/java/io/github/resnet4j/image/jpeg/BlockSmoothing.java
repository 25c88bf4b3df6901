package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.ZigZag;
import java.util.Arrays;

/**
 * Estimates the lowest coefficients of progressive files that end before all scans, from the DC
 * coefficients of the surrounding 5 × 5 blocks, as libjpeg-turbo does.
 */
final class BlockSmoothing {
  private static final byte[] POSITIONS = ZigZag.positions();

  /** The number of coefficients that are estimated or checked: DC and the first nine others. */
  private static final int SAVED = 10;

  /** The weights of the 25 DC coefficients for each estimate, if no other coefficient is known. */
  private static final int[][] WIDE = {
    {
      -2, -6, -8, -6, -2, -6, 6, 42, 6, -6, -8, 42, 152, 42, -8, -6, 6, 42, 6, -6, -2, -6, -8, -6,
      -2
    },
    {-1, -1, 0, 1, 1, -3, 13, 0, -13, 3, -3, 38, 0, -38, 3, -3, 13, 0, -13, 3, -1, -1, 0, 1, 1},
    {-1, -3, -3, -3, -1, -1, 13, 38, 13, -1, 0, 0, 0, 0, 0, 1, -13, -38, -13, 1, 1, 3, 3, 3, 1},
    {0, 0, 1, 0, 0, 0, 2, 7, 2, 0, 0, -5, -14, -5, 0, 0, 2, 7, 2, 0, 0, 0, 1, 0, 0},
    {-1, 0, 0, 0, 1, 0, 9, 0, -9, 0, 0, 0, 0, 0, 0, 0, -9, 0, 9, 0, 1, 0, 0, 0, -1},
    {0, 0, 0, 0, 0, 0, 2, -5, 2, 0, 1, 7, -14, 7, 1, 0, 2, -5, 2, 0, 0, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, 2, 0, -2, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 1, -3, 1, 0, 0, 0, 0, 0, 0, 0, -1, 3, -1, 0, 0, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, -3, 0, 3, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0},
    {0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, -1, -2, -1, 0, 0, 0, 0, 0, 0}
  };

  /** The weights if another coefficient is known; only the first five are estimated then. */
  private static final int[][] NARROW = {
    {},
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -7, 50, 0, -50, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {0, 0, -7, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, -50, 0, 0, 0, 0, 7, 0, 0},
    {0, 0, -1, 0, 0, 0, 0, 13, 0, 0, 0, 0, -24, 0, 0, 0, 0, 13, 0, 0, 0, 0, -1, 0, 0},
    {0, -1, 0, 1, 0, -1, 10, 0, -10, 1, 0, 0, 0, 0, 0, 1, -10, 0, 10, -1, 0, 1, 0, -1, 0},
    {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 13, -24, 13, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  };

  private static final int[] UNKNOWN = new int[64];

  static {
    Arrays.fill(UNKNOWN, -1);
  }

  /** The lowest known bit of each component's coefficients; −1 for unknown ones. */
  private final int[][] bits;

  /** The same before each component's last scan, for rows without data in this scan. */
  private final int[][] previousBits;

  private int scans;

  BlockSmoothing(int components) {
    bits = new int[components][64];
    previousBits = new int[components][64];
    for (int[] component : bits) {
      Arrays.fill(component, -1);
    }
  }

  /** Records the coefficients of a scan. */
  void scan(Scan scan) {
    scans = scan.number();
    for (Component component : scan.components()) {
      int[] known = bits[component.index];
      int[] previous = previousBits[component.index];
      for (int k = Math.min(scan.first(), 1); k <= Math.max(scan.last(), 9); k++) {
        previous[k] = scans > 1 ? known[k] : 0;
      }
      Arrays.fill(known, scan.first(), scan.last() + 1, scan.bit());
    }
  }

  /** Whether estimates improve the image, and everything they need is known. */
  boolean isUseful(Frame frame) {
    boolean useful = false;
    for (Component component : frame.components()) {
      int[] known = bits[component.index];
      if (!component.quantized || known[0] < 0) {
        return false;
      }
      for (int k = 0; k < SAVED; k++) {
        if (component.quantization[POSITIONS[k]] == 0) {
          return false;
        }
        useful |= k > 0 && known[k] != 0;
      }
    }
    return useful;
  }

  /**
   * Copies a block's coefficients and adds the estimates.
   *
   * @param above the number of block rows above to use, at most 2
   * @param below the number of block rows below to use, at most 2
   * @param complete whether the last scan has data for this row
   * @param to a row of blocks
   * @param nonZero a bit for each non-zero coefficient of a block
   */
  void smooth(
      Component component,
      int row,
      int column,
      int above,
      int below,
      boolean complete,
      short[] to,
      long[] nonZero) {
    int[] known =
        complete ? bits[component.index] : scans > 1 ? previousBits[component.index] : UNKNOWN;
    int block = row * component.blocksPerRow + column;
    int at = 64 * column;
    System.arraycopy(component.coefficients, 64 * block, to, at, 64);
    nonZero[column] = component.nonZero[block];
    boolean wide = true;
    for (int k = 1; k < SAVED; k++) {
      wide &= known[k] == -1;
    }
    int[] neighbors = neighbors(component, row, column, above, below);
    int[][] weights = wide ? WIDE : NARROW;
    int[] steps = component.quantization;
    for (int k = 1; k < weights.length; k++) {
      int position = POSITIONS[k];
      if (known[k] != 0 && to[at + position] == 0) {
        to[at + position] =
            (short) estimate(neighbors, weights[k], steps[0], steps[position], known[k]);
        nonZero[column] |= 1L << k;
      }
    }
    if (wide) {
      to[at] = (short) estimate(neighbors, weights[0], steps[0], steps[0], 0);
    }
  }

  private static int estimate(int[] neighbors, int[] weights, int dcStep, int step, int bit) {
    long sum = 0;
    for (int i = 0; i < 25; i++) {
      sum += (long) weights[i] * neighbors[i];
    }
    sum *= dcStep;
    int size = (int) ((((long) step << 7) + Math.abs(sum)) / ((long) step << 8));
    if (bit > 0) {
      size = Math.min(size, (1 << bit) - 1);
    }
    return sum >= 0 ? size : -size;
  }

  /** The DC coefficients of the 25 blocks; beyond the image those of its border. */
  private static int[] neighbors(Component component, int row, int column, int above, int below) {
    int[] dc = new int[25];
    for (int y = 0; y < 5; y++) {
      int fromRow = row + Math.max(-above, Math.min(y - 2, below));
      for (int x = 0; x < 5; x++) {
        int fromColumn = Math.max(0, Math.min(column + x - 2, component.widthInBlocks - 1));
        dc[5 * y + x] =
            component.coefficients[64 * (fromRow * component.blocksPerRow + fromColumn)];
      }
    }
    return dc;
  }
}
