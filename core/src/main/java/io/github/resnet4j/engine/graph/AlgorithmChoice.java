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

  /**
   * With fewer channels the transforms take longer than the products in bfloat16 that they save.
   */
  int MIN_CHANNELS_OF_PAIRS = 64;

  /** Always direct convolution. */
  AlgorithmChoice DIRECT = (_, _, _) -> null;

  /**
   * By a rule: the form whose products take the least time, unless its transformed weights, which
   * do not fit into a cache, are too large for the number of images that use them, or its tiles
   * extend too far beyond a small image. In bfloat16, whose products are twice as fast, that is
   * F(2×2), otherwise F(4×4).
   */
  AlgorithmChoice BY_RULE =
      (conv, images, _) -> {
        boolean prefersF4 = conv.in().format().isFloat();
        Winograd first = prefersF4 ? Winograd.F4 : Winograd.F2;
        Winograd second = prefersF4 ? Winograd.F2 : Winograd.F4;
        return isWorthwhile(conv, first, images)
            ? first
            : isWorthwhile(conv, second, images) ? second : null;
      };

  private static boolean isWorthwhile(Convolution conv, Winograd form, int images) {
    int fewest = Math.min(conv.in().channels(), conv.out().channels());
    if (!conv.allows(form) || (!conv.isOfFloats() && fewest < MIN_CHANNELS_OF_PAIRS)) {
      return false;
    }
    long bytesPerImage = form == Winograd.F4 ? 5 << 20 : 8 << 20;
    Layout out = conv.out();
    long tiles =
        (long) Math.ceilDiv(out.height(), form.outputs())
            * Math.ceilDiv(out.width(), form.outputs());
    long products = tiles * form.products();
    int perWord = conv.winogradFactors(form).perWord();
    long weightBytes =
        (long) form.products() * conv.in().channels() * out.channels() * Float.BYTES / perWord;
    return products * 5 < 9L * out.height() * out.width() * 3 // at most three fifths of direct's
        && weightBytes <= bytesPerImage * images;
  }
}
