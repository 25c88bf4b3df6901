package io.github.resnet4j.engine.conv;

import io.github.resnet4j.kernel.Floats;

/**
 * A convolution's weights in the order in which the micro-kernel reads them: for each block of
 * output channels, for each run, for each float of a run, one row of weights; then the bias.
 *
 * @param channels output channels of a block
 * @param run words of a run
 * @param blocks of output channels
 * @param biasAt where the bias of the first output channel lies
 * @param constants floats that belong to an output channel beside its weights
 */
@SuppressWarnings("ArrayRecordComponent")
public record DirectWeights(
    Floats data, int channels, int run, Block[] blocks, int biasAt, int constants) {
  /**
   * A block of output channels.
   *
   * @param firstRun in the list of all runs
   * @param endRun the index after the last run
   * @param at where the weights begin
   * @param channel the first output channel's position
   */
  public record Block(int firstRun, int endRun, int at, int channel) {}

  /** Floats of the largest block. */
  int panel() {
    int most = 0;
    for (Block block : blocks) {
      most = Math.max(most, (block.endRun - block.firstRun) * run * channels);
    }
    return most;
  }

  /** The same weights with a bias that lies elsewhere. */
  public DirectWeights withBiasAt(int place) {
    return new DirectWeights(data, channels, run, blocks, place, constants);
  }
}
