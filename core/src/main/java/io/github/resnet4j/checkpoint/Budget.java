package io.github.resnet4j.checkpoint;

/**
 * A limit for reading one file, charged before the resource is used: memory in addition to the
 * mapped file, or bytes to be read. Since every step of a reader is charged, the limit also bounds
 * the time.
 */
final class Budget {
  /**
   * The memory of a checkpoint's tensor with its name, shape and strides, and its entries in a few
   * maps.
   */
  static final int TENSOR = 512;

  private final String what;
  private final long bytes;
  private long left;

  private Budget(String what, long bytes) {
    this.what = what;
    this.bytes = bytes;
    this.left = bytes;
  }

  /** The limit for everything except weights: ResNet-152's state dict needs 2 MB of it. */
  static Budget forFile() {
    return new Budget("its names and notes", 96L << 20);
  }

  /**
   * The limit for our own metadata: architecture, preprocessing and labels; 22,000 labels need 5
   * MB.
   */
  static Budget forMetadata() {
    return new Budget("its notes", 16L << 20);
  }

  /**
   * The limit for the weights of a network: the largest published ones, of ResNeXt-101 32x48d, have
   * 3.3 GB.
   */
  static Budget forWeights() {
    return new Budget("its weights", 4L << 30);
  }

  /**
   * Charges bytes.
   *
   * @throws Malformed if fewer are left
   */
  void take(long count) {
    left -= count;
    if (left < 0) {
      throw new Malformed("%s take more than %,d MB".formatted(what, bytes >> 20));
    }
  }
}
