package io.github.resnet4j.image.jpeg;

import java.util.List;

/**
 * The frame header.
 *
 * @param components in the header's order
 */
record Frame(boolean progressive, int width, int height, List<Component> components) {
  int maxH() {
    int max = 1;
    for (Component component : components) {
      max = Math.max(max, component.h);
    }
    return max;
  }

  int maxV() {
    int max = 1;
    for (Component component : components) {
      max = Math.max(max, component.v);
    }
    return max;
  }

  /** The number of rows of MCUs in a scan of all components. */
  int mcuRows() {
    return ceil(height, 8 * maxV());
  }

  int mcusPerRow() {
    return ceil(width, 8 * maxH());
  }

  /** The number of blocks of the image without padding, over all components. */
  long blocks() {
    long blocks = 0;
    for (Component component : components) {
      blocks += (long) component.widthInBlocks * component.heightInBlocks;
    }
    return blocks;
  }

  static int ceil(int n, int divisor) {
    return (n + divisor - 1) / divisor;
  }
}
