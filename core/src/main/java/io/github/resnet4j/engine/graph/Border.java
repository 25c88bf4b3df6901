package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Winograd;

/**
 * Zeros around an image, so that kernels need no bounds checks.
 *
 * @param before the number of pixels above and on the left
 * @param after the number of pixels below and on the right; larger than before if tiles extend
 *     beyond the image
 */
public record Border(int before, int after) {
  public static final Border NONE = new Border(0, 0);

  /** The same width on all sides. */
  public static Border of(int pixels) {
    return new Border(pixels, pixels);
  }

  /**
   * The border that a convolution by Winograd's algorithm reads; its tiles may extend beyond the
   * image.
   */
  public static Border of(Winograd form, int height, int width) {
    int m = form.outputs();
    int overhang =
        Math.max(Math.ceilDiv(height, m) * m - height, Math.ceilDiv(width, m) * m - width);
    return new Border(1, 1 + overhang);
  }

  /** The smallest border that contains both. */
  public Border or(Border other) {
    return new Border(Math.max(before, other.before), Math.max(after, other.after));
  }

  public boolean isNone() {
    return before + after == 0;
  }
}
