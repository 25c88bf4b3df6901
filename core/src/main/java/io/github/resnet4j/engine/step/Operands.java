package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import org.jspecify.annotations.Nullable;

/**
 * Where the operands lie of a step that may add something to its result.
 *
 * @param residual what is added to the result, if anything is
 */
public record Operands(Activation in, Activation out, @Nullable Activation residual) {
  /** Of an image, where the residual's channel at a position begins; 0 without residual. */
  public int residualWord(int image, int position) {
    return residual == null ? 0 : residual.word(image, position);
  }
}
