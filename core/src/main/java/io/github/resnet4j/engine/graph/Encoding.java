package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Format;

/**
 * How values are stored. The real value of a stored integer is {@code (number - zero) * scale}.
 *
 * @param scale 1 for floating-point formats
 */
public record Encoding(Format format, float scale, int zero) {
  public static final Encoding FLOATS = of(Format.FP32);

  /** A format without scale and zero point. */
  public static Encoding of(Format format) {
    return new Encoding(format, 1, 0);
  }
}
