package io.github.resnet4j;

import io.github.resnet4j.nn.Layer;

/** What normalises the result of every convolution. */
public sealed interface Norm {
  /** {@link BatchNorm}. */
  Norm BATCH = new BatchNorm();

  /** Over a batch (arXiv 1502.03167). */
  record BatchNorm() implements Norm {
    @Override
    public Layer layer(String name, int channels) {
      return new Layer.BatchNorm2d(name, channels);
    }
  }

  /**
   * Over groups of an image's channels (arXiv 1803.08494), so that an image's result does not
   * depend on its batch.
   *
   * @param groups how many, at least 1; 32 in the paper
   */
  record GroupNorm(int groups) implements Norm {
    /**
     * @throws IllegalArgumentException if there are no groups
     */
    public GroupNorm {
      if (groups < 1) {
        throw new IllegalArgumentException("norm groups must be at least 1, were " + groups);
      }
    }

    @Override
    public Layer layer(String name, int channels) {
      return new Layer.GroupNorm(name, groups, channels);
    }
  }

  /** The layer after a convolution with so many output channels. */
  Layer layer(String name, int channels);
}
