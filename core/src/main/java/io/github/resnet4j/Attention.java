package io.github.resnet4j;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The channel attention at the end of a block's main branch, before the addition. */
public sealed interface Attention {
  /** No attention. */
  Attention NONE = new None();

  /** No attention. */
  record None() implements Attention {
    @Override
    public Optional<Layer> layer(String name, int channels, int unpruned) {
      return Optional.empty();
    }
  }

  /**
   * Squeeze-and-Excitation (arXiv 1709.01507): two layers over the means of the channels.
   *
   * @param reduction the number of channels divided by that between the two layers, at least 1: 16
   *     in SE-ResNet, 4 in ResNet-RS (arXiv 2103.07579)
   */
  record SqueezeExcite(int reduction) implements Attention {
    /** The reductions of published networks, the most frequent first. */
    private static final List<Integer> PUBLISHED = List.of(16, 4, 8, 2, 32, 1);

    /**
     * @throws IllegalArgumentException if the reduction is less than 1
     */
    public SqueezeExcite {
      if (reduction < 1) {
        throw new IllegalArgumentException("reduction must be at least 1, was " + reduction);
      }
    }

    /**
     * The attention with these numbers of channels between its layers.
     *
     * @param reduced the number of channels between the layers, by the number of channels of the
     *     block
     * @return empty if no reduction of published networks gives these numbers
     */
    public static Optional<SqueezeExcite> fitting(Map<Integer, Integer> reduced) {
      return PUBLISHED.stream()
          .map(SqueezeExcite::new)
          .filter(attention ->
              reduced.entrySet().stream()
                  .allMatch(entry -> attention.reduced(entry.getKey()) == entry.getValue()))
          .findFirst();
    }

    /**
     * The number of channels between its layers: rounded to a multiple of eight as in timm, at
     * least 8.
     */
    public int reduced(int channels) {
      return Math.max(8, (channels / reduction + 4) / 8 * 8);
    }

    @Override
    public Optional<Layer> layer(String name, int channels, int unpruned) {
      return Optional.of(new Layer.SqueezeExcite(name, channels, reduced(channels)));
    }
  }

  /** ECA (arXiv 1910.03151): a convolution over the means of neighboring channels. */
  record Efficient() implements Attention {
    /** An odd number that increases with the logarithm of the number of channels (equation 12). */
    private static int kernel(int channels) {
      int width = (int) ((Math.log(channels) / Math.log(2) + 1) / 2);
      return Math.max(3, width % 2 == 1 ? width : width + 1);
    }

    @Override
    public Optional<Layer> layer(String name, int channels, int unpruned) {
      return Optional.of(new EfficientAttention(name, channels, kernel(unpruned)));
    }
  }

  /**
   * The layer of a block.
   *
   * @param channels the number of the block's output channels
   * @param unpruned their number before the network was pruned, which determines the size of ECA's
   *     window
   */
  Optional<Layer> layer(String name, int channels, int unpruned);
}
