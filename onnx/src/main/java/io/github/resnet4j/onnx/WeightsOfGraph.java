package io.github.resnet4j.onnx;

import io.github.resnet4j.ResNetSpec;
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
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Compares the steps of a graph with the layers of a network, one by one, and takes their numbers.
 */
final class WeightsOfGraph {
  private final OnnxGraph graph;
  private final Map<String, float[]> parameters = new HashMap<>();

  private WeightsOfGraph(OnnxGraph graph) {
    this.graph = graph;
  }

  /**
   * The weights of a network.
   *
   * @throws Unfit naming the first node that is not as the network has it
   */
  static StateDict of(ResNetSpec spec, List<Step> steps, OnnxGraph graph) throws Unfit {
    List<Parameter> wanted = spec.layers().parameters();
    long bytes = 4 * wanted.stream().mapToLong(Parameter::size).sum();
    if (bytes > 4 * graph.constantBytes() + (1 << 20)) {
      throw new Unfit(
          "its layers need %,d bytes of weights, it has %,d"
              .formatted(bytes, graph.constantBytes()));
    }
    var weights = new WeightsOfGraph(graph);
    weights.compareAll(spec.layers().layers(), steps, steps.getLast().node());
    var entries = new LinkedHashMap<String, Tensor>();
    for (Parameter parameter : wanted) {
      float[] values = weights.parameters.get(parameter.name());
      entries.put(
          parameter.name(),
          values == null // a counter
              ? Tensor.zeros(parameter.extents())
              : Tensor.of(values, parameter.extents()));
    }
    return new StateDict(entries);
  }

  /** The steps that are left. */
  private static final class Rest {
    private final List<Step> steps;
    private final Node end;
    private int at;

    /**
     * @param end what errors name if there is no step left
     */
    Rest(List<Step> steps, Node end) {
      this.steps = steps;
      this.end = end;
    }

    <T extends Step> T next(Class<T> kind, String what) throws Unfit {
      if (at == steps.size()) {
        throw Unfit.at(end, "comes before %s that was expected".formatted(what));
      }
      Step step = steps.get(at);
      if (!kind.isInstance(step)) {
        throw Unfit.at(step.node(), "where %s was expected".formatted(what));
      }
      at++;
      return kind.cast(step);
    }

    boolean isEmpty() {
      return at == steps.size();
    }
  }

  private void compareAll(List<Layer> layers, List<Step> steps, Node end) throws Unfit {
    var rest = new Rest(steps, end);
    compare(layers, rest);
    if (!rest.isEmpty()) {
      throw Unfit.at(rest.steps.get(rest.at).node(), "where nothing more was expected");
    }
  }

  private void compare(List<Layer> layers, Rest steps) throws Unfit {
    for (int i = 0; i < layers.size(); i++) {
      switch (layers.get(i)) {
        case Conv2d conv -> {
          String norm = layers.get(i + 1).name();
          take(conv, norm, steps.next(Step.Convolution.class, "a convolution"));
        }
        case BatchNorm2d _, Identity _ -> {} // taken with its convolution; nothing
        case GroupNorm norm -> throw new IllegalStateException(norm.name()); // never specified
        case Relu _ -> steps.next(Step.Relu.class, "a ReLU");
        case MaxPool2d pool -> check(pool, steps.next(Step.MaxPool.class, "max pooling").node());
        case AvgPool2d pool ->
            check(pool, steps.next(Step.AveragePool.class, "a mean of 2×2 pixels").node());
        case BlurPool2d _ -> steps.next(Step.Blur.class, "a blur with stride 2");
        case SqueezeExcite attention ->
            takeGates(attention, steps.next(Step.Gates.class, "a channel attention"));
        case EfficientAttention attention ->
            takeGates(attention, steps.next(Step.Gates.class, "a channel attention"));
        case Sequential stage -> compare(stage.layers(), steps);
        case Residual residual -> {
          Step.Block block = steps.next(Step.Block.class, "a residual block");
          compareAll(residual.main().layers(), block.main(), block.node());
          List<Layer> shortcut =
              residual.shortcut() instanceof Sequential projection
                  ? projection.layers()
                  : List.of(residual.shortcut());
          compareAll(shortcut, block.shortcut(), block.node());
        }
        case SubsampleAndPad pad -> shortcutA(pad, layers, steps);
        case GlobalAveragePool _ -> steps.next(Step.GlobalMean.class, "the mean over all pixels");
        case Linear linear -> take(linear, steps.next(Step.Linear.class, "a linear layer"));
      }
    }
  }

  private static void shortcutA(SubsampleAndPad pad, List<Layer> layers, Rest steps) throws Unfit {
    if (pad.stride() > 1) {
      Step.Subsample every = steps.next(Step.Subsample.class, "every second pixel");
      if (every.rows() != pad.stride() || every.columns() != pad.stride()) {
        throw Unfit.at(every.node(), "takes other pixels than every second");
      }
    }
    Step.ZeroPad zeros = steps.next(Step.ZeroPad.class, "channels of zeros");
    long added = zeros.before() + zeros.after();
    if (zeros.before() != added / 2 || layers.size() != 1) {
      throw Unfit.at(zeros.node(), "adds other channels of zeros before than behind");
    }
  }

  private static void check(MaxPool2d pool, Node node) throws Unfit {
    Windows.require(node, "kernel_shape", pool.kernel(), 1);
    Windows.require(node, "pads", pool.padding(), 0);
    Windows.require(node, "strides", pool.stride(), 1);
    Windows.require(node, "dilations", 1, 1);
    if (node.integer("ceil_mode", 0) != 0) {
      throw Unfit.at(node, "has ceil_mode 1, not 0");
    }
  }

  private static void check(AvgPool2d pool, Node node) throws Unfit {
    Windows.require(node, "kernel_shape", pool.kernel(), 1);
    Windows.require(node, "pads", 0, 0);
    Windows.require(node, "strides", pool.stride(), 1);
    Windows.require(node, "dilations", 1, 1);
    int ceil = pool.ceil() ? 1 : 0;
    if (node.integer("ceil_mode", 0) != ceil) {
      throw Unfit.at(node, "has ceil_mode %d, not %d".formatted(1 - ceil, ceil));
    }
    if (pool.ceil() && node.integer("count_include_pad", 0) != 0) {
      throw Unfit.at(node, "counts pixels beyond the border (count_include_pad)");
    }
  }

  /** The finite numbers of a constant that must have one number for each of some channels. */
  private static float[] numbers(Node node, Constant constant, String what, List<Long> shape)
      throws Unfit {
    if (!constant.shape().equals(shape) || !constant.isReal()) {
      throw Unfit.at(node, "has %s of %s, expected %s".formatted(what, constant.shape(), shape));
    }
    float[] values = constant.floats();
    for (float value : values) {
      if (!Float.isFinite(value)) {
        throw Unfit.at(node, "has %s in its %s".formatted(value, what));
      }
    }
    return values;
  }

  private static List<Long> shape(Parameter parameter) {
    return parameter.shape().stream().map(Long::valueOf).toList();
  }

  /** Checks that a convolution is the one of the specification, and takes its numbers. */
  private void take(Conv2d conv, String norm, Step.Convolution found) throws Unfit {
    Node node = found.node();
    if (node.integer("group", 1) != conv.groups()) {
      throw Unfit.at(node, "has another number of groups than " + conv.groups());
    }
    Windows.require(node, "strides", conv.stride(), 1);
    Windows.require(node, "dilations", conv.dilation(), 1);
    Windows.require(node, "pads", conv.padding(), 0);
    parameters.put(
        conv.weight().name(),
        numbers(node, found.weight(), "weights for " + conv.name(), shape(conv.weight())));
    int channels = conv.outChannels();
    List<Long> vector = List.of((long) channels);
    float[] bias =
        found.bias().isEmpty()
            ? new float[channels]
            : numbers(node, found.bias().get(), "bias", vector);
    if (found.norm().isEmpty()) { // as if batch norm did nothing but add the bias
      parameters.put(norm + ".weight", filled(channels, 1));
      parameters.put(norm + ".bias", bias);
      parameters.put(norm + ".running_mean", new float[channels]);
      parameters.put(norm + ".running_var", filled(channels, (float) (1 - BatchNorm2d.EPS)));
      return;
    }
    Node after = found.norm().get();
    var names = List.of("weight", "bias", "running_mean", "running_var");
    var all = new ArrayList<float[]>();
    for (int i = 0; i < names.size(); i++) {
      float[] values = numbers(after, graph.constant(after, i + 1), names.get(i), vector);
      all.add(values);
      parameters.put(norm + "." + names.get(i), values);
    }
    for (int c = 0; c < channels; c++) {
      all.get(2)[c] -= bias[c];
    }
  }

  private static float[] filled(int length, float value) {
    float[] values = new float[length];
    Arrays.fill(values, value);
    return values;
  }

  private void takeGates(Layer attention, Step.Gates gates) throws Unfit {
    List<Parameter> wanted = attention.parameters();
    boolean biased = attention instanceof SqueezeExcite;
    if (gates.convolutions().size() != (biased ? 2 : 1)) {
      throw Unfit.at(gates.node(), "is another channel attention than the first");
    }
    int padding = attention instanceof EfficientAttention eca ? eca.kernel() / 2 : 0;
    for (int i = 0; i < gates.convolutions().size(); i++) {
      Step.Convolution conv = gates.convolutions().get(i);
      Node node = conv.node();
      Windows.require(node, "strides", 1, 1);
      Windows.require(node, "dilations", 1, 1);
      Windows.require(node, "pads", padding, 0);
      if (node.integer("group", 1) != 1 || conv.bias().isPresent() != biased) {
        throw Unfit.at(node, "is no convolution of a channel attention");
      }
      Parameter weight = wanted.get(biased ? 2 * i : i);
      parameters.put(weight.name(), numbers(node, conv.weight(), "weights", shape(weight)));
      if (conv.bias().isPresent()) {
        Parameter bias = wanted.get(2 * i + 1);
        parameters.put(bias.name(), numbers(node, conv.bias().get(), "bias", shape(bias)));
      }
    }
  }

  private void take(Linear linear, Step.Linear found) throws Unfit {
    int in = linear.in();
    int out = linear.out();
    Node node = found.node();
    List<Long> shape =
        found.transposed() ? List.of((long) out, (long) in) : List.of((long) in, (long) out);
    float[] values = numbers(node, found.weight(), "weights", shape);
    if (!found.transposed()) {
      float[] turned = new float[values.length];
      for (int i = 0; i < values.length; i++) {
        turned[i % out * in + i / out] = values[i];
      }
      values = turned;
    }
    parameters.put(linear.weight().name(), values);
    float[] bias = new float[out];
    if (found.bias().isPresent()) {
      Constant given = found.bias().get();
      List<Long> row = List.of(1L, (long) out);
      bias = numbers(node, given, "bias", given.shape().equals(row) ? row : List.of((long) out));
    }
    parameters.put(linear.bias().name(), bias);
  }
}
