package io.github.resnet4j.engine.conv;

import io.github.resnet4j.kernel.Floats;

/**
 * A convolution's weights in the order in which the micro-kernel reads them: for each block of
 * output channels, for each segment, for each word of a segment, one row of weights; then the
 * biases.
 *
 * @param channels the number of output channels of a block
 * @param row the number of words that a word of the input is multiplied with
 * @param segment the number of words of a segment
 * @param blocks the blocks of output channels
 * @param biasAt the index of the first output channel's bias
 * @param constants the number of floats stored for an output channel beside its weights
 */
@SuppressWarnings("ArrayRecordComponent")
public record DirectWeights(
    Floats data, int channels, int row, int segment, Block[] blocks, int biasAt, int constants) {
  /**
   * A block of output channels.
   *
   * @param firstSegment the index of the first segment in the list of all segments
   * @param endSegment the index after the last segment
   * @param at the index of the first weight
   * @param channel the position of the first output channel
   */
  public record Block(int firstSegment, int endSegment, int at, int channel) {}

  /** The number of floats of the largest block. */
  int panel() {
    int max = 0;
    for (Block block : blocks) {
      max = Math.max(max, (block.endSegment - block.firstSegment) * segment * row);
    }
    return max;
  }

  /** The same weights with a bias at another index. */
  public DirectWeights withBiasAt(int place) {
    return new DirectWeights(data, channels, row, segment, blocks, place, constants);
  }
}
