package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Winograd;
import org.jspecify.annotations.Nullable;

/** Decides how a 3×3 convolution of stride 1 is computed. */
public interface AlgorithmChoice {
  /**
   * The form of Winograd's algorithm to use, or null for direct convolution.
   *
   * @param images that run at once
   * @param parts among how many threads a step is split
   */
  @Nullable Winograd winograd(Convolution conv, int images, int parts);

  /** Direct convolution everywhere. */
  AlgorithmChoice DIRECT = (_, _, _) -> null;

  /**
   * By rule: the form with fewer products, unless its transformed weights, which no cache holds,
   * are too many for the images that share them, or its tiles overhang a small image too far.
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
