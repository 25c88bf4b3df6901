package io.github.resnet4j.engine.graph;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.ChannelAttention;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * An operation of a network: what it reads and what it makes. {@link GraphBuilder} writes one for
 * each layer; {@link Fusion} lets a convolution, an attention or a group norm take in what follows
 * it.
 */
public sealed interface Op {
  /** Of the layer, {@code layer1.0.conv1}; of its block for sums and what follows them. */
  String name();

  List<Value> inputs();

  Value out();

  /** An operation that a layer does with one value. */
  sealed interface OfLayer extends Op {
    Layer layer();

    Value in();

    @Override
    default String name() {
      return layer().name();
    }

    @Override
    default List<Value> inputs() {
      return List.of(in());
    }
  }

  /** The caller's images. */
  record Input(Value out) implements Op {
    @Override
    public String name() {
      return "input";
    }

    @Override
    public List<Value> inputs() {
      return List.of();
    }
  }

  /**
   * {@code relu(norm(conv(in)) + residual)}, of which all but the convolution may be missing.
   *
   * @param norm whose statistics and weights belong to it
   * @param residual what is added
   */
  record Conv(
      Conv2d layer,
      @Nullable BatchNorm2d norm,
      Value in,
      @Nullable Value residual,
      boolean relu,
      Value out)
      implements OfLayer {
    @Override
    public List<Value> inputs() {
      return residual == null ? List.of(in) : List.of(in, residual);
    }
  }

  /**
   * Every channel times its gate; with a residual {@code relu(in · gates + residual)}.
   *
   * @param relu whether a ReLU follows
   */
  record Attention(
      ChannelAttention layer, Value in, @Nullable Value residual, boolean relu, Value out)
      implements OfLayer {
    @Override
    public List<Value> inputs() {
      return residual == null ? List.of(in) : List.of(in, residual);
    }
  }

  /** Batch norm. */
  record Norm(BatchNorm2d layer, Value in, Value out) implements OfLayer {}

  /**
   * {@code norm(in)}, or {@code relu(norm(in) + residual)}.
   *
   * @param residual what is added, if a ReLU follows
   */
  record GroupNorm(
      Layer.GroupNorm layer, Value in, @Nullable Value residual, boolean relu, Value out)
      implements OfLayer {
    @Override
    public List<Value> inputs() {
      return residual == null ? List.of(in) : List.of(in, residual);
    }
  }

  record MaxPool(MaxPool2d layer, Value in, Value out) implements OfLayer {}

  /** The mean over windows. */
  record AveragePool(AvgPool2d layer, Value in, Value out) implements OfLayer {}

  record Blur(BlurPool2d layer, Value in, Value out) implements OfLayer {}

  record Subsample(SubsampleAndPad layer, Value in, Value out) implements OfLayer {}

  /** The mean over all pixels. */
  record GlobalAverage(GlobalAveragePool layer, Value in, Value out) implements OfLayer {}

  /** The fully connected layer. */
  record Head(Linear layer, Value in, Value out) implements OfLayer {}

  record Relu(String name, Value in, Value out) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(in);
    }
  }

  /** The sum at the end of a residual block. */
  record Add(String name, Value main, Value shortcut, Value out) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(main, shortcut);
    }
  }

  /**
   * Hands a value out to the caller.
   *
   * @param out what another operation made
   * @param index among all that are handed out
   */
  record Output(String name, Value out, int index) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(out);
    }
  }
}
