package io.github.resnet4j.inspect;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import io.github.resnet4j.nn.Parameter;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/**
 * A layer with its input and output shapes for a given image size. The tree is the network's own;
 * tables and drawings are made from it.
 *
 * @param layer the layer
 * @param input the input shape
 * @param output the output shape
 * @param receptiveField the receptive field of a pixel of the output
 * @param children the direct children, as in {@link Layer#children()}
 */
public record ShapedLayer(
    Layer layer,
    Shape input,
    Shape output,
    ReceptiveField receptiveField,
    List<ShapedLayer> children) {

  /**
   * The receptive field of a pixel.
   *
   * @param size its size in pixels of the image along one axis, ignoring the image's borders
   * @param jump the distance in pixels of the image between adjacent pixels
   */
  public record ReceptiveField(int size, int jump) {
    private ReceptiveField after(int kernel, int stride, int dilation) {
      return new ReceptiveField(size + (kernel - 1) * dilation * jump, jump * stride);
    }

    private ReceptiveField or(ReceptiveField other) {
      return new ReceptiveField(Math.max(size, other.size), Math.max(jump, other.jump));
    }
  }

  public ShapedLayer {
    children = List.copyOf(children);
  }

  /**
   * Computes the shapes of all layers for an image.
   *
   * @throws IllegalArgumentException if the image is too small, or has the wrong number of channels
   */
  public static ShapedLayer of(Layer network, Shape image) {
    network.requireFits(image.height(), image.width());
    return of(network, image, new ReceptiveField(1, 1));
  }

  private static ShapedLayer of(Layer layer, Shape in, ReceptiveField receptiveField) {
    return switch (layer) {
      case Conv2d conv -> {
        if (conv.inChannels() != in.channels()) {
          throw new IllegalArgumentException(
              "%s needs %d channels, not %d"
                  .formatted(conv.name(), conv.inChannels(), in.channels()));
        }
        yield leaf(
            conv,
            in,
            windows(conv, conv.outChannels(), in),
            receptiveField.after(conv.kernel(), conv.stride(), conv.dilation()));
      }
      case MaxPool2d pool ->
          leaf(
              pool,
              in,
              windows(pool, in.channels(), in),
              receptiveField.after(pool.kernel(), pool.stride(), 1));
      case AvgPool2d pool ->
          leaf(
              pool,
              in,
              windows(pool, in.channels(), in),
              receptiveField.after(pool.kernel(), pool.stride(), 1));
      case BlurPool2d pool ->
          leaf(
              pool,
              in,
              windows(pool, in.channels(), in),
              receptiveField.after(3, pool.stride(), 1));
      case SubsampleAndPad pad ->
          leaf(pad, in, windows(pad, pad.channels(), in), receptiveField.after(1, pad.stride(), 1));
      case GlobalAveragePool pool ->
          leaf(
              pool,
              in,
              new Shape(in.channels(), 1, 1),
              receptiveField.after(Math.max(in.height(), in.width()), 1, 1));
      case Linear linear -> leaf(linear, in, new Shape(linear.out(), 1, 1), receptiveField);
      case BatchNorm2d _, GroupNorm _, Relu _, Identity _, SqueezeExcite _, EfficientAttention _ ->
          leaf(layer, in, in, receptiveField);
      case Sequential sequential -> {
        var children = new ArrayList<ShapedLayer>();
        Shape shape = in;
        ReceptiveField at = receptiveField;
        for (Layer child : sequential.layers()) {
          ShapedLayer shaped = of(child, shape, at);
          children.add(shaped);
          shape = shaped.output;
          at = shaped.receptiveField;
        }
        yield new ShapedLayer(layer, in, shape, at, children);
      }
      case PreActivation block -> {
        ShapedLayer activation = of(block.activation(), in, receptiveField);
        ShapedLayer main = of(block.main(), in, receptiveField);
        ShapedLayer shortcut = of(block.shortcut(), in, receptiveField);
        yield new ShapedLayer(
            layer,
            in,
            main.output,
            main.receptiveField.or(shortcut.receptiveField),
            List.of(shortcut, activation, main));
      }
      case Residual block -> {
        ShapedLayer main = of(block.main(), in, receptiveField);
        ShapedLayer shortcut = of(block.shortcut(), in, receptiveField);
        yield new ShapedLayer(
            layer,
            in,
            main.output,
            main.receptiveField.or(shortcut.receptiveField),
            List.of(main, shortcut));
      }
    };
  }

  private static ShapedLayer leaf(Layer layer, Shape in, Shape out, ReceptiveField receptiveField) {
    return new ShapedLayer(layer, in, out, receptiveField, List.of());
  }

  private static Shape windows(Layer layer, int channels, Shape in) {
    return new Shape(channels, layer.outputExtent(in.height()), layer.outputExtent(in.width()));
  }

  /** This layer and its descendants, parents first. */
  public Stream<ShapedLayer> walk() {
    return Stream.concat(Stream.of(this), children.stream().flatMap(ShapedLayer::walk));
  }

  /** The layers without children, in the order of {@link #walk()}. */
  public Stream<ShapedLayer> leaves() {
    return walk().filter(each -> each.children.isEmpty());
  }

  /**
   * The number of multiply-adds of convolutions and the head for one image, as papers, torchvision
   * and fvcore count them. Batch norm, ReLU and pooling are not counted. The number of FLOPs,
   * counting multiplications and additions separately, is twice as large.
   */
  public long multiplyAdds() {
    return switch (layer) {
      case Conv2d conv ->
          output.size() * (conv.inChannels() / conv.groups()) * conv.kernel() * conv.kernel();
      case BlurPool2d _ ->
          output.size() * 9; // a convolution in PyTorch, with one channel per group
      case Linear linear -> (long) linear.in() * linear.out();
      case SqueezeExcite attention -> 2L * attention.channels() * attention.reduced();
      case EfficientAttention attention -> (long) attention.channels() * attention.kernel();
      default -> children.stream().mapToLong(ShapedLayer::multiplyAdds).sum();
    };
  }

  /** The number of trained parameters, without batch norm's statistics. */
  public long parameters() {
    return layer.parameters().stream()
        .filter(parameter -> parameter.role() == Parameter.Role.TRAINED)
        .mapToLong(Parameter::size)
        .sum();
  }

  /**
   * The number of bytes of all layers' results for one image in float32, which is the most that
   * training in PyTorch keeps. Identity layers have no result of their own; the sum of a block is
   * counted.
   */
  public long activationBytes() {
    long own =
        switch (layer) {
          case Identity _, Sequential _ -> 0;
          default -> output.size() * Float.BYTES;
        };
    return own + children.stream().mapToLong(ShapedLayer::activationBytes).sum();
  }
}
