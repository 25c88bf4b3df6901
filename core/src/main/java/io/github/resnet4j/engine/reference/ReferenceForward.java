package io.github.resnet4j.engine.reference;

import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.kernel.Scalar;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
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
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.nn.WeightStandardization;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.function.BiConsumer;

/**
 * The forward pass computed layer by layer, without fusion and without reordering. Batch norm uses
 * its running statistics, as with {@code model.eval()}. The optimized engine is tested against it.
 *
 * <p>Thread-safe.
 */
public record ReferenceForward(Layer network, StateDict state, Team team) {
  /**
   * @param x {@code [N, C, H, W]}
   * @return the network's result: logits {@code [N, classes]} or a feature map
   * @throws IllegalArgumentException if the images are smaller than a window of the network
   */
  public Tensor run(Tensor x) {
    check(x);
    return forward(network, x, (_, _) -> {});
  }

  /**
   * @param x {@code [N, C, H, W]}
   * @param taps names of layers whose results are returned too
   * @return the tapped results by layer name, and last the network's own result as {@code output}
   * @throws IllegalArgumentException if there is no layer of that name
   */
  public SequencedMap<String, Tensor> runAll(Tensor x, List<String> taps) {
    check(x);
    var found = new HashMap<String, Tensor>();
    Tensor output =
        forward(
            network,
            x,
            (layer, y) -> {
              if (taps.contains(layer.name())) {
                found.put(layer.name(), y);
              }
            });
    var results = new LinkedHashMap<String, Tensor>();
    for (String tap : taps) {
      Tensor result = found.get(tap);
      if (result == null) {
        throw new IllegalArgumentException(
            "no layer '%s' to tap%s"
                .formatted(tap, Suggestion.of(tap, network.walk().map(Layer::name).toList())));
      }
      results.put(tap, result);
    }
    results.put("output", output);
    return results;
  }

  private void check(Tensor x) {
    if (x.rank() == 4) { // a network of only a head takes [N, C]
      network.requireFits(x.dim(2), x.dim(3));
    }
  }

  private Tensor forward(Layer layer, Tensor x, BiConsumer<Layer, Tensor> listener) {
    Tensor result = compute(layer, x, listener);
    listener.accept(layer, result);
    return result;
  }

  /** Multiplies every channel of {@code [N, C, H, W]} by its gate. */
  private static Tensor scaled(Tensor x, Gates gates) {
    Tensor y = Tensor.zeros(x.shape());
    Tensor means = Scalar.globalAveragePool(x);
    int channels = x.dim(1);
    int plane = x.dim(2) * x.dim(3);
    float[] gate = new float[channels];
    for (int n = 0; n < x.dim(0); n++) {
      gates.compute(Arrays.copyOfRange(means.data(), n * channels, (n + 1) * channels), gate);
      for (int i = n * channels * plane; i < (n + 1) * channels * plane; i++) {
        y.data()[i] = x.data()[i] * gate[i / plane % channels];
      }
    }
    return y;
  }

  private Tensor weights(Conv2d conv) {
    return Tensor.of(WeightStandardization.weights(conv, state), conv.weight().extents());
  }

  private Tensor compute(Layer layer, Tensor x, BiConsumer<Layer, Tensor> listener) {
    return switch (layer) {
      case Conv2d conv ->
          Scalar.conv2d(
              x,
              weights(conv),
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
      case GroupNorm norm ->
          Scalar.groupNorm(
              x,
              norm.groups(),
              state.get(norm.weight().name()),
              state.get(norm.bias().name()),
              GroupNorm.EPS);
      case Relu _ -> Scalar.relu(x);
      case MaxPool2d pool ->
          Scalar.maxPool(
              x,
              pool.kernel(),
              pool.stride(),
              pool.padding(),
              pool.zeros() ? 0 : Float.NEGATIVE_INFINITY);
      case AvgPool2d pool ->
          Scalar.averagePool(
              x,
              pool.kernel(),
              pool.stride(),
              pool.outputExtent(x.dim(2)),
              pool.outputExtent(x.dim(3)),
              pool::divisor);
      case BlurPool2d pool ->
          Scalar.blur(
              x,
              (index, tap) -> pool.source(index, tap, x.dim(2)),
              pool.outputExtent(x.dim(2)),
              (index, tap) -> pool.source(index, tap, x.dim(3)),
              pool.outputExtent(x.dim(3)));
      case GlobalAveragePool _ -> Scalar.globalAveragePool(x);
      case Linear linear ->
          Scalar.linear(x, state.get(linear.weight().name()), state.get(linear.bias().name()));
      case ChannelAttention attention -> scaled(x, Gates.of(attention, state));
      case Identity _ -> x;
      case SubsampleAndPad pad -> Scalar.subsampleAndPad(x, pad.channels(), pad.stride());
      case Residual block ->
          Scalar.relu(
              Scalar.add(
                  forward(block.main(), x, listener), forward(block.shortcut(), x, listener)));
      case PreActivation block -> {
        Tensor activated = forward(block.activation(), x, listener);
        yield Scalar.add(
            forward(block.main(), activated, listener),
            forward(block.shortcut(), block.isIdentityBlock() ? x : activated, listener));
      }
      case Sequential sequential -> {
        Tensor y = x;
        for (Layer child : sequential.layers()) {
          y = forward(child, y, listener);
        }
        yield y;
      }
    };
  }
}
