package io.github.resnet4j.nn;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * A node in the tree of a network's layers. Layers contain no values: the parameters are in a
 * {@link StateDict} under the layer's name, so that the same tree is used for inference, training,
 * cost counting and drawing.
 *
 * <p>A name is PyTorch's path, {@code layer2.0.conv1}; it is empty for the whole network.
 */
public sealed interface Layer {
  String name();

  /** The parameters of this layer and its descendants, in the order of PyTorch's state_dict. */
  default List<Parameter> parameters() {
    return switch (this) {
      case Conv2d conv -> List.of(conv.weight());
      case BatchNorm2d norm -> norm.entries();
      case GroupNorm norm -> List.of(norm.weight(), norm.bias());
      case Linear linear -> List.of(linear.weight(), linear.bias());
      case SqueezeExcite attention -> attention.entries();
      case EfficientAttention attention -> List.of(attention.weight());
      case Relu _,
          MaxPool2d _,
          AvgPool2d _,
          BlurPool2d _,
          GlobalAveragePool _,
          Identity _,
          SubsampleAndPad _ ->
          List.of();
      case Sequential _, Residual _, PreActivation _ ->
          children().stream().flatMap(child -> child.parameters().stream()).toList();
    };
  }

  /** The direct children, in the order in which PyTorch registers them. */
  default List<Layer> children() {
    return switch (this) {
      case Sequential sequential -> sequential.layers();
      case Residual residual -> List.of(residual.main(), residual.shortcut());
      case PreActivation block -> List.of(block.shortcut(), block.activation(), block.main());
      default -> List.of();
    };
  }

  /**
   * The output size along one axis for {@code input} pixels; both axes have the same rule.
   *
   * @throws IllegalArgumentException if a window is larger than its padded input, or the two
   *     branches of a block have different output sizes; the message names the layer. PyTorch fails
   *     in the same cases
   */
  default int outputExtent(int input) {
    return switch (this) {
      case Conv2d conv ->
          windows(
              input + 2 * conv.padding - conv.dilation * (conv.kernel - 1) - 1, conv.stride, input);
      case MaxPool2d pool -> windows(input + 2 * pool.padding - pool.kernel, pool.stride, input);
      case AvgPool2d pool -> {
        int last = input - pool.kernel;
        yield switch (pool.edge) {
          case DROPPED -> windows(last, pool.stride, input);
          case PARTIAL -> windows(last + pool.stride - 1, pool.stride, input);
          case ZEROS -> windows(input - 1, pool.stride, input);
        };
      }
      // The border mirrors the pixel next to the edge, so there must be two pixels.
      case BlurPool2d pool -> windows(input < 2 ? -1 : input - 1, pool.stride, input);
      case SubsampleAndPad pad -> windows(input - 1, pad.stride, input);
      case GlobalAveragePool _, Linear _ -> 1;
      case BatchNorm2d _, GroupNorm _, Relu _, Identity _, SqueezeExcite _, EfficientAttention _ ->
          input;
      case Sequential sequential -> {
        int extent = input;
        for (Layer layer : sequential.layers) {
          extent = layer.outputExtent(extent);
        }
        yield extent;
      }
      case Block block -> {
        int main = block.main().outputExtent(input);
        int shortcut = block.shortcut().outputExtent(input);
        if (main != shortcut) {
          throw new IllegalArgumentException(
              "of %d pixels %s makes %d on the main branch and %d on the shortcut"
                  .formatted(input, block.name(), main, shortcut));
        }
        yield main;
      }
    };
  }

  /** The number of windows if the last one may start {@code lastStart} pixels after the first. */
  private int windows(int lastStart, int stride, int input) {
    if (lastStart < 0) {
      throw new IllegalArgumentException(
          "the window of %s is larger than its input of %d".formatted(name(), input));
    }
    return lastStart / stride + 1;
  }

  /**
   * Checks that images of this size fit every window of the network.
   *
   * @throws IllegalArgumentException if not; the message names the layer and the next larger size
   *     that fits
   */
  default void requireFits(int height, int width) {
    requireFits(height, height, width);
    requireFits(width, height, width);
  }

  private void requireFits(int extent, int height, int width) {
    try {
      outputExtent(extent);
    } catch (IllegalArgumentException e) {
      String next =
          IntStream.range(extent + 1, extent + 1024)
              .filter(this::fits)
              .mapToObj("; the next larger size that fits is %d"::formatted)
              .findFirst()
              .orElse("");
      throw new IllegalArgumentException(
          "images of %d×%d do not fit the network: %s%s"
              .formatted(height, width, e.getMessage(), next),
          e);
    }
  }

  private boolean fits(int extent) {
    try {
      outputExtent(extent);
      return true;
    } catch (IllegalArgumentException _) {
      return false;
    }
  }

  /** This layer and its descendants, parents first, in the order of {@code Module.modules()}. */
  default Stream<Layer> walk() {
    return Stream.concat(Stream.of(this), children().stream().flatMap(Layer::walk));
  }

  /**
   * A convolution without bias; a norm follows or precedes every convolution of these networks.
   *
   * @param kernel the size of the square window
   * @param groups the number of independent convolutions into which input and output channels are
   *     split
   * @param standardized whether the weights of each output channel are standardized before use, to
   *     the mean 0 and the variance 1 (arXiv 1903.10520)
   */
  record Conv2d(
      String name,
      int inChannels,
      int outChannels,
      int kernel,
      int stride,
      int padding,
      int dilation,
      int groups,
      boolean standardized)
      implements Layer {
    /** Added to the variance of standardized weights, as in BiT. */
    public static final double EPS = 1e-8;

    /** A convolution whose weights are used as they are. */
    public Conv2d(
        String name,
        int inChannels,
        int outChannels,
        int kernel,
        int stride,
        int padding,
        int dilation,
        int groups) {
      this(name, inChannels, outChannels, kernel, stride, padding, dilation, groups, false);
    }

    /** {@code [outChannels, inChannels / groups, kernel, kernel]}. */
    public Parameter weight() {
      return Parameter.trained(name + ".weight", outChannels, inChannels / groups, kernel, kernel);
    }
  }

  /** Batch normalization over the channels of {@code [N, C, H, W]} (arXiv 1502.03167). */
  record BatchNorm2d(String name, int channels) implements Layer {
    /** Added to the variance; PyTorch's default, which every published ResNet uses. */
    public static final double EPS = 1e-5;

    private List<Parameter> entries() {
      return List.of(
          Parameter.trained(name + ".weight", channels),
          Parameter.trained(name + ".bias", channels),
          new Parameter(name + ".running_mean", Parameter.Role.BUFFER, List.of(channels)),
          new Parameter(name + ".running_var", Parameter.Role.BUFFER, List.of(channels)),
          new Parameter(name + ".num_batches_tracked", Parameter.Role.COUNTER, List.of()));
    }
  }

  /**
   * Normalization over the pixels of each image and group of adjacent channels (arXiv 1803.08494):
   * {@code weight · (x - mean) / √(variance + eps) + bias}, the same in training and inference.
   *
   * @param groups the number of groups, which must divide the number of channels
   */
  record GroupNorm(String name, int groups, int channels) implements Layer {
    /** Added to the variance; PyTorch's default. */
    public static final double EPS = 1e-5;

    /** {@code [channels]}. */
    public Parameter weight() {
      return Parameter.trained(name + ".weight", channels);
    }

    /** {@code [channels]}. */
    public Parameter bias() {
      return Parameter.trained(name + ".bias", channels);
    }
  }

  /** max(x, 0). */
  record Relu(String name) implements Layer {}

  /**
   * The maximum of square windows.
   *
   * @param zeros whether the padding is of zeros, which count, as in BiT; otherwise pixels beyond
   *     the border do not count
   */
  record MaxPool2d(String name, int kernel, int stride, int padding, boolean zeros)
      implements Layer {
    public MaxPool2d(String name, int kernel, int stride, int padding) {
      this(name, kernel, stride, padding, false);
    }
  }

  /** The mean of square windows; the first window begins at the first pixel. */
  record AvgPool2d(String name, int kernel, int stride, Edge edge) implements Layer {
    /** Windows that extend beyond the border. */
    public enum Edge {
      /** There are none; pixels at the border may be in no window. */
      DROPPED,
      /** They are the mean of their pixels inside (PyTorch's {@code ceil_mode}). */
      PARTIAL,
      /**
       * One for every {@code stride} pixels; beyond the border there are zeros, which count (timm's
       * {@code AvgPool2dSame}).
       */
      ZEROS
    }

    /**
     * By how many pixels a window's sum is divided.
     *
     * @param inside the number of its pixels inside the border
     */
    public int divisor(int inside) {
      return edge == Edge.ZEROS ? kernel * kernel : inside;
    }
  }

  /**
   * A low-pass filter: 3×3 windows weighted by {@code [1 2 1]ᵀ[1 2 1] / 16}, one pixel of
   * reflection padding (arXiv 1904.11486, section 3.2).
   */
  record BlurPool2d(String name, int stride) implements Layer {
    /** The weight of a window's pixel; the sum of all weights is 16. */
    public static int weight(int row, int column) {
      return (2 - Math.abs(row - 1)) * (2 - Math.abs(column - 1));
    }

    /**
     * The position on an axis of the window's {@code tap}-th pixel for the {@code index}-th result.
     */
    public int source(int index, int tap, int extent) {
      int at = index * stride + tap - 1;
      return at < 0 ? -at : at < extent ? at : 2 * extent - 2 - at;
    }
  }

  /** The mean of all pixels: {@code [N, C, H, W]} to {@code [N, C]}. */
  record GlobalAveragePool(String name) implements Layer {}

  /**
   * A fully connected layer with bias, {@code [N, in]} to {@code [N, out]}.
   *
   * @param window whether its weight has the shape of a 1×1 convolution, as in timm's ResNetV2
   */
  record Linear(String name, int in, int out, boolean window) implements Layer {
    public Linear(String name, int in, int out) {
      this(name, in, out, false);
    }

    /** {@code [out, in]} or {@code [out, in, 1, 1]}. */
    public Parameter weight() {
      return window
          ? Parameter.trained(name + ".weight", out, in, 1, 1)
          : Parameter.trained(name + ".weight", out, in);
    }

    /** {@code [out]}. */
    public Parameter bias() {
      return Parameter.trained(name + ".bias", out);
    }
  }

  /** Multiplies each channel by a factor that depends on the means of all channels. */
  sealed interface ChannelAttention extends Layer {
    int channels();
  }

  /**
   * Squeeze-and-Excitation: multiplies every channel by {@code sigmoid(fc2(relu(fc1(means))))}
   * (arXiv 1709.01507, equations 2 to 4). Its layers are 1×1 convolutions with bias.
   *
   * @param reduced the number of channels between the two layers
   */
  record SqueezeExcite(String name, int channels, int reduced) implements ChannelAttention {
    private List<Parameter> entries() {
      return List.of(
          Parameter.trained(name + ".fc1.weight", reduced, channels, 1, 1),
          Parameter.trained(name + ".fc1.bias", reduced),
          Parameter.trained(name + ".fc2.weight", channels, reduced, 1, 1),
          Parameter.trained(name + ".fc2.bias", channels));
    }
  }

  /**
   * Efficient channel attention: multiplies every channel by the sigmoid of a convolution over the
   * means of neighboring channels (arXiv 1910.03151, equation 8).
   *
   * @param kernel the number of channels in the window, odd
   */
  record EfficientAttention(String name, int channels, int kernel) implements ChannelAttention {
    /** {@code [1, 1, kernel]}. */
    public Parameter weight() {
      return Parameter.trained(name + ".conv.weight", 1, 1, kernel);
    }
  }

  /** A sequence of layers. */
  record Sequential(String name, List<Layer> layers) implements Layer {
    public Sequential {
      layers = List.copyOf(layers);
    }
  }

  /**
   * A block with a shortcut. With an {@link Identity} as shortcut it is an <em>Identity Block</em>.
   * If it changes stride or number of channels, the shortcut does too, and it is a <em>Conv
   * Block</em>.
   */
  sealed interface Block extends Layer {
    /** The branch with the convolutions. */
    Sequential main();

    Layer shortcut();

    /** Whether the shortcut returns its input unchanged. */
    default boolean isIdentityBlock() {
      return shortcut() instanceof Identity;
    }

    /** The convolutions of the main branch, in order. */
    default List<Conv2d> convolutions() {
      var found = new ArrayList<Conv2d>();
      for (Layer layer : main().layers()) {
        if (layer instanceof Conv2d conv) {
          found.add(conv);
        }
      }
      return found;
    }
  }

  /** A residual block: {@code relu(main(x) + shortcut(x))} (arXiv 1512.03385, figure 2). */
  record Residual(String name, Sequential main, Layer shortcut) implements Block {}

  /**
   * A block that normalizes first, with {@code a = activation(x)}: an Identity Block is {@code
   * main(a) + x}, a Conv Block {@code main(a) + shortcut(a)} (arXiv 1603.05027, figure 4e; that the
   * shortcut of a Conv Block begins after the activation is in the authors' code).
   *
   * @param activation the norm and the ReLU at its start
   */
  record PreActivation(String name, Sequential activation, Sequential main, Layer shortcut)
      implements Block {}

  /** Returns its input. */
  record Identity(String name) implements Layer {}

  /**
   * The parameter-free shortcut, option A of the paper's section 4.2: every {@code stride}-th
   * pixel, added channels filled with zeros.
   */
  record SubsampleAndPad(String name, int channels, int stride) implements Layer {}
}
