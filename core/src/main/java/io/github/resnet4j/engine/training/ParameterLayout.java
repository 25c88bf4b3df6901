package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.DirectWeights;
import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Kernels;
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
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * The position of each trained parameter in an array, and the array of the weights: convolutions in
 * the order in which the forward pass reads them, matrices of attentions in the order of {@link
 * Gates}, all others unchanged.
 */
public final class ParameterLayout {
  /** A parameter starts at a multiple of this number of floats, which is that of a cache line. */
  private static final int LINE = 16;

  /**
   * The position of a parameter.
   *
   * @param from the first index
   * @param end the index after the last
   */
  public record Position(Parameter parameter, Order order, int from, int end) {}

  /** The order of a parameter's elements. */
  public sealed interface Order {
    /** The order of the tensor. */
    record TensorOrder() implements Order {}

    /** The order of {@link Gates#pack}. */
    record GateOrder() implements Order {}

    /** The order in which a convolution reads it. */
    record ConvolutionOrder(String layer) implements Order {}
  }

  private final Kernels kernels;
  private final Map<String, Convolution> convolutions;
  private final Map<String, Position> places = new LinkedHashMap<>();
  private final Map<String, ConvWeights> packed = new LinkedHashMap<>();
  private final Floats weights;
  private int size = ArenaPlanner.ALIGNMENT;

  /**
   * @param convolutions the convolutions of the network, and its head as one, by layer name
   * @param state the initial weights
   */
  ParameterLayout(
      Sequential network, Map<String, Convolution> convolutions, StateDict state, Kernels kernels) {
    this.kernels = kernels;
    this.convolutions = convolutions;
    network.walk().forEach(this::place);
    // After the weights come zeros: the bias of all convolutions.
    int widest =
        convolutions.values().stream()
            .mapToInt(conv -> conv.out().paddedChannels())
            .max()
            .orElse(0);
    this.weights = Floats.of(new float[size + widest]);
    convolutions.forEach((name, conv) -> packed.put(name, pack(name, conv, state)));
    fromTensors(state, weights.values());
  }

  private void place(Layer layer) {
    switch (layer) {
      case Conv2d conv -> placeConvolution(conv.weight(), conv.name());
      case Linear linear -> {
        placeConvolution(linear.weight(), linear.name());
        int floats = known(convolutions, linear.name()).out().paddedChannels();
        place(linear.bias(), new Order.TensorOrder(), floats);
      }
      case BatchNorm2d norm -> {
        for (Parameter parameter : norm.parameters()) {
          if (parameter.role() == Parameter.Role.TRAINED) {
            place(parameter, new Order.TensorOrder(), norm.channels());
          }
        }
      }
      case GroupNorm norm -> {
        place(norm.weight(), new Order.TensorOrder(), norm.channels());
        place(norm.bias(), new Order.TensorOrder(), norm.channels());
      }
      case ChannelAttention _ -> {
        for (Parameter parameter : layer.parameters()) {
          place(parameter, new Order.GateOrder(), Math.toIntExact(parameter.size()));
        }
      }
      case Relu _,
          Identity _,
          MaxPool2d _,
          AvgPool2d _,
          BlurPool2d _,
          GlobalAveragePool _,
          SubsampleAndPad _,
          Sequential _,
          Residual _,
          PreActivation _ -> {}
    }
  }

  private void placeConvolution(Parameter parameter, String layer) {
    int floats = DirectConv.packingOfFloats(known(convolutions, layer), kernels).size();
    place(parameter, new Order.ConvolutionOrder(layer), floats);
  }

  private void place(Parameter parameter, Order order, int floats) {
    int from = size;
    size = Math.addExact(from, Math.ceilDiv(floats, LINE) * LINE);
    places.put(parameter.name(), new Position(parameter, order, from, size));
  }

  private ConvWeights pack(String layer, Convolution conv, StateDict state) {
    Position bias = places.get(layer + ".bias"); // the bias of the head
    DirectWeights direct =
        DirectConv.packingOfFloats(conv, kernels).pack(state, weights, from(layer + ".weight"));
    return new ConvWeights(conv.ofFloats(), direct.withBiasAt(bias == null ? size : bias.from));
  }

  private static <V> V known(Map<String, V> map, String name) {
    return Objects.requireNonNull(map.get(name), name);
  }

  /** The array of the weights. */
  public Floats weights() {
    return weights;
  }

  /** The number of elements of an array in this order. */
  public int size() {
    return size;
  }

  /** The index of a parameter's first element. */
  int from(String parameter) {
    return known(places, parameter).from;
  }

  /** A convolution's weights, or those of the head. */
  ConvWeights convolution(String layer) {
    return known(packed, layer);
  }

  /** The positions of all parameters, in the order of the state_dict. */
  public List<Position> places() {
    return List.copyOf(places.values());
  }

  /** Converts an array in this order to tensors with the parameters' names and shapes. */
  public StateDict toTensors(float[] values) {
    var entries = new LinkedHashMap<String, Tensor>();
    places.forEach((name, place) -> {
      int floats = Math.toIntExact(place.parameter.size());
      int[] shape = place.parameter.extents();
      float[] tensor =
          switch (place.order) {
            case Order.TensorOrder() -> Arrays.copyOfRange(values, place.from, place.from + floats);
            case Order.GateOrder() -> Gates.unpack(values, place.from, shape);
            case Order.ConvolutionOrder(String layer) -> convolution(layer).gather(values);
          };
      entries.put(name, Tensor.of(tensor, shape));
    });
    return new StateDict(entries);
  }

  /** The inverse of {@link #toTensors}; elements between parameters are unchanged. */
  public void fromTensors(StateDict tensors, float[] values) {
    places.forEach((name, place) -> {
      float[] tensor = tensors.get(name).data();
      switch (place.order) {
        case Order.TensorOrder() -> System.arraycopy(tensor, 0, values, place.from, tensor.length);
        case Order.GateOrder() -> Gates.pack(tensor, place.parameter.extents(), values, place.from);
        case Order.ConvolutionOrder(String layer) -> convolution(layer).scatter(tensor, values);
      }
    });
  }
}
