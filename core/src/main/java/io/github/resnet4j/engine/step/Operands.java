package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import org.jspecify.annotations.Nullable;

/**
 * The operands of a step that may add a residual to its result.
 *
 * @param residual what is added to the result, if anything
 */
public record Operands(Activation in, Activation out, @Nullable Activation residual) {
  /** The index of the word of an image's residual at a channel position; 0 without residual. */
  public int residualWord(int image, int position) {
    return residual == null ? 0 : residual.word(image, position);
  }
}
