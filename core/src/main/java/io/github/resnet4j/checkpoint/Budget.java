package io.github.resnet4j.checkpoint;

/**
 * How much the reading of one file may take, counted before it is taken: memory beside the mapped
 * file, or bytes to be read. Since every step of a reader takes some of it, it bounds the time too.
 */
final class Budget {
  /** A tensor of a checkpoint with its name, shape and strides, and its entries in a few maps. */
  static final int TENSOR = 512;

  private final String what;
  private final long bytes;
  private long left;

  private Budget(String what, long bytes) {
    this.what = what;
    this.bytes = bytes;
    this.left = bytes;
  }

  /** For what a file says beside its weights: ResNet-152's state dict takes 2 MB of it. */
  static Budget ofFile() {
    return new Budget("its names and notes", 96L << 20);
  }

  /** For notes of ours: an architecture, a preprocessing and labels; 22,000 labels take 5 MB. */
  static Budget ofNotes() {
    return new Budget("its notes", 16L << 20);
  }

  /** For the weights of a network: the largest published ones, ResNeXt-101 32x48d, have 3.3 GB. */
  static Budget ofWeights() {
    return new Budget("its weights", 4L << 30);
  }

  /**
   * Takes so many bytes.
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
