package io.github.resnet4j.image;

import java.util.Arrays;

/**
 * Predicts VP8 blocks from their neighbors and adds the residuals (RFC 6386, sections 12 and 14).
 */
final class Vp8Blocks {
  static final int DC = 0;
  static final int TRUE_MOTION = 1;
  static final int VERTICAL = 2;
  static final int HORIZONTAL = 3;
  private static final int DOWN_RIGHT = 4;
  private static final int VERTICAL_RIGHT = 5;
  private static final int DOWN_LEFT = 6;
  private static final int VERTICAL_LEFT = 7;
  private static final int HORIZONTAL_DOWN = 8;

  /**
   * The neighbors of a 4×4 block: from the lowest on the left, via the corner, to the eighth above.
   */
  private final int[] edge = new int[13];

  private final int[] columns = new int[16];

  /** Predicts a square of a macroblock: 16×16 of luma or 8×8 of chroma. */
  void predictSquare(Plane plane, int x, int y, int size, int mode) {
    byte[] data = plane.data();
    int stride = plane.stride();
    int at = plane.at(x, y);
    switch (mode) {
      case VERTICAL -> {
        for (int row = 0; row < size; row++) {
          System.arraycopy(data, at - stride, data, at + row * stride, size);
        }
      }
      case HORIZONTAL -> {
        for (int row = 0; row < size; row++) {
          int from = at + row * stride;
          Arrays.fill(data, from, from + size, data[from - 1]);
        }
      }
      case TRUE_MOTION -> trueMotion(data, at, stride, size);
      default -> {
        byte mean = (byte) mean(data, at, stride, size, x > 0, y > 0);
        for (int row = 0; row < size; row++) {
          Arrays.fill(data, at + row * stride, at + row * stride + size, mean);
        }
      }
    }
  }

  /** The mean of the neighbors that are within the image. */
  private static int mean(byte[] data, int at, int stride, int size, boolean left, boolean above) {
    if (!left && !above) {
      return 128;
    }
    int sum = 0;
    for (int i = 0; i < size; i++) {
      sum += above ? data[at - stride + i] & 0xff : 0;
      sum += left ? data[at + i * stride - 1] & 0xff : 0;
    }
    int count = left && above ? 2 * size : size;
    return (sum + count / 2) / count;
  }

  private static void trueMotion(byte[] data, int at, int stride, int size) {
    int corner = data[at - stride - 1] & 0xff;
    for (int row = 0; row < size; row++) {
      int to = at + row * stride;
      int left = (data[to - 1] & 0xff) - corner;
      for (int i = 0; i < size; i++) {
        data[to + i] = (byte) clip(left + (data[at - stride + i] & 0xff));
      }
    }
  }

  private static int clip(int value) {
    return Math.clamp(value, 0, 255);
  }

  /**
   * Predicts a 4×4 block.
   *
   * @param aboveRight the index of the four samples above and to the right
   */
  void predictBlock(byte[] data, int at, int stride, int aboveRight, int mode) {
    for (int i = 0; i < 4; i++) {
      edge[i] = data[at + (3 - i) * stride - 1] & 0xff;
      edge[5 + i] = data[at - stride + i] & 0xff;
      edge[9 + i] = data[aboveRight + i] & 0xff;
    }
    edge[4] = data[at - stride - 1] & 0xff;
    switch (mode) {
      case DC -> {
        int sum = 4;
        for (int i = 0; i < 4; i++) {
          sum += edge[i] + edge[5 + i];
        }
        for (int row = 0; row < 4; row++) {
          Arrays.fill(data, at + row * stride, at + row * stride + 4, (byte) (sum >> 3));
        }
      }
      case TRUE_MOTION -> trueMotion(data, at, stride, 4);
      default -> {
        for (int row = 0; row < 4; row++) {
          for (int column = 0; column < 4; column++) {
            data[at + row * stride + column] = (byte) directional(mode, row, column);
          }
        }
      }
    }
  }

  /** A mean of two or three neighbors in the direction of the mode. */
  private int directional(int mode, int row, int column) {
    return switch (mode) {
      case VERTICAL -> mean3(5 + column);
      case HORIZONTAL -> row == 3 ? (edge[1] + 3 * edge[0] + 2) >> 2 : mean3(3 - row);
      case DOWN_RIGHT -> mean3(4 - row + column);
      case DOWN_LEFT ->
          row + column == 6 ? (edge[11] + 3 * edge[12] + 2) >> 2 : mean3(6 + row + column);
      case VERTICAL_RIGHT -> {
        int steps = 2 * column - row;
        yield steps < 0
            ? mean3(5 + steps)
            : steps % 2 == 0 ? mean2(4 + steps / 2) : mean3(4 + steps / 2 + 1);
      }
      case HORIZONTAL_DOWN -> {
        int steps = 2 * row - column;
        yield steps < 0
            ? mean3(3 - steps)
            : steps % 2 == 0 ? mean2(3 - steps / 2) : mean3(3 - steps / 2);
      }
      case VERTICAL_LEFT -> {
        if (column == 3 && row >= 2) {
          yield mean3(row == 2 ? 10 : 11);
        }
        int from = 5 + column + row / 2;
        yield row % 2 == 0 ? mean2(from) : mean3(from + 1);
      }
      default -> { // horizontal and up
        int steps = column + 2 * row;
        if (steps > 5) {
          yield edge[0];
        }
        if (steps == 5) {
          yield (edge[1] + 3 * edge[0] + 2) >> 2;
        }
        int from = 3 - steps / 2;
        yield steps % 2 == 0 ? mean2(from - 1) : mean3(from - 1);
      }
    };
  }

  private int mean2(int first) {
    return (edge[first] + edge[first + 1] + 1) >> 1;
  }

  private int mean3(int middle) {
    return (edge[middle - 1] + 2 * edge[middle] + edge[middle + 1] + 2) >> 2;
  }

  /** Adds the inverse transform of 16 coefficients to a block. */
  void add(short[] coefficients, int from, byte[] data, int at, int stride) {
    for (int i = 0; i < 4; i++) {
      int c = from + i;
      int a = coefficients[c] + coefficients[c + 8];
      int b = coefficients[c] - coefficients[c + 8];
      int odd = sine(coefficients[c + 4]) - cosine(coefficients[c + 12]);
      int even = cosine(coefficients[c + 4]) + sine(coefficients[c + 12]);
      columns[4 * i] = a + even;
      columns[4 * i + 1] = b + odd;
      columns[4 * i + 2] = b - odd;
      columns[4 * i + 3] = a - even;
    }
    for (int row = 0; row < 4; row++) {
      int a = columns[row] + 4 + columns[8 + row];
      int b = columns[row] + 4 - columns[8 + row];
      int odd = sine(columns[4 + row]) - cosine(columns[12 + row]);
      int even = cosine(columns[4 + row]) + sine(columns[12 + row]);
      int to = at + row * stride;
      data[to] = (byte) clip((data[to] & 0xff) + ((a + even) >> 3));
      data[to + 1] = (byte) clip((data[to + 1] & 0xff) + ((b + odd) >> 3));
      data[to + 2] = (byte) clip((data[to + 2] & 0xff) + ((b - odd) >> 3));
      data[to + 3] = (byte) clip((data[to + 3] & 0xff) + ((a - even) >> 3));
    }
  }

  /** Multiplies by √2 · cos(π/8). */
  private static int cosine(int value) {
    return value + (value * 20091 >> 16);
  }

  /** Multiplies by √2 · sin(π/8). */
  private static int sine(int value) {
    return value * 35468 >> 16;
  }

  /**
   * The inverse Walsh-Hadamard transform, whose results are the first coefficients of 16 blocks.
   */
  static void addMeans(short[] in, short[] coefficients) {
    int[] rows = new int[16];
    for (int i = 0; i < 4; i++) {
      int a0 = in[i] + in[12 + i];
      int a1 = in[4 + i] + in[8 + i];
      int a2 = in[4 + i] - in[8 + i];
      int a3 = in[i] - in[12 + i];
      rows[i] = a0 + a1;
      rows[4 + i] = a3 + a2;
      rows[8 + i] = a0 - a1;
      rows[12 + i] = a3 - a2;
    }
    for (int i = 0; i < 4; i++) {
      int a0 = rows[4 * i] + 3 + rows[4 * i + 3];
      int a1 = rows[4 * i + 1] + rows[4 * i + 2];
      int a2 = rows[4 * i + 1] - rows[4 * i + 2];
      int a3 = rows[4 * i] + 3 - rows[4 * i + 3];
      coefficients[64 * i] = (short) ((a0 + a1) >> 3);
      coefficients[64 * i + 16] = (short) ((a3 + a2) >> 3);
      coefficients[64 * i + 32] = (short) ((a0 - a1) >> 3);
      coefficients[64 * i + 48] = (short) ((a3 - a2) >> 3);
    }
  }
}
