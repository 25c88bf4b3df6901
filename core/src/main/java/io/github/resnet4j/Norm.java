package io.github.resnet4j;

import io.github.resnet4j.nn.Layer;
import java.util.OptionalInt;

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

  /**
   * Group norm, and convolutions whose weights are standardized: each output channel's weights have
   * the mean 0 and the variance 1 (BiT, arXiv 1912.11370, section 3.1; arXiv 1903.10520).
   *
   * @param groups the number of groups, at least 1
   */
  record StandardizedGroupNorm(int groups) implements Norm {
    /**
     * @throws IllegalArgumentException if the number of groups is less than 1
     */
    public StandardizedGroupNorm {
      if (groups < 1) {
        throw new IllegalArgumentException("norm groups must be at least 1, was " + groups);
      }
    }

    @Override
    public Layer layer(String name, int channels) {
      return new Layer.GroupNorm(name, groups, channels);
    }
  }

  /** The number of groups of channels, if it is a group norm. */
  default OptionalInt channelGroups() {
    return switch (this) {
      case BatchNorm _ -> OptionalInt.empty();
      case GroupNorm(int groups) -> OptionalInt.of(groups);
      case StandardizedGroupNorm(int groups) -> OptionalInt.of(groups);
    };
  }

  /** The layer after a convolution with this number of output channels. */
  Layer layer(String name, int channels);
}
