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
 * Where each trained parameter lies in an array, and the array of the weights: convolutions in the
 * order in which the forward pass reads them, matrices of attentions as {@link Gates} want them,
 * all others as they are.
 */
public final class ParameterLayout {
  /** A parameter begins at a multiple of so many floats, as many as a cache line has. */
  private static final int LINE = 16;

  /**
   * A parameter's place.
   *
   * @param from the first index
   * @param end the index after the last
   */
  public record Place(Parameter parameter, Order order, int from, int end) {}

  /** The order of a parameter's elements. */
  public sealed interface Order {
    /** As in the tensor. */
    record OfTensor() implements Order {}

    /** As {@link Gates#put} has it. */
    record OfGates() implements Order {}

    /** As a convolution reads it. */
    record OfConvolution(String layer) implements Order {}
  }

  private final Kernels kernels;
  private final Map<String, Convolution> convolutions;
  private final Map<String, Place> places = new LinkedHashMap<>();
  private final Map<String, ConvWeights> packed = new LinkedHashMap<>();
  private final Floats weights;
  private int size = ArenaPlanner.ALIGNMENT;

  /**
   * @param convolutions of the network, and its head as one, by the names of their layers
   * @param state the first weights
   */
  ParameterLayout(
      Sequential network, Map<String, Convolution> convolutions, StateDict state, Kernels kernels) {
    this.kernels = kernels;
    this.convolutions = convolutions;
    network.walk().forEach(this::place);
    // Behind the weights are zeros: the bias of all convolutions.
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
        place(linear.bias(), new Order.OfTensor(), floats);
      }
      case BatchNorm2d norm -> {
        for (Parameter parameter : norm.parameters()) {
          if (parameter.role() == Parameter.Role.TRAINED) {
            place(parameter, new Order.OfTensor(), norm.channels());
          }
        }
      }
      case GroupNorm norm -> {
        place(norm.weight(), new Order.OfTensor(), norm.channels());
        place(norm.bias(), new Order.OfTensor(), norm.channels());
      }
      case ChannelAttention _ -> {
        for (Parameter parameter : layer.parameters()) {
          place(parameter, new Order.OfGates(), Math.toIntExact(parameter.size()));
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
          Residual _ -> {}
    }
  }

  private void placeConvolution(Parameter parameter, String layer) {
    int floats = DirectConv.packing(known(convolutions, layer), kernels).size();
    place(parameter, new Order.OfConvolution(layer), floats);
  }

  private void place(Parameter parameter, Order order, int floats) {
    int from = size;
    size = Math.addExact(from, Math.ceilDiv(floats, LINE) * LINE);
    places.put(parameter.name(), new Place(parameter, order, from, size));
  }

  private ConvWeights pack(String layer, Convolution conv, StateDict state) {
    Place bias = places.get(layer + ".bias"); // that of the head
    DirectWeights direct =
        DirectConv.packing(conv, kernels).pack(state, weights, from(layer + ".weight"));
    return new ConvWeights(conv, direct.withBiasAt(bias == null ? size : bias.from));
  }

  private static <V> V known(Map<String, V> map, String name) {
    return Objects.requireNonNull(map.get(name), name);
  }

  /** The weights themselves. */
  public Floats weights() {
    return weights;
  }

  /** Elements of an array in this order. */
  public int size() {
    return size;
  }

  /** The index of a parameter's first element. */
  int from(String parameter) {
    return known(places, parameter).from;
  }

  /** A convolution's weights, or those of the head as one. */
  ConvWeights convolution(String layer) {
    return known(packed, layer);
  }

  /** All places, in the order of the state_dict. */
  public List<Place> places() {
    return List.copyOf(places.values());
  }

  /** Tensors of the parameters' names and shapes from an array in this order. */
  public StateDict toTensors(float[] values) {
    var entries = new LinkedHashMap<String, Tensor>();
    places.forEach((name, place) -> {
      int floats = Math.toIntExact(place.parameter.size());
      int[] shape = place.parameter.extents();
      float[] tensor =
          switch (place.order) {
            case Order.OfTensor() -> Arrays.copyOfRange(values, place.from, place.from + floats);
            case Order.OfGates() -> Gates.get(values, place.from, shape);
            case Order.OfConvolution(String layer) -> convolution(layer).gather(values);
          };
      entries.put(name, Tensor.of(tensor, shape));
    });
    return new StateDict(entries);
  }

  /** The opposite of {@link #toTensors}; what lies between parameters remains as it is. */
  public void fromTensors(StateDict tensors, float[] values) {
    places.forEach((name, place) -> {
      float[] tensor = tensors.get(name).data();
      switch (place.order) {
        case Order.OfTensor() -> System.arraycopy(tensor, 0, values, place.from, tensor.length);
        case Order.OfGates() -> Gates.put(tensor, place.parameter.extents(), values, place.from);
        case Order.OfConvolution(String layer) -> convolution(layer).scatter(tensor, values);
      }
    });
  }
}
