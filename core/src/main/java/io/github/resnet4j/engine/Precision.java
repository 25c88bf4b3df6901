package io.github.resnet4j.engine;

import io.github.resnet4j.engine.graph.Arithmetic;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import java.util.Optional;

/** The precision that a compiled network computes with. */
public enum Precision {
  /** Single precision throughout. */
  FP32,

  /**
   * Weights and activations rounded to bfloat16, products summed in single precision. Faster where
   * the processor supports it (AVX512_BF16 at full speed); elsewhere floats hold the rounded
   * values.
   */
  BF16,

  /**
   * Weights and activations as 8-bit integers, products summed exactly; the scales come from a
   * {@link Quantization}. The result of the last stage and the head are floats.
   */
  INT8,

  /** INT8 for weights with a {@link Quantization}, else FP32. */
  WEIGHTS,

  /**
   * The fastest of FP32, BF16 and (with a {@link Quantization}) INT8 whose result deviates little
   * from FP32, measured when the network is compiled: see {@link PrecisionChoice}. {@link
   * Session#precisionChoice} and the log say what was chosen.
   */
  AUTO;

  /**
   * The arithmetic of a plan with this precision.
   *
   * @throws IllegalArgumentException if a required quantization is missing
   */
  Arithmetic arithmetic(Optional<Quantization> quantization, Kernels kernels) {
    return switch (this) {
      case FP32 -> Arithmetic.FLOATS;
      case BF16 ->
          new Arithmetic(kernels.isFasterWith(Format.BF16) ? Format.BF16 : Format.ROUNDED, null);
      case INT8 ->
          new Arithmetic(
              Format.U8,
              quantization
                  .orElseThrow(() ->
                      new IllegalArgumentException(
                          "int8 needs the ranges of the activations: calibrate the network with"
                              + " some of its images first (resnet4j quantize)"))
                  .ranges());
      case WEIGHTS -> (quantization.isPresent() ? INT8 : FP32).arithmetic(quantization, kernels);
      case AUTO -> throw new IllegalStateException("a PrecisionChoice comes before");
    };
  }

  /** The precision of an arithmetic; never {@link #WEIGHTS} or {@link #AUTO}. */
  static Precision of(Arithmetic arithmetic) {
    return switch (arithmetic.format()) {
      case FP32 -> FP32;
      case ROUNDED, BF16 -> BF16;
      case U8, S8, S16 -> INT8;
    };
  }
}
