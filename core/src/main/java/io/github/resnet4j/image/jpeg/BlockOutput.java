package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.JpegKernels;

/** Turns blocks of coefficients into the components' samples. */
final class BlockOutput {
  private final JpegKernels kernels;

  /** Each component's quantization steps, by its index. */
  private final short[][] steps;

  /** A row of blocks with estimates of what the file does not have. */
  private short[] smoothed = {};

  private long[] smoothedNonZero = {};

  /** An output for when all components' quantization steps are known. */
  BlockOutput(JpegKernels kernels, Frame frame) {
    this.kernels = kernels;
    steps = new short[frame.components().size()][64];
    for (Component component : frame.components()) {
      for (int i = 0; i < 64; i++) {
        steps[component.index][i] = (short) component.quantization[i];
      }
    }
  }

  /**
   * Puts a component's blocks of a row of MCUs.
   *
   * @param from the row of blocks in the component's coefficients with which it begins
   */
  void put(Component component, int mcuRow, int from) {
    int rows = Math.min(component.v, component.heightInBlocks - mcuRow * component.v);
    for (int row = 0; row < rows; row++) {
      int at = (from + row) * component.blocksPerRow;
      putRow(component, component.coefficients, component.nonZero, at, row);
    }
  }

  /** The same with estimates of the coefficients that the file does not have. */
  void putSmoothed(
      Component component, int mcuRow, Frame frame, BlockSmoothing smoothing, boolean complete) {
    boolean last = mcuRow == frame.mcuRows() - 1;
    int rows = last ? component.heightInBlocks - mcuRow * component.v : component.v;
    if (smoothed.length < 64 * component.widthInBlocks) {
      smoothed = new short[64 * component.widthInBlocks];
      smoothedNonZero = new long[component.widthInBlocks];
    }
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
            smoothed,
            smoothedNonZero);
      }
      putRow(component, smoothed, smoothedNonZero, 0, row);
    }
  }

  private void putRow(
      Component component, short[] coefficients, long[] nonZero, int from, int row) {
    int size = component.blockSize;
    int stride = component.stride;
    int at = RgbRows.start(component) + row * size * stride;
    short[] factors = steps[component.index];
    int blocks = component.widthInBlocks;
    if (size == 8) {
      kernels.idct(coefficients, nonZero, from, blocks, factors, component.samples, at, stride);
      return;
    }
    int[] block = new int[64];
    for (int b = 0; b < blocks; b++) {
      for (int i = 0; i < 64; i++) {
        block[i] = (short) (coefficients[64 * (from + b) + i] * factors[i]);
      }
      ReducedIdct.transform(block, size, component.samples, at + b * size, stride);
    }
  }
}
