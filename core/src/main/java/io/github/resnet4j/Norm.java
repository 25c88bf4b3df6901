package io.github.resnet4j;

import io.github.resnet4j.nn.Layer;

/** The normalization after every convolution. */
public sealed interface Norm {
  /** {@link BatchNorm}. */
  Norm BATCH = new BatchNorm();

  /** Normalization over a batch (arXiv 1502.03167). */
  record BatchNorm() implements Norm {
    @Override
    public Layer layer(String name, int channels) {
      return new Layer.BatchNorm2d(name, channels);
    }
  }

  /**
   * Normalization over groups of an image's channels (arXiv 1803.08494), so that the result of an
   * image does not depend on its batch.
   *
   * @param groups the number of groups, at least 1; 32 in the paper
   */
  record GroupNorm(int groups) implements Norm {
    /**
     * @throws IllegalArgumentException if the number of groups is less than 1
     */
    public GroupNorm {
      if (groups < 1) {
        throw new IllegalArgumentException("norm groups must be at least 1, was " + groups);
      }
    }

    @Override
    public Layer layer(String name, int channels) {
      return new Layer.GroupNorm(name, groups, channels);
    }
  }

  /** The layer after a convolution with this number of output channels. */
  Layer layer(String name, int channels);
}
