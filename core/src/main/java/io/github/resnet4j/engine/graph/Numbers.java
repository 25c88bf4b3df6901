package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Format;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Which numbers a plan calculates with: the format of what convolutions read.
 *
 * @param format {@link Format#FP32}, {@link Format#ROUNDED}, {@link Format#BF16} or {@link
 *     Format#U8}
 * @param ranges the largest magnitude of each convolution's and attention's result and of the
 *     {@code input}, where bytes stand for them; else null
 */
public record Numbers(Format format, @Nullable Map<String, Float> ranges) {
  /** Images may be negative: half of the bytes are for that. */
  private static final int ZERO_OF_IMAGES = 128;

  public static final Numbers FLOATS = new Numbers(Format.FP32, null);

  /** The images', which are floats where their range is not known. */
  Encoding ofImages(Op.Input input) {
    if (ranges == null) {
      return Encoding.of(format);
    }
    Float range = ranges.get(input.name());
    return range == null ? Encoding.FLOATS : new Encoding(Format.U8, range / 127, ZERO_OF_IMAGES);
  }

  /**
   * Those of a convolution's or an attention's result.
   *
   * @param relu whether it is never negative
   * @throws IllegalArgumentException if its range is not known
   */
  Encoding ofResult(String layer, boolean relu) {
    if (ranges == null) {
      return Encoding.of(format);
    }
    Float range = ranges.get(layer);
    if (range == null) {
      throw new IllegalArgumentException(
          "the quantization is of another network: it lacks " + layer);
    }
    return relu ? new Encoding(Format.U8, range / 255, 0) : new Encoding(Format.S8, range / 127, 0);
  }
}
