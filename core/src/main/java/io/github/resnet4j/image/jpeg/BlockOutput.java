package io.github.resnet4j.image.jpeg;

import java.util.Arrays;

/** Turns blocks of coefficients into the components' samples. */
final class BlockOutput {
  private final Idct idct = new Idct();
  private final int[] block = new int[64];
  private final short[] smoothed = new short[64];

  /** Puts the block that was just read into the component's row of MCUs. */
  void put(Component component, SequentialScan scan, int row, int column) {
    put(component, scan.block, scan.mask, scan.sum, row, column);
  }

  private void put(Component component, int[] block, long mask, int sum, int row, int column) {
    int size = component.blockSize;
    int at = RgbRows.start(component) + row * size * component.stride + column * size;
    if (size == 8) {
      idct.transform(block, mask, sum, component.samples, at, component.stride);
    } else {
      ReducedIdct.transform(block, size, component.samples, at, component.stride);
    }
  }

  /** Puts all blocks of a row of MCUs. */
  void putRow(Component component, int mcuRow) {
    for (int row = 0; row < component.v; row++) {
      int blockRow = mcuRow * component.v + row;
      if (blockRow >= component.heightInBlocks) {
        return;
      }
      int at = 64 * blockRow * component.blocksPerRow;
      for (int column = 0; column < component.widthInBlocks; column++, at += 64) {
        put(component, component.coefficients, at, row, column);
      }
    }
  }

  /** The same with estimates of the coefficients that the file does not have. */
  void putRowSmoothed(
      Component component, int mcuRow, Frame frame, BlockSmoothing smoothing, boolean complete) {
    boolean last = mcuRow == frame.mcuRows() - 1;
    int rows = last ? component.heightInBlocks - mcuRow * component.v : component.v;
    for (int row = 0; row < rows; row++) {
      // libjpeg counts rows of blocks as if all rows of MCUs had as many as this one.
      int above = mcuRow * rows + row;
      int below = frame.mcuRows() * rows - 1 - above;
      for (int column = 0; column < component.widthInBlocks; column++) {
        smoothing.smooth(
            component,
            mcuRow * component.v + row,
            column,
            Math.min(2, above),
            Math.min(2, below),
            complete,
            smoothed);
        put(component, smoothed, 0, row, column);
      }
    }
  }

  private void put(Component component, short[] coefficients, int at, int row, int column) {
    int[] steps = component.quantization;
    long mask = 0;
    int sum = 0;
    for (int i = 0; i < 64; i++) {
      int coefficient = coefficients[at + i];
      if (coefficient != 0) {
        int value = (short) (coefficient * steps[i]);
        block[i] = value;
        mask |= 1L << i;
        sum += Math.abs(value);
      }
    }
    put(component, block, mask, sum, row, column);
    if (mask != 0) {
      Arrays.fill(block, 0);
    }
  }
}
