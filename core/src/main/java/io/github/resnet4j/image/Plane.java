package io.github.resnet4j.image;

import java.util.Arrays;

/**
 * The samples of one component with a border of one column on the left and one row above.
 *
 * @param origin the index of the sample (0, 0)
 */
record Plane(byte[] data, int stride, int origin) {
  /**
   * A plane of VP8 with its border values: 127 above, 129 on the left.
   *
   * @param right the number of columns beyond the right border
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
