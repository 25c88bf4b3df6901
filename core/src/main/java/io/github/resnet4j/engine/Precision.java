package io.github.resnet4j.engine;

import io.github.resnet4j.engine.graph.Numbers;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import java.util.Optional;

/** What a compiled network calculates with. */
public enum Precision {
  /** Floats throughout. */
  FP32,

  /**
   * Weights and activations rounded to bfloat16, products summed in floats. Faster where the
   * processor is (AVX512_BF16 at full speed); elsewhere floats hold the rounded numbers.
   */
  BF16,

  /**
   * Weights and activations as bytes, products summed exactly; scales come from a {@link
   * Quantization}. The last stage's result and the head are floats.
   */
  INT8,

  /** INT8 for weights with a {@link Quantization}, which were made for it, else FP32. */
  WEIGHTS,

  /**
   * INT8 where there is a {@link Quantization} and the processor multiplies bytes, else BF16 where
   * that is faster, else FP32.
   */
  AUTO;

  /**
   * The numbers that a plan of this precision calculates with.
   *
   * @throws IllegalArgumentException if it lacks the quantization that it needs
   */
  Numbers numbers(Optional<Quantization> quantization, Kernels kernels) {
    return switch (this) {
      case FP32 -> Numbers.FLOATS;
      case BF16 -> new Numbers(kernels.gainsBy(Format.BF16) ? Format.BF16 : Format.ROUNDED, null);
      case INT8 ->
          new Numbers(
              Format.U8,
              quantization
                  .orElseThrow(() ->
                      new IllegalArgumentException(
                          "int8 needs to know how large activations get: calibrate the network"
                              + " with some of its images first (resnet4j quantize)"))
                  .ranges());
      case WEIGHTS -> (quantization.isPresent() ? INT8 : FP32).numbers(quantization, kernels);
      case AUTO -> {
        if (quantization.isPresent() && kernels.gainsBy(Format.U8)) {
          yield INT8.numbers(quantization, kernels);
        }
        yield (kernels.gainsBy(Format.BF16) ? BF16 : FP32).numbers(quantization, kernels);
      }
    };
  }

  /** The precision of such numbers; never {@link #WEIGHTS} or {@link #AUTO}. */
  static Precision of(Numbers numbers) {
    return switch (numbers.format()) {
      case FP32 -> FP32;
      case ROUNDED, BF16 -> BF16;
      case U8, S8 -> INT8;
    };
  }
}
