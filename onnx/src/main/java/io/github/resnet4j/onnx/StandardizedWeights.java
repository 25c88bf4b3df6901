package io.github.resnet4j.onnx;

import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.WeightStandardization;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Weights with the mean 0 and the variance 1 for each output channel (arXiv 1903.10520). PyTorch's
 * exporters write them as a batch norm of constants, of the shape {@code [1, output channels,
 * values]}, whose statistics are those of the constants themselves.
 */
final class StandardizedWeights {
  /** Rounding to float16, and the epsilon, let the statistics deviate from 0 and 1. */
  private static final double TOLERANCE = 0.01;

  private enum Kind {
    MEAN,
    MEAN_WITH_AXES,
    CENTRED,
    SQUARED,
    VARIANCE,
    STANDARDIZED
  }

  /**
   * @param source the name of the constant from which a value is computed
   */
  private record Derived(Kind kind, String source, Constant weights, float epsilon) {}

  private final OnnxGraph graph;
  private final Map<String, Derived> derived = new HashMap<>();

  StandardizedWeights(OnnxGraph graph) {
    this.graph = graph;
  }

  /** Adds a node if it is one step of a standardization. */
  boolean add(Node node) throws UnsupportedGraphException {
    Optional<Derived> found =
        switch (node.op()) {
          case "ReduceMean" -> mean(node);
          case "Sub" -> centred(node);
          case "Mul" -> squared(node);
          case "BatchNormalization" -> normalized(node);
          case "Reshape" -> reshaped(node);
          default -> Optional.empty();
        };
    found.ifPresent(value -> derived.put(node.outputs().getFirst(), value));
    return found.isPresent();
  }

  /** The constant input of a node, if its shape is {@code [1, channels, values]}. */
  private Optional<Constant> constant(Node node, int input) {
    return graph
        .constant(node.input(input))
        .filter(x -> x.isReal() && x.shape().size() == 3 && x.shape().getFirst() == 1);
  }

  private Optional<Derived> mean(Node node) throws UnsupportedGraphException {
    String x = node.input(0);
    Optional<Constant> constant = constant(node, 0);
    Derived squares = derived.get(x);
    if (constant.isEmpty() && squares == null) {
      return Optional.empty();
    }
    if (!AxisOperations.axes(node, graph, 3).stream().sorted().toList().equals(List.of(0L, 2L))) {
      return Optional.empty();
    }
    boolean keeps = node.integer("keepdims", 1) != 0;
    if (squares == null) {
      return constant.map(
          weights -> new Derived(keeps ? Kind.MEAN_WITH_AXES : Kind.MEAN, x, weights, 0));
    }
    return Optional.of(squares)
        .filter(each -> each.kind == Kind.SQUARED && !keeps)
        .map(each -> new Derived(Kind.VARIANCE, each.source, each.weights, 0));
  }

  /** Whether a value is this statistic of a constant. */
  private boolean is(String value, Kind kind, String constant) {
    Derived found = derived.get(value);
    return found != null && found.kind == kind && found.source.equals(constant);
  }

  private Optional<Derived> centred(Node node) {
    String x = node.input(0);
    return constant(node, 0)
        .filter(_ -> is(node.input(1), Kind.MEAN_WITH_AXES, x))
        .map(weights -> new Derived(Kind.CENTRED, x, weights, 0));
  }

  private Optional<Derived> squared(Node node) {
    Derived x = derived.get(node.input(0));
    return x != null && x.kind == Kind.CENTRED && node.input(1).equals(node.input(0))
        ? Optional.of(new Derived(Kind.SQUARED, x.source, x.weights, 0))
        : Optional.empty();
  }

  private Optional<Derived> normalized(Node node) {
    String x = node.input(0);
    float epsilon = node.real("epsilon", 1e-5f);
    Optional<Constant> weights = constant(node, 0);
    boolean computes = node.integer("training_mode", 0) == 1;
    if (weights.isEmpty()
        || node.inputs().size() != (computes ? 3 : 5)
        || !(epsilon > 0 && epsilon <= 1)) {
      return Optional.empty();
    }
    int channels = Math.toIntExact(weights.get().shape().get(1));
    for (int i = 1; i <= 2; i++) {
      float neutral = 2 - i;
      if (graph
          .constant(node.input(i))
          .filter(each -> NormOperations.isFilled(each, channels, neutral))
          .isEmpty()) {
        return Optional.empty();
      }
    }
    boolean own =
        computes || is(node.input(3), Kind.MEAN, x) && is(node.input(4), Kind.VARIANCE, x);
    return own
        ? Optional.of(new Derived(Kind.STANDARDIZED, x, weights.get(), epsilon))
        : Optional.empty();
  }

  private Optional<Derived> reshaped(Node node) {
    Derived x = derived.get(node.input(0));
    if (x == null || x.kind != Kind.STANDARDIZED || node.inputs().size() != 2) {
      return Optional.empty();
    }
    long channels = x.weights.shape().get(1);
    return graph
        .constant(node.input(1))
        .flatMap(shape -> ShapeArithmetic.view(x.weights, List.of(x.weights, shape)))
        .filter(weights -> weights.shape().size() == 4 && weights.shape().getFirst() == channels)
        .map(weights -> new Derived(Kind.STANDARDIZED, x.source, weights, x.epsilon));
  }

  /** The weights before their standardization, if a value is standardized weights. */
  Optional<Constant> before(String value) {
    return standardized(value).map(Derived::weights);
  }

  /** What is added to the variance, if a value is standardized weights. */
  Optional<Float> epsilon(String value) {
    return standardized(value).map(Derived::epsilon);
  }

  private Optional<Derived> standardized(String value) {
    return Optional.ofNullable(derived.get(value)).filter(each -> each.kind == Kind.STANDARDIZED);
  }

  /** Whether the weights of a convolution are standardized, by the graph or as constants. */
  static boolean isStandardized(ParsedLayer.Convolution conv) {
    if (conv.standardization().isPresent()) {
      return true;
    }
    float[] weights = conv.weight().floats();
    int each = weights.length / conv.out();
    int ones = 0;
    for (int from = 0; from < weights.length; from += each) {
      double mean = WeightStandardization.mean(weights, from, each);
      double variance = WeightStandardization.variance(weights, from, each, mean);
      ones += variance >= 1 - TOLERANCE ? 1 : 0; // less if it was almost 0 before
      if (!(Math.abs(mean) <= TOLERANCE * Math.sqrt(variance) && variance <= 1 + TOLERANCE)) {
        return false;
      }
    }
    return 2 * ones >= conv.out();
  }

  /**
   * The weights whose standardization with the epsilon of the network gives those that the graph
   * uses.
   *
   * @param epsilon that of the graph's standardization; empty if the graph contains standardized
   *     weights
   */
  static float[] stored(float[] weights, int channels, Optional<Float> epsilon) {
    float[] stored = weights.clone();
    int each = weights.length / channels;
    for (int from = 0; from < weights.length; from += each) {
      // Of weights with the variance v, standardization leaves v / (v + epsilon).
      double mean = WeightStandardization.mean(weights, from, each);
      double missing = 1 - WeightStandardization.variance(weights, from, each, mean);
      double factor =
          epsilon.isPresent()
              ? Math.sqrt((float) Conv2d.EPS / epsilon.get())
              : missing > 1e-6 ? Math.sqrt(Conv2d.EPS / missing) : 1;
      for (int i = from; i < from + each; i++) {
        stored[i] = (float) (weights[i] * factor);
      }
    }
    return stored;
  }
}
