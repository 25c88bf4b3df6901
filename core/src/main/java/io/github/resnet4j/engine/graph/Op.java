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
 * An operation of a network, with the values that it reads and computes. {@link GraphBuilder} makes
 * one for each layer; {@link Fusion} fuses operations.
 */
public sealed interface Op {
  /**
   * The name of the layer, {@code layer1.0.conv1}; for additions and the ReLU after them, the name
   * of the block.
   */
  String name();

  List<Value> inputs();

  Value out();

  /** An operation that applies a layer to one value. */
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

  /** The images given by the caller. */
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
   * {@code relu(norm(conv(in)) + residual)}; everything except the convolution is optional.
   *
   * @param norm the batch norm that is folded into the convolution, if any
   * @param residual the value that is added, if any
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
   * Multiplies every channel by its gate; with a residual {@code relu(in · gates + residual)}.
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

  /**
   * Batch norm that does not follow a convolution.
   *
   * @param relu whether a ReLU follows
   */
  record Norm(BatchNorm2d layer, Value in, boolean relu, Value out) implements OfLayer {}

  /**
   * {@code norm(in)}, or {@code relu(norm(in) + residual)}.
   *
   * @param residual the value that is added, if any; a ReLU then follows
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

  /** The mean of each window. */
  record AveragePool(AvgPool2d layer, Value in, Value out) implements OfLayer {}

  record Blur(BlurPool2d layer, Value in, Value out) implements OfLayer {}

  record Subsample(SubsampleAndPad layer, Value in, Value out) implements OfLayer {}

  /** The mean of all pixels. */
  record GlobalAverage(GlobalAveragePool layer, Value in, Value out) implements OfLayer {}

  /** The fully connected layer. */
  record Head(Linear layer, Value in, Value out) implements OfLayer {}

  record Relu(String name, Value in, Value out) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(in);
    }
  }

  /** The addition at the end of a residual block. */
  record Add(String name, Value main, Value shortcut, Value out) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(main, shortcut);
    }
  }

  /**
   * Returns a value to the caller.
   *
   * @param out the result of another operation
   * @param index the index among the outputs
   */
  record Output(String name, Value out, int index) implements Op {
    @Override
    public List<Value> inputs() {
      return List.of(out);
    }
  }
}
