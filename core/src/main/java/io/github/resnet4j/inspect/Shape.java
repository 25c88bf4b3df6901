package io.github.resnet4j.inspect;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Stem;

/** The shape of one image or activation: {@code [channels, height, width]}. */
public record Shape(int channels, int height, int width) {
  /** The usual shape of an input: 224×224 pixels, or 32×32 for a network for small images. */
  public static Shape usualInput(ResNetSpec network) {
    int side = network.stem() instanceof Stem.SmallImage ? 32 : 224;
    return new Shape(network.inChannels(), side, side);
  }

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
