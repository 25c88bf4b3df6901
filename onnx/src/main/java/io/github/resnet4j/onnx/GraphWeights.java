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
import io.github.resnet4j.nn.Layer.PreActivation;
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
import java.util.Objects;
import java.util.Optional;

/** Compares the parsed layers of a graph with the layers of a network, and collects the weights. */
final class GraphWeights {
  private final OnnxGraph graph;
  private final Map<String, float[]> parameters = new HashMap<>();

  private GraphWeights(OnnxGraph graph) {
    this.graph = graph;
  }

  /**
   * Returns the weights of a network.
   *
   * @throws UnsupportedGraphException naming the first node that does not match the network
   */
  static StateDict of(ResNetSpec spec, List<ParsedLayer> parsed, OnnxGraph graph)
      throws UnsupportedGraphException {
    List<Parameter> wanted = spec.layers().parameters();
    long bytes = 4 * wanted.stream().mapToLong(Parameter::size).sum();
    if (bytes > 4 * graph.constantBytes() + (1 << 20)) {
      throw new UnsupportedGraphException(
          "its layers need %,d bytes of weights, but it contains %,d"
              .formatted(bytes, graph.constantBytes()));
    }
    Tensor.checkMemory(bytes / 4);
    var weights = new GraphWeights(graph);
    weights.compareAll(spec.layers().layers(), parsed, parsed.getLast().node());
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

  /** Iterates over the parsed layers. */
  private static final class LayerCursor {
    private final List<ParsedLayer> parsed;
    private final Node end;
    private int at;

    /**
     * @param end the node for error messages if no layer is left
     */
    LayerCursor(List<ParsedLayer> parsed, Node end) {
      this.parsed = parsed;
      this.end = end;
    }

    <T extends ParsedLayer> T next(Class<T> kind, String what) throws UnsupportedGraphException {
      if (at == parsed.size()) {
        throw UnsupportedGraphException.at(end, "is not followed by %s".formatted(what));
      }
      ParsedLayer layer = parsed.get(at);
      if (!kind.isInstance(layer)) {
        throw UnsupportedGraphException.at(
            layer.node(), "is found where %s was expected".formatted(what));
      }
      at++;
      return kind.cast(layer);
    }

    boolean isEmpty() {
      return at == parsed.size();
    }
  }

  private void compareAll(List<Layer> layers, List<ParsedLayer> parsed, Node end)
      throws UnsupportedGraphException {
    var rest = new LayerCursor(parsed, end);
    compare(layers, rest);
    if (!rest.isEmpty()) {
      throw UnsupportedGraphException.at(
          rest.parsed.get(rest.at).node(), "is found where the layers of the network end");
    }
  }

  private void compare(List<Layer> layers, LayerCursor parsed) throws UnsupportedGraphException {
    for (int i = 0; i < layers.size(); i++) {
      switch (layers.get(i)) {
        case Conv2d conv -> {
          collect(
              conv,
              normAfter(layers.subList(i + 1, layers.size())),
              parsed.next(ParsedLayer.Convolution.class, "a convolution"));
        }
        case BatchNorm2d norm -> {
          if (!parameters.containsKey(norm.name() + ".weight")) { // else it follows a convolution
            collect(norm, parsed.next(ParsedLayer.BatchNorm.class, "a batch norm").node());
          }
        }
        case Identity _ -> {}
        case GroupNorm norm ->
            collect(norm, parsed.next(ParsedLayer.GroupNorm.class, "a group norm"));
        case PreActivation block -> compare(block, parsed);
        case Relu _ -> parsed.next(ParsedLayer.Relu.class, "a ReLU");
        case MaxPool2d pool -> check(pool, parsed.next(ParsedLayer.MaxPool.class, "max pooling"));
        case AvgPool2d pool ->
            check(
                pool,
                parsed
                    .next(ParsedLayer.AveragePool.class, "an average pooling of 2×2 pixels")
                    .node());
        case BlurPool2d pool ->
            WindowOperations.require(
                parsed.next(ParsedLayer.Blur.class, "a blur").node(), "strides", pool.stride(), 1);
        case SqueezeExcite attention ->
            collectGates(attention, parsed.next(ParsedLayer.Gates.class, "a channel attention"));
        case EfficientAttention attention ->
            collectGates(attention, parsed.next(ParsedLayer.Gates.class, "a channel attention"));
        case Sequential stage -> compare(stage.layers(), parsed);
        case Residual residual -> {
          ParsedLayer.Block block = parsed.next(ParsedLayer.Block.class, "a residual block");
          if (!block.rectified()) {
            throw UnsupportedGraphException.at(block.node(), "is not followed by a ReLU");
          }
          compareAll(residual.main().layers(), block.main(), block.node());
          List<Layer> shortcut =
              residual.shortcut() instanceof Sequential projection
                  ? projection.layers()
                  : List.of(residual.shortcut());
          compareAll(shortcut, block.shortcut(), block.node());
        }
        case SubsampleAndPad pad -> compareZeroPadShortcut(pad, layers, parsed);
        case GlobalAveragePool _ ->
            parsed.next(ParsedLayer.GlobalMean.class, "global average pooling");
        case Linear linear ->
            collect(linear, parsed.next(ParsedLayer.Linear.class, "a linear layer"));
      }
    }
  }

  /** The batch norm that follows a convolution, also as the first layer of the next block. */
  private static Optional<BatchNorm2d> normAfter(List<Layer> layers) {
    if (layers.isEmpty()) {
      return Optional.empty();
    }
    return switch (layers.getFirst()) {
      case BatchNorm2d norm -> Optional.of(norm);
      case Sequential stage -> normAfter(stage.layers());
      case PreActivation block when !block.isIdentityBlock() ->
          normAfter(block.activation().layers());
      default -> Optional.empty();
    };
  }

  /** The norm and ReLU at the start are on the main branch only if the block has no projection. */
  private void compare(PreActivation block, LayerCursor parsed) throws UnsupportedGraphException {
    List<Layer> activation = block.activation().layers();
    if (!block.isIdentityBlock()) {
      compare(activation, parsed);
    }
    ParsedLayer.Block found = parsed.next(ParsedLayer.Block.class, "a residual block");
    if (found.rectified()) {
      throw UnsupportedGraphException.at(
          found.node(), "is followed by a ReLU, unlike those of blocks that normalize first");
    }
    if (block.shortcut() instanceof Sequential projection) {
      compareAll(projection.layers(), found.shortcut(), found.node());
      compareAll(block.main().layers(), found.main(), found.node());
      return;
    }
    var main = new ArrayList<>(activation);
    main.addAll(block.main().layers());
    compareAll(main, found.main(), found.node());
    compareAll(List.of(), found.shortcut(), found.node());
  }

  private static void compareZeroPadShortcut(
      SubsampleAndPad pad, List<Layer> layers, LayerCursor parsed)
      throws UnsupportedGraphException {
    if (pad.stride() > 1) {
      ParsedLayer.Subsample every = parsed.next(ParsedLayer.Subsample.class, "a subsampling");
      if (every.rows() != pad.stride() || every.columns() != pad.stride()) {
        throw UnsupportedGraphException.at(
            every.node(), "subsamples with another step than %d".formatted(pad.stride()));
      }
    }
    ParsedLayer.ZeroPad zeros = parsed.next(ParsedLayer.ZeroPad.class, "channels of zeros");
    long added = zeros.before() + zeros.after();
    if (zeros.before() != added / 2 || layers.size() != 1) {
      throw UnsupportedGraphException.at(zeros.node(), "does not add zero channels symmetrically");
    }
  }

  private static void check(MaxPool2d pool, ParsedLayer.MaxPool found)
      throws UnsupportedGraphException {
    Node node = found.node();
    if (found.zeros() != pool.zeros()) {
      throw UnsupportedGraphException.at(
          node, found.zeros() ? "counts its padding as zeros" : "does not count padding as zeros");
    }
    WindowOperations.require(node, "kernel_shape", pool.kernel(), 1);
    WindowOperations.require(node, "pads", pool.padding(), 0);
    WindowOperations.require(node, "strides", pool.stride(), 1);
    WindowOperations.require(node, "dilations", 1, 1);
    if (node.integer("ceil_mode", 0) != 0) {
      throw UnsupportedGraphException.at(node, "has ceil_mode 1, not 0");
    }
  }

  private static void check(AvgPool2d pool, Node node) throws UnsupportedGraphException {
    WindowOperations.require(node, "kernel_shape", pool.kernel(), 1);
    boolean zeros = pool.edge() == AvgPool2d.Edge.ZEROS;
    if (!zeros) {
      WindowOperations.require(node, "pads", 0, 0);
    } else if (!node.integers("pads").equals(List.of(0L, 0L, 1L, 1L))
        || node.integer("count_include_pad", 0) != 1) {
      throw UnsupportedGraphException.at(
          node, "does not count one pixel of zeros after the last row and column");
    }
    WindowOperations.require(node, "strides", pool.stride(), 1);
    WindowOperations.require(node, "dilations", 1, 1);
    int ceil = pool.edge() == AvgPool2d.Edge.PARTIAL ? 1 : 0;
    if (node.integer("ceil_mode", 0) != ceil) {
      throw UnsupportedGraphException.at(
          node, "has ceil_mode %d, not %d".formatted(1 - ceil, ceil));
    }
    if (ceil == 1 && node.integer("count_include_pad", 0) != 0) {
      throw UnsupportedGraphException.at(node, "has count_include_pad 1, not 0");
    }
  }

  /** Returns the values of a constant, which must have this shape and be finite. */
  private static float[] numbers(Node node, Constant constant, String what, List<Long> shape)
      throws UnsupportedGraphException {
    if (!constant.shape().equals(shape) || !constant.isReal()) {
      throw UnsupportedGraphException.at(
          node, "has %s of shape %s, expected %s".formatted(what, constant.shape(), shape));
    }
    float[] values = constant.floats();
    for (float value : values) {
      if (!Float.isFinite(value)) {
        throw UnsupportedGraphException.at(node, "has %s in its %s".formatted(value, what));
      }
    }
    return values;
  }

  private static List<Long> shape(Parameter parameter) {
    return parameter.shape().stream().map(Long::valueOf).toList();
  }

  /**
   * Checks that a convolution matches the specification, and collects its weights.
   *
   * @param norm the batch norm after it, which also takes its bias
   */
  private void collect(Conv2d conv, Optional<BatchNorm2d> norm, ParsedLayer.Convolution found)
      throws UnsupportedGraphException {
    Node node = found.node();
    if (node.integer("group", 1) != conv.groups()) {
      throw UnsupportedGraphException.at(node, "does not have %d groups".formatted(conv.groups()));
    }
    WindowOperations.require(node, "strides", conv.stride(), 1);
    WindowOperations.require(node, "dilations", conv.dilation(), 1);
    WindowOperations.require(node, "pads", conv.padding(), 0);
    float[] weights =
        numbers(node, found.weight(), "weights for " + conv.name(), shape(conv.weight()));
    if (conv.standardized() != StandardizedWeights.isStandardized(found)) {
      throw UnsupportedGraphException.at(
          node,
          conv.standardized()
              ? "has weights that are not standardized"
              : "standardizes its weights, unlike other convolutions");
    }
    parameters.put(
        conv.weight().name(),
        conv.standardized()
            ? StandardizedWeights.stored(weights, conv.outChannels(), found.standardization())
            : weights);
    float[] bias = new float[conv.outChannels()];
    if (found.bias().isPresent()) {
      bias = numbers(node, found.bias().get(), "bias", List.of((long) bias.length));
    }
    if (norm.isEmpty()) {
      boolean biased = false;
      for (float value : bias) {
        biased |= value != 0;
      }
      if (biased || found.norm().isPresent()) {
        throw UnsupportedGraphException.at(
            node, "has a bias or a batch norm, where the network has none");
      }
    } else if (found.norm().isPresent()) {
      collect(norm.get(), found.norm().get());
      float[] mean = Objects.requireNonNull(parameters.get(norm.get().name() + ".running_mean"));
      for (int c = 0; c < bias.length; c++) {
        mean[c] -= bias[c];
      }
    } else { // a batch norm that only adds the bias
      String name = norm.get().name();
      parameters.put(name + ".weight", filled(bias.length, 1));
      parameters.put(name + ".bias", bias);
      parameters.put(name + ".running_mean", new float[bias.length]);
      parameters.put(name + ".running_var", filled(bias.length, (float) (1 - BatchNorm2d.EPS)));
    }
  }

  private void collect(BatchNorm2d norm, Node node) throws UnsupportedGraphException {
    List<Long> vector = List.of((long) norm.channels());
    var names = List.of("weight", "bias", "running_mean", "running_var");
    for (int i = 0; i < names.size(); i++) {
      float[] values = numbers(node, graph.constant(node, i + 1), names.get(i), vector);
      if (i == 3) { // another epsilon is another variance
        double more = node.real("epsilon", 1e-5f) - (double) (float) BatchNorm2d.EPS;
        for (int c = 0; more != 0 && c < values.length; c++) {
          values[c] = (float) (values[c] + more);
        }
      }
      parameters.put(norm.name() + "." + names.get(i), values);
    }
  }

  private void collect(GroupNorm norm, ParsedLayer.GroupNorm found)
      throws UnsupportedGraphException {
    if (found.groups() != norm.groups()) {
      throw UnsupportedGraphException.at(
          found.node(), "has %d groups, not %d".formatted(found.groups(), norm.groups()));
    }
    List<Long> vector = List.of((long) norm.channels());
    parameters.put(norm.weight().name(), numbers(found.node(), found.weight(), "weights", vector));
    parameters.put(norm.bias().name(), numbers(found.node(), found.bias(), "bias", vector));
  }

  private static float[] filled(int length, float value) {
    float[] values = new float[length];
    Arrays.fill(values, value);
    return values;
  }

  private void collectGates(Layer attention, ParsedLayer.Gates gates)
      throws UnsupportedGraphException {
    List<Parameter> wanted = attention.parameters();
    boolean biased = attention instanceof SqueezeExcite;
    if (gates.convolutions().size() != (biased ? 2 : 1)) {
      throw UnsupportedGraphException.at(
          gates.node(), "is a channel attention of another kind than the first");
    }
    int padding = attention instanceof EfficientAttention eca ? eca.kernel() / 2 : 0;
    for (int i = 0; i < gates.convolutions().size(); i++) {
      ParsedLayer.Convolution conv = gates.convolutions().get(i);
      Node node = conv.node();
      WindowOperations.require(node, "strides", 1, 1);
      WindowOperations.require(node, "dilations", 1, 1);
      WindowOperations.require(node, "pads", padding, 0);
      if (node.integer("group", 1) != 1 || conv.bias().isPresent() != biased) {
        throw UnsupportedGraphException.at(
            node, "does not match the convolution of a channel attention");
      }
      Parameter weight = wanted.get(biased ? 2 * i : i);
      parameters.put(weight.name(), numbers(node, conv.weight(), "weights", shape(weight)));
      if (conv.bias().isPresent()) {
        Parameter bias = wanted.get(2 * i + 1);
        parameters.put(bias.name(), numbers(node, conv.bias().get(), "bias", shape(bias)));
      }
    }
  }

  private void collect(Linear linear, ParsedLayer.Linear found) throws UnsupportedGraphException {
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
