package io.github.resnet4j;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.Relu;
import java.util.ArrayList;
import java.util.List;

/** The layers before the first stage of a network. */
public sealed interface Stem {
  /** {@link ImageNet}, the paper's stem. */
  Stem IMAGENET = new ImageNet();

  /** {@link SmallImage}, the stem of the CIFAR networks. */
  Stem SMALL_IMAGE = new SmallImage();

  /**
   * A 7×7 convolution with stride 2, then 3×3 max pooling with stride 2 (arXiv 1512.03385, table
   * 1).
   */
  record ImageNet() implements Stem {
    @Override
    public boolean pools() {
      return true;
    }

    @Override
    public int stride() {
      return 4;
    }

    @Override
    public List<Layer> layers(
        int inChannels, int channels, ResNetSpec.Downsampling downsampling, Norm norm) {
      var layers = new ArrayList<Layer>();
      layers.add(new Conv2d("conv1", inChannels, channels, 7, 2, 3, 1, 1));
      layers.add(norm.layer("bn1", channels));
      layers.add(new Relu("relu"));
      layers.addAll(pooling(downsampling));
      return layers;
    }
  }

  /**
   * One 3×3 convolution with stride 1 and no pooling, for images of about 32 pixels (arXiv
   * 1512.03385, section 4.2).
   */
  record SmallImage() implements Stem {
    @Override
    public boolean pools() {
      return false;
    }

    @Override
    public int stride() {
      return 1;
    }

    @Override
    public List<Layer> layers(
        int inChannels, int channels, ResNetSpec.Downsampling downsampling, Norm norm) {
      return List.of(
          ResNetSpec.conv3x3("conv1", inChannels, channels, 1, 1, 1),
          norm.layer("bn1", channels),
          new Relu("relu"));
    }
  }

  /**
   * Three 3×3 convolutions, the first with stride 2, then max pooling or another convolution with
   * stride 2 (Bag of Tricks, arXiv 1812.01187, figure 2b).
   *
   * @param first the number of output channels of the first convolution, at least 1
   * @param second the number of output channels of the second convolution, at least 1
   * @param third the number of output channels of the third convolution, at least 1; usually the
   *     network's {@code channels}, twice as many in ResNet-S
   * @param pools whether max pooling follows, as in ResNet-C and -D; otherwise a 3×3 convolution
   *     with stride 2 (ResNet-RS, arXiv 2103.07579, section 4.3), timm's {@code replace_stem_pool}
   */
  record Deep(int first, int second, int third, boolean pools) implements Stem {
    /**
     * @throws IllegalArgumentException if a convolution would have no channels
     */
    public Deep {
      if (first < 1 || second < 1 || third < 1) {
        throw new IllegalArgumentException(
            "stem widths must be at least 1, were %d, %d and %d".formatted(first, second, third));
      }
    }

    @Override
    public List<Integer> widths(int channels) {
      return List.of(first, second, third);
    }

    @Override
    public int stride() {
      return 4;
    }

    @Override
    public List<Layer> layers(
        int inChannels, int channels, ResNetSpec.Downsampling downsampling, Norm norm) {
      var layers = new ArrayList<Layer>();
      // In timm this is a Sequential: convolution, norm, ReLU, convolution, …
      layers.add(ResNetSpec.conv3x3("conv1.0", inChannels, first, 2, 1, 1));
      layers.add(norm.layer("conv1.1", first));
      layers.add(new Relu("conv1.2"));
      layers.add(ResNetSpec.conv3x3("conv1.3", first, second, 1, 1, 1));
      layers.add(norm.layer("conv1.4", second));
      layers.add(new Relu("conv1.5"));
      layers.add(ResNetSpec.conv3x3("conv1.6", second, third, 1, 1, 1));
      layers.add(norm.layer("bn1", third));
      layers.add(new Relu("relu"));
      if (pools) {
        layers.addAll(pooling(downsampling));
      } else {
        layers.add(ResNetSpec.conv3x3("maxpool.0", third, third, 2, 1, 1));
        layers.add(norm.layer("maxpool.1", third));
        layers.add(new Relu("maxpool.2"));
      }
      return layers;
    }
  }

  /** A deep stem with half, half and all channels: ResNet-C and -D, timm's {@code deep}. */
  static Deep deep(int channels) {
    return new Deep(channels / 2, channels / 2, channels, true);
  }

  /** A deep stem with three eighths, half and all channels: timm's {@code deep_tiered}. */
  static Deep deepTiered(int channels) {
    return new Deep(channels / 8 * 3, channels / 2, channels, true);
  }

  /** Like {@link #deep}, but with a strided convolution instead of max pooling: ResNet-RS. */
  static Deep deepStrided(int channels) {
    return new Deep(channels / 2, channels / 2, channels, false);
  }

  /** The numbers of output channels of its convolutions, for a network of {@code channels}. */
  default List<Integer> widths(int channels) {
    return List.of(channels);
  }

  /** Whether it ends with max pooling. */
  boolean pools();

  /** The factor by which its result is smaller than the image, along each axis. */
  int stride();

  /** Its layers, with the names that torchvision and timm give them. */
  List<Layer> layers(int inChannels, int channels, ResNetSpec.Downsampling downsampling, Norm norm);

  private static List<Layer> pooling(ResNetSpec.Downsampling downsampling) {
    return switch (downsampling) {
      case STRIDE -> List.of(new MaxPool2d("maxpool", 3, 2, 1));
      case BLUR -> List.of(new MaxPool2d("maxpool.0", 3, 1, 1), new BlurPool2d("maxpool.1", 2));
      case AVERAGE -> List.of(new AvgPool2d("maxpool", 2, 2, AvgPool2d.Edge.DROPPED));
    };
  }
}
