package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Winograd;
import org.jspecify.annotations.Nullable;

/** Chooses the algorithm of a 3×3 convolution of stride 1. */
public interface AlgorithmChoice {
  /**
   * Returns the form of Winograd's algorithm to use, or null for direct convolution.
   *
   * @param images the number of images processed together
   * @param parts the number of threads among which a step is split
   */
  @Nullable Winograd winograd(Convolution conv, int images, int parts);

  /** Always direct convolution. */
  AlgorithmChoice DIRECT = (_, _, _) -> null;

  /**
   * By a rule: the form with the fewest products, unless its transformed weights, which do not fit
   * into a cache, are too large for the number of images that use them, or its tiles extend too far
   * beyond a small image.
   */
  AlgorithmChoice BY_RULE =
      (conv, images, _) ->
          isWorthwhile(conv, Winograd.F4, images, 5 << 20)
              ? Winograd.F4
              : isWorthwhile(conv, Winograd.F2, images, 8 << 20) ? Winograd.F2 : null;

  private static boolean isWorthwhile(
      Convolution conv, Winograd form, int images, long bytesPerImage) {
    Layout out = conv.out();
    long tiles =
        (long) Math.ceilDiv(out.height(), form.outputs())
            * Math.ceilDiv(out.width(), form.outputs());
    long products = tiles * form.products();
    long weightBytes = (long) form.products() * conv.in().channels() * out.channels() * Float.BYTES;
    return products * 5 < 9L * out.height() * out.width() * 3 // at most three fifths of direct's
        && weightBytes <= bytesPerImage * images;
  }
}
