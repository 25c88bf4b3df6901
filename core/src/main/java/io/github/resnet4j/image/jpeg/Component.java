package io.github.resnet4j.image.jpeg;

/** A color component: its parameters in the frame header, and its decoded data. */
final class Component {
  final int index;
  final int id;
  final int h;
  final int v;
  final int quantizationIndex;

  /**
   * The number of blocks with image content; more are stored if the sampling factors require it.
   */
  int widthInBlocks;

  int heightInBlocks;

  /** The number of blocks in a stored row, a multiple of {@link #h}. */
  int blocksPerRow;

  /** The number of samples per block in each direction: 8, or less if the image is reduced. */
  int blockSize;

  /** The number of samples of the (possibly reduced) image, before upsampling. */
  int width;

  int height;

  /** The number of sample rows for {@code maxV} rows of the image. */
  int rowsInGroup;

  int dcTable;
  int acTable;

  /** The last DC coefficient of the scan. */
  int dc;

  /**
   * Quantization steps by position, read at the component's first scan. All zero, and so all
   * samples 128, for a component without a scan.
   */
  int[] quantization = new int[64];

  boolean quantized;

  /**
   * Coefficients by position: of all blocks if the file has several scans, else of one row of MCUs.
   */
  short[] coefficients = {};

  /** For each block a bit for the k-th stored coefficient, from k = 1 on, that is not zero. */
  long[] nonZero = {};

  /** Samples less 128 of one row of MCUs, with rows of the previous one above. */
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
