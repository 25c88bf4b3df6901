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
 * A layer and what an image of a given size becomes in it. The tree is the network's own, with
 * shapes: tables and drawings walk it.
 *
 * @param layer what it is
 * @param input the shape that goes in
 * @param output the shape that comes out
 * @param reach how far back one pixel of the output sees
 * @param children the layers directly below, as {@link Layer#children()} has them
 */
public record ShapedLayer(
    Layer layer, Shape input, Shape output, Reach reach, List<ShapedLayer> children) {

  /**
   * What a pixel sees of the image.
   *
   * @param receptiveField pixels along one axis of the image that a pixel depends on, borders aside
   * @param jump pixels of the image between neighbours
   */
  public record Reach(int receptiveField, int jump) {
    private Reach through(int kernel, int stride, int dilation) {
      return new Reach(receptiveField + (kernel - 1) * dilation * jump, jump * stride);
    }

    private Reach or(Reach other) {
      return new Reach(Math.max(receptiveField, other.receptiveField), Math.max(jump, other.jump));
    }
  }

  public ShapedLayer {
    children = List.copyOf(children);
  }

  /**
   * The network with the shapes of an image's way through it.
   *
   * @throws IllegalArgumentException if the image is too small, or has other channels than the
   *     network takes
   */
  public static ShapedLayer of(Layer network, Shape image) {
    network.requireFits(image.height(), image.width());
    return of(network, image, new Reach(1, 1));
  }

  private static ShapedLayer of(Layer layer, Shape in, Reach reach) {
    return switch (layer) {
      case Conv2d conv -> {
        if (conv.inChannels() != in.channels()) {
          throw new IllegalArgumentException(
              "%s takes %d channels, not %d"
                  .formatted(conv.name(), conv.inChannels(), in.channels()));
        }
        yield leaf(
            conv,
            in,
            windows(conv, conv.outChannels(), in),
            reach.through(conv.kernel(), conv.stride(), conv.dilation()));
      }
      case MaxPool2d pool ->
          leaf(
              pool,
              in,
              windows(pool, in.channels(), in),
              reach.through(pool.kernel(), pool.stride(), 1));
      case AvgPool2d pool ->
          leaf(
              pool,
              in,
              windows(pool, in.channels(), in),
              reach.through(pool.kernel(), pool.stride(), 1));
      case BlurPool2d pool ->
          leaf(pool, in, windows(pool, in.channels(), in), reach.through(3, pool.stride(), 1));
      case SubsampleAndPad pad ->
          leaf(pad, in, windows(pad, pad.channels(), in), reach.through(1, pad.stride(), 1));
      case GlobalAveragePool pool ->
          leaf(
              pool,
              in,
              new Shape(in.channels(), 1, 1),
              reach.through(Math.max(in.height(), in.width()), 1, 1));
      case Linear linear -> leaf(linear, in, new Shape(linear.out(), 1, 1), reach);
      case BatchNorm2d _, GroupNorm _, Relu _, Identity _, SqueezeExcite _, EfficientAttention _ ->
          leaf(layer, in, in, reach);
      case Sequential sequential -> {
        var children = new ArrayList<ShapedLayer>();
        Shape shape = in;
        Reach at = reach;
        for (Layer child : sequential.layers()) {
          ShapedLayer shaped = of(child, shape, at);
          children.add(shaped);
          shape = shaped.output;
          at = shaped.reach;
        }
        yield new ShapedLayer(layer, in, shape, at, children);
      }
      case Residual block -> {
        ShapedLayer main = of(block.main(), in, reach);
        ShapedLayer shortcut = of(block.shortcut(), in, reach);
        yield new ShapedLayer(
            layer, in, main.output, main.reach.or(shortcut.reach), List.of(main, shortcut));
      }
    };
  }

  private static ShapedLayer leaf(Layer layer, Shape in, Shape out, Reach reach) {
    return new ShapedLayer(layer, in, out, reach, List.of());
  }

  private static Shape windows(Layer layer, int channels, Shape in) {
    return new Shape(channels, layer.outputExtent(in.height()), layer.outputExtent(in.width()));
  }

  /** This layer and all below it, parents first. */
  public Stream<ShapedLayer> walk() {
    return Stream.concat(Stream.of(this), children.stream().flatMap(ShapedLayer::walk));
  }

  /** The layers that do something, in the order of {@link #walk()}. */
  public Stream<ShapedLayer> leaves() {
    return walk().filter(each -> each.children.isEmpty());
  }

  /**
   * Multiplications, each with its addition, of convolutions and the head for one image: what
   * papers, torchvision and fvcore count. Batch norm, ReLU and pooling are left out, as there. A
   * FLOP count that takes multiplications and additions apart is twice as large.
   */
  public long multiplyAdds() {
    return switch (layer) {
      case Conv2d conv ->
          output.size() * (conv.inChannels() / conv.groups()) * conv.kernel() * conv.kernel();
      case BlurPool2d _ -> output.size() * 9; // a convolution to PyTorch, of one channel each
      case Linear linear -> (long) linear.in() * linear.out();
      case SqueezeExcite attention -> 2L * attention.channels() * attention.reduced();
      case EfficientAttention attention -> (long) attention.channels() * attention.kernel();
      default -> children.stream().mapToLong(ShapedLayer::multiplyAdds).sum();
    };
  }

  /** Trained parameters, without batch norm's statistics. */
  public long parameters() {
    return layer.parameters().stream()
        .filter(parameter -> parameter.role() == Parameter.Role.TRAINED)
        .mapToLong(Parameter::size)
        .sum();
  }

  /**
   * Bytes of what the layers write for one image in float32, each result on its own: what training
   * in PyTorch keeps at most. Identity writes nothing; a block's sum counts.
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
