package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Kernels;
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

  /**
   * Prepares some images for a part that reads all of their input channels and writes some output
   * channels: starts to load the input, of which another core wrote a part in the step before, and
   * the memory of these results, which another core may have read; and clears their border.
   *
   * @param firstChannel the first channel position that the part computes
   * @param endChannel the position after the last one
   */
  public void prepareChannels(
      ExecutionContext context,
      Kernels kernels,
      int first,
      int count,
      int firstChannel,
      int endChannel) {
    int firstBlock = Math.ceilDiv(firstChannel, out.layout().blockChannels());
    int endBlock = Math.ceilDiv(endChannel, out.layout().blockChannels());
    for (int n = first; n < first + count; n++) {
      kernels.prefetch(context.memory(), in.image(n), in.layout().imageSize());
      kernels.prefetchForWriting(
          context.memory(),
          out.image(n) + firstBlock * out.layout().plane(),
          (endBlock - firstBlock) * out.layout().plane());
      out.clearBorder(context.arena(), n, firstBlock, endBlock);
    }
  }
}
