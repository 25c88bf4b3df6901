package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.JpegKernels;

/** Converts blocks of coefficients to the components' samples. */
final class BlockOutput {
  private final JpegKernels kernels;

  /** The quantization steps of each component, by its index. */
  private final short[][] steps;

  /** A row of blocks with estimates of missing coefficients. */
  private short[] smoothed = {};

  private long[] smoothedNonZero = {};

  /** Must be created after all components' quantization steps are known. */
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
   * Outputs a component's blocks of a row of MCUs.
   *
   * @param from the first row of blocks in the component's coefficients
   */
  void put(Component component, int mcuRow, int from) {
    int rows = Math.min(component.v, component.heightInBlocks - mcuRow * component.v);
    for (int row = 0; row < rows; row++) {
      int at = (from + row) * component.blocksPerRow;
      putRow(component, component.coefficients, component.nonZero, at, row);
    }
  }

  /** The same with estimates of missing coefficients. */
  void putSmoothed(
      Component component, int mcuRow, Frame frame, BlockSmoothing smoothing, boolean complete) {
    boolean last = mcuRow == frame.mcuRows() - 1;
    int rows = last ? component.heightInBlocks - mcuRow * component.v : component.v;
    if (smoothed.length < 64 * component.widthInBlocks) {
      smoothed = new short[64 * component.widthInBlocks];
      smoothedNonZero = new long[component.widthInBlocks];
    }
    for (int row = 0; row < rows; row++) {
      // libjpeg assumes that all rows of MCUs have as many rows of blocks as this one.
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
