package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Format;

/**
 * How numbers are stored, and what a whole number means: {@code (number - zero) * scale}.
 *
 * @param scale 1 where numbers are not whole
 */
public record Encoding(Format format, float scale, int zero) {
  public static final Encoding FLOATS = of(Format.FP32);

  /** Numbers that mean themselves. */
  public static Encoding of(Format format) {
    return new Encoding(format, 1, 0);
  }
}
