package io.github.resnet4j.inspect;

/** What one image is at some point of a network: {@code [channels, height, width]}. */
public record Shape(int channels, int height, int width) {
  /** How many numbers it holds. */
  public long size() {
    return (long) channels * height * width;
  }

  /** Height and width alone: {@code 56×56}. */
  public String extent() {
    return height + "×" + width;
  }

  /** As figures write it, {@code 64×56×56}; a vector is its length alone. */
  @Override
  public String toString() {
    return height == 1 && width == 1 ? String.valueOf(channels) : channels + "×" + extent();
  }
}
