package io.github.resnet4j.engine.graph;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Block;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.ChannelAttention;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/**
 * Converts layers to a {@link Graph}, with one operation for each layer that computes something.
 */
public final class GraphBuilder {
  private final List<List<Op>> blocks = new ArrayList<>();
  private final SequencedMap<String, Value> names = new LinkedHashMap<>();

  private GraphBuilder() {}

  /**
   * @param network the layers; nothing is fused
   * @param inChannels the number of channels of the images
   * @throws IllegalArgumentException if images of this size do not fit the network; the message
   *     names the layer
   */
  public static Graph build(Sequential network, int inChannels, int height, int width) {
    network.requireFits(height, width);
    var builder = new GraphBuilder();
    builder.beginBlock();
    Value input = builder.add(new Op.Input(new Value(inChannels, height, width)));
    builder.sequence(network, input);
    return new Graph(builder.blocks.stream().map(List::copyOf).toList(), builder.names);
  }

  private void beginBlock() {
    blocks.add(new ArrayList<>());
  }

  private Value add(Op op) {
    blocks.getLast().add(op);
    return op.out();
  }

  private Value result(Layer layer, Value in, int channels) {
    return new Value(channels, layer.outputExtent(in.height()), layer.outputExtent(in.width()));
  }

  private static Value like(Value value) {
    return new Value(value.channels(), value.height(), value.width());
  }

  private Value sequence(Sequential sequence, Value in) {
    Value at = in;
    for (Layer layer : sequence.layers()) {
      at = layer(layer, at);
      names.put(layer.name(), at);
    }
    return at;
  }

  private Value layer(Layer layer, Value in) {
    return switch (layer) {
      case Sequential inner -> sequence(inner, in);
      case Residual block -> residual(block, in);
      case PreActivation block -> preActivation(block, in);
      case Identity _ -> in;
      case Conv2d conv ->
          add(new Op.Conv(conv, null, in, null, false, result(conv, in, conv.outChannels())));
      case BatchNorm2d norm -> add(new Op.Norm(norm, in, false, like(in)));
      case GroupNorm norm -> add(new Op.GroupNorm(norm, in, null, false, like(in)));
      case Relu relu -> add(new Op.Relu(relu.name(), in, like(in)));
      case MaxPool2d pool -> add(new Op.MaxPool(pool, in, result(pool, in, in.channels())));
      case AvgPool2d pool -> add(new Op.AveragePool(pool, in, result(pool, in, in.channels())));
      case BlurPool2d pool -> add(new Op.Blur(pool, in, result(pool, in, in.channels())));
      case SubsampleAndPad pad -> add(new Op.Subsample(pad, in, result(pad, in, pad.channels())));
      case ChannelAttention attention ->
          add(new Op.Attention(attention, in, null, false, like(in)));
      case GlobalAveragePool pool -> {
        beginBlock();
        yield add(new Op.GlobalAverage(pool, in, result(pool, in, in.channels())));
      }
      case Linear linear -> add(new Op.Head(linear, in, result(linear, in, linear.out())));
    };
  }

  private Value shortcut(Block block, Value in) {
    return block.shortcut() instanceof Sequential projection
        ? sequence(projection, in)
        : layer(block.shortcut(), in);
  }

  private Value preActivation(PreActivation block, Value in) {
    beginBlock();
    Value activated = sequence(block.activation(), in);
    Value shortcut = block.isIdentityBlock() ? in : shortcut(block, activated);
    Value main = sequence(block.main(), activated);
    return add(new Op.Add(block.name(), main, shortcut, like(main)));
  }

  private Value residual(Residual block, Value in) {
    beginBlock();
    Value shortcut = shortcut(block, in);
    Value main = sequence(block.main(), in);
    Value sum = add(new Op.Add(block.name(), main, shortcut, like(main)));
    return add(new Op.Relu(block.name(), sum, like(sum)));
  }
}
