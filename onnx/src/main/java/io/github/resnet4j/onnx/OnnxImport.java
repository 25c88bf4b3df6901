package io.github.resnet4j.onnx;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.Attention;
import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.ResNetSpec.Downsampling;
import io.github.resnet4j.ResNetSpec.Shortcut;
import io.github.resnet4j.ResNetSpec.Stem;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * A residual network from an ONNX file, recognised by its structure: written by PyTorch's exporters
 * or by {@link OnnxExport}, batch norm folded or not.
 *
 * @param network with its weights
 * @param preprocessing as the file's metadata has it, if this project wrote it
 * @param labels likewise
 */
public record OnnxImport(
    ResNet network, Optional<Preprocessing> preprocessing, Optional<List<String>> labels) {
  /**
   * Reads a network.
   *
   * @throws OnnxException naming the first operation that does not fit into a residual network, or
   *     saying what is wrong with the file
   * @throws IOException if it cannot be read
   */
  public static OnnxImport read(Path file) throws IOException {
    OnnxModel model = OnnxFile.read(file);
    try {
      ResNet network = new Walk(model).network();
      return new OnnxImport(
          network, preprocessing(model.metadata()), labels(model.metadata(), network.spec()));
    } catch (Unfit e) {
      throw new OnnxException(file, "is no residual network: " + e.getMessage(), e);
    } catch (IllegalArgumentException e) {
      throw new OnnxException(file, "is no residual network: " + e.getMessage(), e);
    }
  }

  /** The network with its preprocessing and labels, if the file says them. */
  public Optional<Classifier> classifier() {
    return network.spec().includeTop() && preprocessing.isPresent()
        ? Optional.of(
            new Classifier(
                network,
                preprocessing.get(),
                labels.orElseGet(() -> Classifier.numbered(network.spec().numClasses()))))
        : Optional.empty();
  }

  private static Optional<Preprocessing> preprocessing(Map<String, String> metadata) {
    String text = metadata.get("preprocessing");
    try {
      return text == null
          ? Optional.empty()
          : Optional.of(Preprocessing.fromFields(JSON.std.mapFrom(text)));
    } catch (IOException | IllegalArgumentException _) {
      return Optional.empty(); // somebody else's note of that name
    }
  }

  private static Optional<List<String>> labels(Map<String, String> metadata, ResNetSpec spec) {
    String text = metadata.get("labels");
    try {
      if (text != null && JSON.std.anyFrom(text) instanceof List<?> list) {
        return Optional.of(list.stream().map(String::valueOf).toList())
            .filter(labels -> spec.includeTop() && labels.size() == spec.numClasses());
      }
    } catch (IOException _) {
      // somebody else's note of that name
    }
    return Optional.empty();
  }

  /** Something that a residual network has not. */
  private static final class Unfit extends Exception {
    private static final long serialVersionUID = 1;

    Unfit(String reason) {
      super(reason);
    }

    static Unfit at(Node node, String reason) {
      return new Unfit("%s %s".formatted(node.describe(), reason));
    }
  }

  /** A convolution with what follows it. */
  private record Unit(Node conv, Constant weight, float[] bias, @Nullable Node norm) {
    int out() {
      return Math.toIntExact(weight.shape().get(0));
    }

    int kernel() {
      return Math.toIntExact(weight.shape().get(2));
    }

    int stride() {
      List<Long> strides = conv.integers("strides");
      return strides.isEmpty() ? 1 : Math.toIntExact(strides.getFirst());
    }

    int dilation() {
      List<Long> dilations = conv.integers("dilations");
      return dilations.isEmpty() ? 1 : Math.toIntExact(dilations.getFirst());
    }
  }

  /**
   * A way from a value to a sum.
   *
   * @param padding channels of zeros before and behind; empty if the way has none
   * @param smaller how pixels become fewer beside strides; {@link Downsampling#STRIDE} if they do
   *     not
   * @param smallerAfter how many convolutions come before that
   * @param stride of the pixels that are taken
   * @param gates the convolutions of a channel attention
   */
  private record Branch(
      List<Unit> units,
      List<Integer> padding,
      Downsampling smaller,
      int smallerAfter,
      int stride,
      List<Node> gates,
      Node sum) {
    boolean pads() {
      return !padding.isEmpty();
    }

    boolean averagesFirst() {
      return smaller == Downsampling.AVERAGE && smallerAfter == 0;
    }
  }

  private record BlockFound(Branch main, Branch shortcut) {}

  /** The way through a graph, from its input to its output. */
  private static final class Walk {
    private final OnnxModel model;
    private final Map<String, Constant> constants = new HashMap<>();
    private final Map<String, List<Node>> consumers = new HashMap<>();
    private final Map<String, float[]> parameters = new HashMap<>();

    Walk(OnnxModel model) {
      this.model = model;
    }

    ResNet network() throws Unfit {
      constants.putAll(model.initializers());
      for (Node node : model.nodes()) {
        if (!node.domain().isEmpty() && !node.domain().equals("ai.onnx")) {
          throw Unfit.at(node, "is of the operators '%s'".formatted(node.domain()));
        }
        if (node.op().equals("Constant")
            && node.attributes().get("value") instanceof Attribute.Tensor tensor) {
          constants.put(node.outputs().getFirst(), tensor.value());
        } else if (node.op().equals("Identity")
            && constants.containsKey(node.inputs().getFirst())) {
          constants.put(node.outputs().getFirst(), constants.get(node.inputs().getFirst()));
        } else if (ShapeArithmetic.evaluate(node, constants).orElse(null) instanceof Constant c) {
          constants.put(node.outputs().getFirst(), c);
        } else if (!node.op().equals("Shape")) { // which looks at a value and leaves it as it is
          for (String input : Set.copyOf(node.inputs())) {
            consumers.computeIfAbsent(input, _ -> new ArrayList<>()).add(node);
          }
        }
      }
      List<String> inputs =
          model.inputs().stream()
              .map(OnnxModel.Value::name)
              .filter(name -> !constants.containsKey(name))
              .toList();
      if (inputs.size() != 1) {
        throw new Unfit("it has %d inputs, %s".formatted(inputs.size(), inputs));
      }
      String x = pastColours(inputs.getFirst());
      var stem = new ArrayList<Unit>();
      do {
        stem.add(unit(only(x), x));
        x = relu(end(stem.getLast()), stem.getLast().conv);
      } while (consumers.getOrDefault(x, List.of()).size() == 1
          && only(x).op().equals("Conv")
          && stem.size() < 4);
      List<Node> next = consumers.getOrDefault(x, List.of());
      var pooling = Downsampling.STRIDE;
      boolean pools = true;
      switch (next.size() == 1 ? next.getFirst().op() : "") {
        case "MaxPool" -> {
          Node pool = next.getFirst();
          requireInts(pool, "kernel_shape", 3);
          requireInts(pool, "pads", 1);
          x = pool.outputs().getFirst();
          List<Node> after = consumers.getOrDefault(x, List.of());
          if (after.size() == 1 && after.getFirst().op().equals("Pad")) {
            pooling = Downsampling.BLUR;
            x = blur(after.getFirst());
          }
          requireOr(pool, "strides", pooling == Downsampling.BLUR ? 1 : 2, 1);
        }
        case "AveragePool" -> {
          pooling = Downsampling.AVERAGE;
          x = average(next.getFirst(), 0);
        }
        default -> pools = false;
      }
      var blocks = new ArrayList<BlockFound>();
      while (consumers.getOrDefault(x, List.of()).size() == 2) {
        BlockFound block = block(x);
        blocks.add(block);
        x = relu(block.main.sum.outputs().getFirst(), block.main.sum);
      }
      if (blocks.isEmpty()) {
        throw Unfit.at(only(x), "where a residual block was expected");
      }
      Optional<Node> head = head(x);
      ResNetSpec spec = specification(stem, pools, pooling, blocks, head);
      fill(spec, stem, blocks, head);
      return ResNet.of(spec, state(spec));
    }

    private StateDict state(ResNetSpec spec) throws Unfit {
      var entries = new LinkedHashMap<String, Tensor>();
      for (Parameter parameter : spec.layers().parameters()) {
        float[] values = parameters.get(parameter.name());
        if (values == null && parameter.role() != Parameter.Role.COUNTER) {
          throw new Unfit("it has nothing for " + parameter.name());
        }
        if (values != null && values.length != parameter.size()) {
          throw new Unfit(
              "%s has %d numbers, expected %d"
                  .formatted(parameter.name(), values.length, parameter.size()));
        }
        entries.put(
            parameter.name(),
            values == null
                ? Tensor.zeros(parameter.extents())
                : Tensor.of(values, parameter.extents()));
      }
      return new StateDict(entries);
    }

    /** The one operation that takes a value. */
    private Node only(String value) throws Unfit {
      List<Node> found = consumers.getOrDefault(value, List.of());
      if (found.size() != 1) {
        throw new Unfit("'%s' goes to %d operations, not one".formatted(value, found.size()));
      }
      return found.getFirst();
    }

    /** Past what turns pixels into the network's input: casts, and arithmetic with constants. */
    private String pastColours(String input) throws Unfit {
      String x = input;
      while (Set.of("Cast", "Transpose", "Sub", "Mul", "Div").contains(only(x).op())) {
        x = only(x).outputs().getFirst();
      }
      return x;
    }

    private Unit unit(Node conv, String x) throws Unfit {
      if (!conv.op().equals("Conv")) {
        throw Unfit.at(conv, "where a convolution was expected");
      }
      if (conv.inputs().size() < 2 || !conv.inputs().getFirst().equals(x)) {
        throw Unfit.at(conv, "has its inputs in another order");
      }
      Constant weight = constants.get(conv.inputs().get(1));
      if (weight == null || weight.shape().size() != 4) {
        throw Unfit.at(conv, "has no constant weights of four axes");
      }
      if (!conv.text("auto_pad", "NOTSET").equals("NOTSET")) {
        throw Unfit.at(conv, "pads by itself (auto_pad)");
      }
      float[] bias = new float[Math.toIntExact(weight.shape().get(0))];
      if (conv.inputs().size() > 2) {
        Constant found = constants.get(conv.inputs().get(2));
        if (found == null || found.size() != bias.length) {
          throw Unfit.at(conv, "has a bias that is no constant of its channels");
        }
        bias = found.floats();
      }
      String y = conv.outputs().getFirst();
      List<Node> after = consumers.getOrDefault(y, List.of());
      Node norm =
          after.size() == 1 && after.getFirst().op().equals("BatchNormalization")
              ? after.getFirst()
              : null;
      if (norm != null
          && (norm.inputs().size() != 5
              || Math.abs(norm.real("epsilon", 1e-5f) - BatchNorm2d.EPS) > 1e-9)) {
        throw Unfit.at(norm, "has an epsilon other than 1e-5");
      }
      return new Unit(conv, weight, bias, norm);
    }

    private static String end(Unit unit) {
      return (unit.norm == null ? unit.conv : unit.norm).outputs().getFirst();
    }

    private String relu(String x, Node before) throws Unfit {
      List<Node> after = consumers.getOrDefault(x, List.of());
      if (after.size() != 1 || !after.getFirst().op().equals("Relu")) {
        throw after.isEmpty()
            ? Unfit.at(before, "is not followed by a ReLU")
            : Unfit.at(after.getFirst(), "where a ReLU was expected");
      }
      return after.getFirst().outputs().getFirst();
    }

    /** The two ways from x to a sum, the longer one the main branch. */
    private BlockFound block(String x) throws Unfit {
      List<Node> first = consumers.getOrDefault(x, List.of());
      Branch one = branch(first.get(0), x);
      Branch other = branch(first.get(1), x);
      if (one.sum != other.sum) {
        throw Unfit.at(one.sum, "adds what does not come from one block");
      }
      boolean swap = one.units.size() < other.units.size();
      return swap ? new BlockFound(other, one) : new BlockFound(one, other);
    }

    private Branch branch(Node from, String start) throws Unfit {
      var units = new ArrayList<Unit>();
      String x = start;
      Node at = from;
      List<Integer> padding = List.of();
      var smaller = Downsampling.STRIDE;
      int smallerAfter = 0;
      int stride = 1;
      List<Node> gates = List.of();
      while (!at.op().equals("Add")) {
        switch (at.op()) {
          case "Conv" -> {
            Unit unit = unit(at, x);
            units.add(unit);
            x = end(unit);
          }
          case "Relu", "Identity" -> x = at.outputs().getFirst();
          case "AveragePool" -> {
            smaller = Downsampling.AVERAGE;
            smallerAfter = units.size();
            x = average(at, units.isEmpty() ? 1 : 0); // the shortcut's reach the last pixel
          }
          case "Slice" -> {
            if (at.inputs().size() != 5 || !all(at, 1, 0)) {
              throw Unfit.at(at, "does not begin at pixel 0 with a constant step");
            }
            for (float step : constant(at, 4).floats()) {
              stride = Math.max(stride, (int) step);
            }
            x = at.outputs().getFirst();
          }
          case "Pad" -> {
            if (at.text("mode", "constant").equals("reflect")) {
              smaller = Downsampling.BLUR;
              smallerAfter = units.size();
              x = blur(at);
              break;
            }
            float[] pads = constant(at, 1).floats();
            boolean channels = pads.length == 8;
            for (int i = 0; channels && i < 8; i++) {
              channels = i % 4 == 1 || pads[i] == 0;
            }
            boolean zeros = at.inputs().size() < 3 || at.inputs().get(2).isEmpty() || all(at, 2, 0);
            if (!channels || !zeros || !at.text("mode", "constant").equals("constant")) {
              throw Unfit.at(at, "does not fill channels with zeros");
            }
            padding = List.of((int) pads[1], (int) pads[5]);
            x = at.outputs().getFirst();
          }
          default -> throw Unfit.at(at, "does not belong into a residual block");
        }
        if (consumers.getOrDefault(x, List.of()).size() == 2 && gates.isEmpty()) {
          gates = gates(x);
          x = weighed(x);
        }
        at = only(x);
        if (units.size() > 3) {
          throw Unfit.at(at, "ends a branch of more than three convolutions");
        }
      }
      return new Branch(units, padding, smaller, smallerAfter, stride, gates, at);
    }

    /** Past means of 2×2 pixels. */
    private static String average(Node pool, int ceil) throws Unfit {
      requireInts(pool, "kernel_shape", 2);
      requireInts(pool, "strides", 2);
      requireOr(pool, "pads", 0, 0);
      if (pool.integer("ceil_mode", 0) != ceil) {
        throw Unfit.at(pool, "has ceil_mode %d, not %d".formatted(1 - ceil, ceil));
      }
      return pool.outputs().getFirst();
    }

    /** Past a low-pass filter with stride 2: an image's mirrored border, then the same window. */
    private String blur(Node pad) throws Unfit {
      float[] pads = constant(pad, 1).floats();
      if (!pad.text("mode", "constant").equals("reflect")
          || !Arrays.equals(pads, new float[] {0, 0, 1, 1, 0, 0, 1, 1})) {
        throw Unfit.at(pad, "does not mirror one pixel around the image");
      }
      Node conv = only(pad.outputs().getFirst());
      if (!conv.op().equals("Conv")) {
        throw Unfit.at(conv, "where a blur was expected");
      }
      Constant weight = constant(conv, 1);
      float[] values = weight.floats();
      boolean binomial = weight.shape().size() == 4 && weight.shape().get(3) == 3;
      for (int i = 0; binomial && i < values.length; i++) {
        binomial = Math.abs(values[i] - BlurPool2d.weight(i % 9 / 3, i % 3) / 16f) < 1e-6;
      }
      if (!binomial
          || conv.integer("group", 1) != weight.shape().getFirst()
          || conv.inputs().size() > 2) {
        throw Unfit.at(conv, "is no blur of [1 2 1] for each channel");
      }
      requireOr(conv, "strides", 2, 1);
      requireOr(conv, "pads", 0, 0);
      return conv.outputs().getFirst();
    }

    /** Where every channel is multiplied with its gate. */
    private String weighed(String x) throws Unfit {
      for (Node node : consumers.getOrDefault(x, List.of())) {
        if (node.op().equals("Mul")) {
          return node.outputs().getFirst();
        }
      }
      throw new Unfit("'%s' goes to 2 operations, not one".formatted(x));
    }

    /** The convolutions between the means of x and the factors that it is multiplied with. */
    private List<Node> gates(String x) throws Unfit {
      String factors = weighed(x);
      Node at =
          consumers.getOrDefault(x, List.of()).stream()
              .filter(node -> !node.outputs().getFirst().equals(factors))
              .findFirst()
              .orElseThrow(() -> new Unfit("'%s' is multiplied with itself".formatted(x)));
      if (!at.op().equals("GlobalAveragePool") && !at.op().equals("ReduceMean")) {
        throw Unfit.at(at, "where the means of channels were expected");
      }
      var convolutions = new ArrayList<Node>();
      var order = new StringBuilder();
      while (!at.outputs().getFirst().equals(factors)) {
        switch (at.op()) {
          case "GlobalAveragePool", "ReduceMean", "Reshape", "Squeeze", "Unsqueeze" -> {}
          case "Flatten", "Identity", "Expand", "Transpose" -> {}
          case "Conv" -> {
            convolutions.add(at);
            order.append("conv ");
          }
          case "Relu", "Sigmoid" -> order.append(at.op()).append(' ');
          default -> throw Unfit.at(at, "does not belong into a channel attention");
        }
        at = only(at.outputs().getFirst());
      }
      String found = order.toString().trim();
      if (!found.equals("conv Relu conv Sigmoid") && !found.equals("conv Sigmoid")) {
        throw Unfit.at(at, "multiplies with what '%s' makes of means".formatted(found));
      }
      return convolutions;
    }

    private Constant constant(Node node, int input) throws Unfit {
      Constant found =
          node.inputs().size() > input ? constants.get(node.inputs().get(input)) : null;
      if (found == null) {
        throw Unfit.at(
            node, "has no constant as input %d; simplify the file first".formatted(input));
      }
      return found;
    }

    private boolean all(Node node, int input, float value) throws Unfit {
      for (float each : constant(node, input).floats()) {
        if (each != value) {
          return false;
        }
      }
      return true;
    }

    /** Pooling and the last matrix; empty if the network ends with its feature map. */
    private Optional<Node> head(String features) throws Unfit {
      String x = features;
      while (true) {
        if (model.outputs().stream().map(OnnxModel.Value::name).anyMatch(x::equals)) {
          if (x.equals(features)) {
            return Optional.empty();
          }
          throw new Unfit("'%s' is its result, before any head".formatted(x));
        }
        Node node = only(x);
        switch (node.op()) {
          case "GlobalAveragePool",
              "ReduceMean",
              "AveragePool",
              "Flatten",
              "Reshape",
              "Squeeze",
              "Cast" ->
              x = node.outputs().getFirst();
          case "Gemm" -> {
            if (node.real("alpha", 1) != 1
                || node.real("beta", 1) != 1
                || node.inputs().size() != 3) {
              throw Unfit.at(node, "is no plain linear layer");
            }
            return Optional.of(node);
          }
          case "MatMul" -> {
            return Optional.of(node);
          }
          default -> {
            boolean last = x.equals(features) && node.op().equals("Identity");
            if (!last) {
              throw Unfit.at(node, "where the head was expected");
            }
            x = node.outputs().getFirst();
          }
        }
      }
    }

    private static void requireInts(Node node, String attribute, long value) throws Unfit {
      List<Long> found = node.integers(attribute);
      if (found.isEmpty() || found.stream().anyMatch(each -> each != value)) {
        throw Unfit.at(node, "has %s %s, not %d".formatted(attribute, found, value));
      }
    }

    private ResNetSpec specification(
        List<Unit> stem,
        boolean pools,
        Downsampling pooling,
        List<BlockFound> blocks,
        Optional<Node> head)
        throws Unfit {
      int convolutions = blocks.getFirst().main.units.size();
      if (convolutions != 2 && convolutions != 3) {
        throw Unfit.at(
            blocks.getFirst().main.sum, "ends a block of %d convolutions".formatted(convolutions));
      }
      var stages = new ArrayList<Integer>();
      var dilated = new ArrayList<Boolean>();
      boolean first1x1 = false;
      Shortcut shortcut = Shortcut.PROJECTION;
      int dilation = 1;
      for (BlockFound block : blocks) {
        List<Unit> units = block.main.units;
        if (units.size() != convolutions) {
          throw Unfit.at(block.main.sum, "ends a block of another kind than the first");
        }
        boolean changes = !block.shortcut.units.isEmpty() || block.shortcut.pads();
        if (block.shortcut.pads()) {
          shortcut = Shortcut.ZERO_PAD;
        } else if (block.shortcut.averagesFirst()) {
          shortcut = Shortcut.AVERAGE_POOL;
        }
        if (changes && !stages.isEmpty()) {
          int stride = units.stream().mapToInt(Unit::stride).max().orElse(1);
          dilated.add(stride == 1 && block.main.smaller == Downsampling.STRIDE);
          stages.add(0);
          first1x1 |= convolutions == 3 && units.getFirst().stride() > 1;
        } else if (stages.isEmpty()) {
          stages.add(0);
        }
        stages.set(stages.size() - 1, stages.getLast() + 1);
        dilation = Math.max(dilation, units.get(convolutions - 2).dilation());
      }
      int channels = stem.getLast().out();
      var builder =
          ResNetSpec.builder(
                  convolutions == 3 ? Block.BOTTLENECK : Block.BASIC,
                  stages.toArray(Integer[]::new))
              .channels(channels)
              .inChannels(Math.toIntExact(stem.getFirst().weight.shape().get(1)))
              .stem(stem(stem, pools))
              .downsampling(pooling)
              .attention(attention(blocks.getFirst().main))
              .shortcut(shortcut)
              .stridePlacement(first1x1 ? StridePlacement.FIRST_1X1 : StridePlacement.ON_3X3)
              .dilated(dilated);
      if (convolutions == 3) {
        Unit inner = blocks.getFirst().main.units.get(1);
        int groups = Math.toIntExact(inner.conv.integer("group", 1));
        int width = inner.out();
        builder
            .groups(groups)
            .widthPerGroup(Math.ceilDiv(width / Math.max(1, groups) * 64, channels));
      }
      if (head.isEmpty()) {
        builder.includeTop(false);
      } else {
        Constant weight = headWeight(head.get());
        int axis = isTransposed(head.get()) ? 0 : 1;
        builder.numClasses(Math.toIntExact(weight.shape().get(axis)));
      }
      return builder.build();
    }

    private Attention attention(Branch main) throws Unfit {
      return switch (main.gates.size()) {
        case 0 -> Attention.NONE;
        case 1 -> Attention.EFFICIENT;
        default -> {
          List<Long> squeeze = constant(main.gates.getFirst(), 1).shape();
          yield squeeze.get(0) * 8 > squeeze.get(1)
              ? Attention.SQUEEZE_EXCITE_QUARTER
              : Attention.SQUEEZE_EXCITE;
        }
      };
    }

    private static Stem stem(List<Unit> units, boolean pools) throws Unfit {
      if (units.size() == 1) {
        return pools ? Stem.IMAGENET : Stem.SMALL_IMAGE;
      }
      List<Integer> widths = units.stream().map(Unit::out).toList();
      if (!pools && widths.size() == 4 && widths.get(2).equals(widths.get(3))) {
        return Stem.DEEP_STRIDED;
      }
      for (Stem stem : List.of(Stem.DEEP, Stem.DEEP_TIERED)) {
        if (pools && stem.widths(widths.getLast()).equals(widths)) {
          return stem;
        }
      }
      throw Unfit.at(
          units.getFirst().conv, "begins a stem of convolutions to %s channels".formatted(widths));
    }

    private Constant headWeight(Node node) throws Unfit {
      Constant weight = node.inputs().size() > 1 ? constants.get(node.inputs().get(1)) : null;
      if (weight == null || weight.shape().size() != 2) {
        throw Unfit.at(node, "has no constant weights of two axes");
      }
      return weight;
    }

    private static boolean isTransposed(Node node) {
      return node.op().equals("Gemm") && node.integer("transB", 0) == 1;
    }

    // --- weights --------------------------------------------------------------------------------

    private void fill(
        ResNetSpec spec, List<Unit> stem, List<BlockFound> blocks, Optional<Node> head)
        throws Unfit {
      var found = new ArrayList<>(blocks);
      var begin = new ArrayList<>(stem);
      List<Layer> layers = spec.layers().layers();
      for (Layer layer : layers) {
        switch (layer) {
          case Conv2d conv ->
              take(conv, layers.get(layers.indexOf(conv) + 1).name(), begin.removeFirst());
          case Sequential stage -> {
            for (Layer each : stage.layers()) {
              if (each instanceof Residual residual) {
                fill(residual, found.removeFirst());
              }
            }
          }
          case Linear linear -> fill(linear, head.orElseThrow());
          default -> {}
        }
      }
    }

    private void fill(Residual block, BlockFound found) throws Unfit {
      List<Conv2d> convolutions = block.convolutions();
      for (int i = 0; i < convolutions.size(); i++) {
        take(convolutions.get(i), block.name() + ".bn" + (i + 1), found.main.units.get(i));
      }
      Downsampling smaller = Downsampling.STRIDE;
      for (Layer layer : block.main().layers()) {
        switch (layer) {
          case BlurPool2d _ -> smaller = Downsampling.BLUR;
          case AvgPool2d _ -> smaller = Downsampling.AVERAGE;
          default -> {}
        }
      }
      takeGates(block.main().layers().getLast(), found.main);
      if (found.main.smaller != smaller
          || (smaller != Downsampling.STRIDE
              && found.main.smallerAfter != convolutions.size() - 1)) {
        throw Unfit.at(found.main.sum, "has fewer pixels in another way than " + smaller);
      }
      if (block.shortcut() instanceof Sequential projection) {
        if (found.shortcut.units.size() != 1) {
          throw Unfit.at(found.main.sum, "lacks the projection of its shortcut");
        }
        List<Layer> layers = projection.layers();
        if (found.shortcut.averagesFirst() != layers.getFirst() instanceof AvgPool2d) {
          throw Unfit.at(found.main.sum, "averages in some shortcuts only");
        }
        take(
            (Conv2d) layers.get(layers.size() - 2),
            layers.getLast().name(),
            found.shortcut.units.getFirst());
      } else if (block.shortcut() instanceof SubsampleAndPad pad && found.shortcut.pads()) {
        List<Integer> padding = found.shortcut.padding;
        int before = (pad.channels() - convolutions.getFirst().inChannels()) / 2;
        if (found.shortcut.stride != pad.stride()
            || padding.getFirst() != before
            || convolutions.getFirst().inChannels() + before + padding.getLast()
                != pad.channels()) {
          throw Unfit.at(found.main.sum, "has a shortcut of other pixels or channels");
        }
      } else if (!found.shortcut.units.isEmpty() || found.shortcut.pads()) {
        throw Unfit.at(found.main.sum, "has a shortcut where the identity was expected");
      }
    }

    /** The numbers of a channel attention, if that is what a block ends with. */
    private void takeGates(Layer last, Branch main) throws Unfit {
      boolean expected = last instanceof SqueezeExcite || last instanceof EfficientAttention;
      List<Parameter> wanted = expected ? last.parameters() : List.of();
      int inputs = last instanceof EfficientAttention ? 1 : 2; // without and with bias
      if (main.gates.size() * inputs != wanted.size()) {
        throw Unfit.at(main.sum, "ends a block with another attention than the first");
      }
      for (int i = 0; i < wanted.size(); i++) {
        Node conv = main.gates.get(i / inputs);
        Constant found = constant(conv, 1 + i % inputs);
        List<Long> shape = wanted.get(i).shape().stream().map(Long::valueOf).toList();
        if (!found.shape().equals(shape)) {
          throw Unfit.at(
              conv,
              "has %s, expected %s of %s".formatted(found.shape(), shape, wanted.get(i).name()));
        }
        requireOr(conv, "strides", 1, 1);
        requireOr(conv, "pads", last instanceof EfficientAttention e ? e.kernel() / 2 : 0, 0);
        parameters.put(wanted.get(i).name(), found.floats());
      }
    }

    /** Checks that a convolution is the one of the specification, and takes its numbers. */
    private void take(Conv2d conv, String norm, Unit unit) throws Unfit {
      List<Long> wanted = conv.weight().shape().stream().map(Long::valueOf).toList();
      if (!unit.weight.shape().equals(wanted)) {
        throw Unfit.at(
            unit.conv,
            "has weights %s, expected %s of %s"
                .formatted(unit.weight.shape(), wanted, conv.name()));
      }
      if (unit.conv.integer("group", 1) != conv.groups()) {
        throw Unfit.at(unit.conv, "has another number of groups than " + conv.groups());
      }
      requireOr(unit.conv, "strides", conv.stride(), 1);
      requireOr(unit.conv, "dilations", conv.dilation(), 1);
      requireOr(unit.conv, "pads", conv.padding(), 0);
      parameters.put(conv.weight().name(), unit.weight.floats());
      float[] bias = unit.bias;
      if (unit.norm == null) { // as if batch norm did nothing but add the bias
        parameters.put(norm + ".weight", filled(bias.length, 1));
        parameters.put(norm + ".bias", bias);
        parameters.put(norm + ".running_mean", new float[bias.length]);
        parameters.put(norm + ".running_var", filled(bias.length, (float) (1 - BatchNorm2d.EPS)));
        return;
      }
      List<String> names = List.of("weight", "bias", "running_mean", "running_var");
      for (int i = 0; i < names.size(); i++) {
        Constant constant = constants.get(unit.norm.inputs().get(i + 1));
        if (constant == null || constant.size() != bias.length) {
          throw Unfit.at(unit.norm, "has no constant " + names.get(i));
        }
        parameters.put(norm + "." + names.get(i), constant.floats());
      }
      float[] mean = parameters.getOrDefault(norm + ".running_mean", bias);
      float[] shifted = new float[bias.length];
      for (int i = 0; i < shifted.length; i++) {
        shifted[i] = mean[i] - bias[i];
      }
      parameters.put(norm + ".running_mean", shifted);
    }

    private static void requireOr(Node node, String attribute, long value, long otherwise)
        throws Unfit {
      if (node.integers(attribute).isEmpty() ? value != otherwise : true) {
        requireInts(node, attribute, value);
      }
    }

    private static float[] filled(int length, float value) {
      float[] values = new float[length];
      Arrays.fill(values, value);
      return values;
    }

    private void fill(Linear linear, Node node) throws Unfit {
      Constant weight = headWeight(node);
      float[] values = weight.floats();
      if (!isTransposed(node)) {
        values = transposed(values, linear.in(), linear.out(), node);
      }
      parameters.put(linear.weight().name(), values);
      String bias = node.op().equals("Gemm") ? node.inputs().get(2) : addedAfter(node);
      Constant found = constants.get(bias);
      if (found == null || found.size() != linear.out()) {
        throw Unfit.at(node, "has no constant bias of %d classes".formatted(linear.out()));
      }
      parameters.put(linear.bias().name(), found.floats());
    }

    private static float[] transposed(float[] values, int in, int out, Node node) throws Unfit {
      if (values.length != (long) in * out) {
        throw Unfit.at(node, "has %d weights, expected %d × %d".formatted(values.length, in, out));
      }
      float[] turned = new float[values.length];
      IntStream.range(0, values.length).forEach(i -> turned[i % out * in + i / out] = values[i]);
      return turned;
    }

    private String addedAfter(Node product) throws Unfit {
      Node sum = only(product.outputs().getFirst());
      if (!sum.op().equals("Add")) {
        throw Unfit.at(sum, "where the head's bias was expected");
      }
      return sum.inputs().getFirst().equals(product.outputs().getFirst())
          ? sum.inputs().get(1)
          : sum.inputs().get(0);
    }
  }
}
