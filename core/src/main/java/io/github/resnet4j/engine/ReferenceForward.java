package io.github.resnet4j.engine;

import io.github.resnet4j.kernel.Scalar;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;

/**
 * The forward pass as the paper's figure reads: every layer one call, nothing fused, nothing
 * reordered. Batch norm uses its running statistics, as {@code model.eval()} does. It is the twin
 * that any faster engine is checked against.
 *
 * <p>Safe for several callers at once.
 */
public record ReferenceForward(Layer network, StateDict state, Team team) {
  /**
   * @param x {@code [N, C, H, W]}
   * @return what the network ends with: logits {@code [N, classes]} or a feature map
   */
  public Tensor run(Tensor x) {
    return forward(network, x);
  }

  private Tensor forward(Layer layer, Tensor x) {
    return switch (layer) {
      case Conv2d conv ->
          Scalar.conv2d(
              x,
              state.get(conv.weight().name()),
              new Scalar.Window(conv.stride(), conv.padding(), conv.dilation(), conv.groups()),
              team);
      case BatchNorm2d norm ->
          Scalar.batchNorm(
              x,
              state.get(norm.name() + ".weight"),
              state.get(norm.name() + ".bias"),
              state.get(norm.name() + ".running_mean"),
              state.get(norm.name() + ".running_var"),
              BatchNorm2d.EPS);
      case Relu _ -> Scalar.relu(x);
      case MaxPool2d pool -> Scalar.maxPool(x, pool.kernel(), pool.stride(), pool.padding());
      case GlobalAveragePool _ -> Scalar.globalAveragePool(x);
      case Linear linear ->
          Scalar.linear(x, state.get(linear.weight().name()), state.get(linear.bias().name()));
      case Identity _ -> x;
      case SubsampleAndPad pad -> Scalar.subsampleAndPad(x, pad.channels(), pad.stride());
      case Residual block ->
          Scalar.relu(Scalar.add(forward(block.main(), x), forward(block.shortcut(), x)));
      case Sequential sequential -> {
        Tensor y = x;
        for (Layer child : sequential.layers()) {
          y = forward(child, y);
        }
        yield y;
      }
    };
  }
}
