package io.github.resnet4j.inspect;

/** The shape of one image or activation: {@code [channels, height, width]}. */
public record Shape(int channels, int height, int width) {
  /** The number of values. */
  public long size() {
    return (long) channels * height * width;
  }

  /** Only height and width: {@code 56×56}. */
  public String extent() {
    return height + "×" + width;
  }

  /** As figures show it, {@code 64×56×56}; only the length for a vector. */
  @Override
  public String toString() {
    return height == 1 && width == 1 ? String.valueOf(channels) : channels + "×" + extent();
  }
}
