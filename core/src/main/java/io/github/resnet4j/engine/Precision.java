package io.github.resnet4j.engine;

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
  AUTO
}
