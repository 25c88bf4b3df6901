package io.github.resnet4j.image.jpeg;

/** One colour component: what the frame header says of it, and where its data is kept meanwhile. */
final class Component {
  final int index;
  final int id;
  final int h;
  final int v;
  final int quantizationIndex;

  /** Blocks with image content; more are stored where the sampling factors demand it. */
  int widthInBlocks;

  int heightInBlocks;

  /** Blocks in a stored row, a multiple of {@link #h}. */
  int blocksPerRow;

  /** The samples that a block becomes in each direction: 8, or less where the image is reduced. */
  int blockSize;

  /** Samples of the (possibly reduced) image, before upsampling. */
  int width;

  int height;

  /** Sample rows that become {@code maxV} rows of the image. */
  int rowsInGroup;

  int dcTable;
  int acTable;

  /** The last DC coefficient of the scan. */
  int dc;

  /**
   * Quantization steps by position, taken from the file at the component's first scan. All zero,
   * and so all samples 128, for a component that no scan holds.
   */
  int[] quantization = new int[64];

  boolean quantized;

  /**
   * Coefficients by position: of all blocks where the file has several scans, else of those of one
   * row of MCUs.
   */
  short[] coefficients = {};

  /** A bit for the k-th stored coefficient of each block, from k = 1 on, that is not zero. */
  long[] nonZero = {};

  /** Samples less 128 of one row of MCUs, with rows of the one before it above. */
  byte[] samples = {};

  int stride;

  Component(int index, int id, int h, int v, int quantizationIndex) {
    this.index = index;
    this.id = id;
    this.h = h;
    this.v = v;
    this.quantizationIndex = quantizationIndex;
  }
}
