package io.github.resnet4j.engine.graph;

import io.github.resnet4j.kernel.Format;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The arithmetic of a plan: the format of the values that convolutions read.
 *
 * @param format {@link Format#FP32}, {@link Format#ROUNDED}, {@link Format#BF16} or {@link
 *     Format#U8}
 * @param ranges the largest magnitude of the result of each convolution and attention, and of the
 *     {@code input}, if the format is U8; else null
 */
public record Arithmetic(Format format, @Nullable Map<String, Float> ranges) {
  /** Pixels of an image may be negative: half of the byte range represents negative values. */
  private static final int IMAGE_ZERO = 128;

  public static final Arithmetic FLOATS = new Arithmetic(Format.FP32, null);

  /** The encoding of images: floats if their range is not known. */
  Encoding imageEncoding(Op.Input input) {
    if (ranges == null) {
      return Encoding.of(format);
    }
    Float range = ranges.get(input.name());
    return range == null ? Encoding.FLOATS : new Encoding(Format.U8, range / 127, IMAGE_ZERO);
  }

  /**
   * The encoding of the result of a convolution or an attention.
   *
   * @param relu whether the result is never negative
   * @throws IllegalArgumentException if the range is not known
   */
  Encoding resultEncoding(String layer, boolean relu) {
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
