package io.github.resnet4j.engine.graph;

import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Which numbers a plan calculates with: the format of what convolutions read.
 *
 * @param format {@link Format#FP32}, {@link Format#ROUNDED}, {@link Format#BF16} or {@link
 *     Format#U8}
 * @param quantization what bytes mean, there where the format is
 */
public record Numbers(Format format, @Nullable Quantization quantization) {
  /** Images may be negative: half of the bytes are for that. */
  private static final int ZERO_OF_IMAGES = 128;

  public static final Numbers FLOATS = new Numbers(Format.FP32, null);

  /**
   * @throws IllegalArgumentException if a precision lacks what it needs
   */
  public static Numbers of(
      Precision precision, Optional<Quantization> quantization, Kernels kernels) {
    return switch (precision) {
      case FP32 -> FLOATS;
      case BF16 -> new Numbers(kernels.gainsBy(Format.BF16) ? Format.BF16 : Format.ROUNDED, null);
      case INT8 ->
          new Numbers(
              Format.U8,
              quantization.orElseThrow(() ->
                  new IllegalArgumentException(
                      "int8 needs to know how large activations get: calibrate the network"
                          + " with some of its pictures first (resnet4j quantize)")));
      case WEIGHTS ->
          of(quantization.isPresent() ? Precision.INT8 : Precision.FP32, quantization, kernels);
      case AUTO -> {
        if (quantization.isPresent() && kernels.gainsBy(Format.U8)) {
          yield of(Precision.INT8, quantization, kernels);
        }
        yield kernels.gainsBy(Format.BF16) ? of(Precision.BF16, quantization, kernels) : FLOATS;
      }
    };
  }

  /** The precision that it is. */
  public Precision precision() {
    return switch (format) {
      case FP32 -> Precision.FP32;
      case ROUNDED, BF16 -> Precision.BF16;
      case U8, S8 -> Precision.INT8;
    };
  }

  public void holdInput(Activation input) {
    if (quantization == null) {
      input.hold(format);
      return;
    }
    quantization
        .range(Quantization.INPUT)
        .ifPresent(range -> input.hold(Format.U8, range / 127, ZERO_OF_IMAGES));
  }

  /**
   * @param layer the convolution whose result it is
   * @param relu whether it is never negative
   */
  public void hold(Activation result, String layer, boolean relu) {
    if (quantization == null) {
      result.hold(format);
      return;
    }
    float range =
        quantization
            .range(layer)
            .orElseThrow(() ->
                new IllegalArgumentException(
                    "the quantization is of another network: it lacks " + layer));
    if (relu) {
      result.hold(Format.U8, range / 255, 0);
    } else {
      result.hold(Format.S8, range / 127, 0);
    }
  }
}
