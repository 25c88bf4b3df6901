package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Winograd;

/**
 * Zeros around an image, so that no kernel asks where it ends.
 *
 * @param before pixels above and on the left
 * @param after pixels below and on the right; more than before where tiles overhang the image
 */
public record Border(int before, int after) {
  public static final Border NONE = new Border(0, 0);

  /** As wide on all sides. */
  public static Border of(int pixels) {
    return new Border(pixels, pixels);
  }

  /** What a convolution by Winograd's algorithm reads around an image: its tiles may overhang. */
  public static Border of(Winograd form, int height, int width) {
    int m = form.outputs();
    int overhang =
        Math.max(Math.ceilDiv(height, m) * m - height, Math.ceilDiv(width, m) * m - width);
    return new Border(1, 1 + overhang);
  }

  /** A border that is wide enough for whoever needs one of both. */
  public Border or(Border other) {
    return new Border(Math.max(before, other.before), Math.max(after, other.after));
  }

  public boolean isNone() {
    return before + after == 0;
  }
}
