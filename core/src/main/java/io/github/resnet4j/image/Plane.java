package io.github.resnet4j.image;

import java.util.Arrays;

/**
 * The samples of one component with a border of one column to the left and one row above.
 *
 * @param origin where the sample (0, 0) lies
 */
record Plane(byte[] data, int stride, int origin) {
  /**
   * A plane of VP8 with what lies beyond its borders: 127 above, 129 to the left.
   *
   * @param right columns that lie beyond the right border
   */
  static Plane bordered(int width, int height, int right) {
    int stride = 1 + width + right;
    byte[] data = new byte[stride * (height + 1)];
    Arrays.fill(data, 0, stride, (byte) 127);
    for (int y = 1; y <= height; y++) {
      data[y * stride] = (byte) 129;
    }
    return new Plane(data, stride, stride + 1);
  }

  int at(int x, int y) {
    return origin + y * stride + x;
  }
}
