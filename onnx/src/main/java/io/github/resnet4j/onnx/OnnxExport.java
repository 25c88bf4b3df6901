package io.github.resnet4j.onnx;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.nn.FoldedNorm;
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
import io.github.resnet4j.nn.WeightStandardization;
import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Writes models as ONNX files, with one operation per layer and constants named as in the
 * state_dict.
 *
 * <pre>{@code
 * OnnxExport.write(model, Path.of("model.onnx"));
 * var options = OnnxExport.Options.defaults().withDynamicBatch().withFloat16();
 * OnnxExport.write(model, Path.of("half.onnx"), options);
 * }</pre>
 */
public final class OnnxExport {
  private OnnxExport() {}

  /**
   * The options of an export. Immutable; by default opset {@value #DEFAULT_OPSET}, a batch of one
   * image, float32, batch norm not folded, and an input of preprocessed images {@code [N, C, H,
   * W]}.
   */
  public static final class Options {
    /** The operator set that all current runtimes support. */
    public static final int DEFAULT_OPSET = 17;

    private static final int MIN_OPSET = 13;
    private static final int MAX_OPSET = 23;

    private enum Choice {
      DYNAMIC_BATCH,
      FLOAT16,
      FOLDED_BATCH_NORM,
      PREPROCESSING
    }

    private final int opset;
    private final Set<Choice> choices;

    private Options(int opset, Set<Choice> choices) {
      this.opset = opset;
      this.choices = choices;
    }

    /** The default options. */
    public static Options defaults() {
      return new Options(DEFAULT_OPSET, Set.of());
    }

    private Options with(Choice choice) {
      var more = new HashSet<>(choices);
      more.add(choice);
      return new Options(opset, Set.copyOf(more));
    }

    private boolean has(Choice choice) {
      return choices.contains(choice);
    }

    /**
     * Sets the version of ONNX's operators.
     *
     * @param version 13 to 23
     * @throws IllegalArgumentException if it is out of range
     */
    public Options withOpset(int version) {
      if (version < MIN_OPSET || version > MAX_OPSET) {
        throw new IllegalArgumentException(
            "the opset must be %d to %d, was %d".formatted(MIN_OPSET, MAX_OPSET, version));
      }
      return new Options(version, choices);
    }

    /** Leaves the batch size open; otherwise it is 1. */
    public Options withDynamicBatch() {
      return with(Choice.DYNAMIC_BATCH);
    }

    /**
     * The network computes in float16, so the file is half as large; input and output stay float32.
     */
    public Options withFloat16() {
      return with(Choice.FLOAT16);
    }

    /** Batch norm becomes part of the convolutions. */
    public Options withFoldedBatchNorm() {
      return with(Choice.FOLDED_BATCH_NORM);
    }

    /**
     * The graph scales and normalizes its input, which then is the pixels of a resized and cropped
     * image, {@code uint8 [N, H, W, C]}.
     */
    public Options withPreprocessing() {
      return with(Choice.PREPROCESSING);
    }
  }

  /** Writes a model with {@linkplain Options#defaults() default options}. */
  public static void write(Model model, Path file) throws IOException {
    write(model, file, Options.defaults());
  }

  /**
   * Writes a model. Its preprocessing and labels become metadata: {@code preprocessing} and {@code
   * labels}, both JSON. A network without a head gives the feature map of its last stage.
   *
   * @throws IOException if the file cannot be written; it is written atomically
   */
  public static void write(Model model, Path file, Options options) throws IOException {
    var preprocessing = model.preprocessing();
    var metadata = new LinkedHashMap<String, String>();
    metadata.put("preprocessing", JSON.std.asString(preprocessing.toFields()));
    metadata.put("labels", JSON.std.asString(model.labels()));
    var shape =
        new Shape(preprocessing.channels(), preprocessing.cropHeight(), preprocessing.cropWidth());
    OnnxWriter.write(
        new Graph(model.network().layers(), model.network().state(), preprocessing, options)
            .model(shape, List.of(), metadata),
        file);
  }

  /**
   * Writes a network without preprocessing and labels.
   *
   * @param image the shape of the input
   * @throws IllegalArgumentException if the options include preprocessing
   */
  public static void write(ResNet network, Shape image, Path file, Options options)
      throws IOException {
    if (options.has(Options.Choice.PREPROCESSING)) {
      throw new IllegalArgumentException(
          "a network without preprocessing cannot be exported with preprocessing; export a model");
    }
    var graph = new Graph(network.layers(), network.state(), null, options);
    OnnxWriter.write(graph.model(image, List.of(), Map.of()), file);
  }

  /**
   * A network as an ONNX file in memory outside of the heap, with a dynamic batch size, for a
   * runtime in the same process. Its outputs are the results of the tapped layers, named {@code
   * tap.0}, {@code tap.1}, and last the network's own.
   *
   * @param image the shape of the input
   * @param taps names of layers
   * @param arena frees the memory
   * @throws IllegalArgumentException if there is no layer of such a name
   * @throws IOException if the file would be larger than 2 GB
   */
  public static ByteBuffer inMemory(
      Sequential layers, StateDict state, Shape image, List<String> taps, Arena arena)
      throws IOException {
    var graph = new Graph(layers, state, null, Options.defaults().withDynamicBatch());
    return OnnxWriter.write(graph.model(image, taps, Map.of()), arena);
  }

  /** Builds the graph. */
  private static final class Graph {
    private final Sequential layers;
    private final @Nullable Preprocessing preprocessing;
    private final Options options;
    private final boolean half;
    private final StateDict state;
    private final List<Node> nodes = new ArrayList<>();
    private final SequencedMap<String, Constant> constants = new LinkedHashMap<>();
    private final List<Value> values = new ArrayList<>();

    /** The results of the layers, by the layer's name; they have the names of the values. */
    private final Map<String, Value> results = new LinkedHashMap<>();

    Graph(
        Sequential layers,
        StateDict state,
        @Nullable Preprocessing preprocessing,
        Options options) {
      this.layers = layers;
      this.options = options;
      this.half = options.has(Options.Choice.FLOAT16);
      this.preprocessing = preprocessing;
      this.state = state;
    }

    private String batch() {
      return options.has(Options.Choice.DYNAMIC_BATCH) ? "N" : "1";
    }

    private Type type() {
      return half ? Type.FLOAT16 : Type.FLOAT;
    }

    OnnxModel model(Shape image, List<String> taps, Map<String, String> metadata) {
      var shaped = ShapedLayer.of(layers, image);
      String at = begin(image);
      at = add(shaped, at);
      Shape result = shaped.output();
      boolean vector = isVector(layers.layers().getLast());
      if (half) {
        String result16 = at;
        at = node("Cast", "output_cast", List.of(result16), Map.of("to", new Attribute.Int(1)));
      }
      // Rename the output of the last operation.
      String name = vector ? "logits" : "features";
      Node last = nodes.removeLast();
      nodes.add(
          new Node(
              last.op(),
              last.domain(),
              last.name(),
              last.inputs(),
              List.of(name),
              last.attributes()));
      String formerName = last.outputs().getFirst();
      values.removeIf(value -> value.name().equals(formerName));
      var outputs = new ArrayList<Value>();
      for (String tap : taps) {
        Value value = results.get(tap);
        if (value == null) {
          throw new IllegalArgumentException("the network has no layer '" + tap + "'");
        }
        String from = value.name().equals(formerName) ? name : value.name();
        String output = node("Identity", "tap." + outputs.size(), List.of(from), Map.of());
        outputs.add(new Value(output, type(), value.shape()));
      }
      outputs.add(new Value(name, Type.FLOAT, extents(result, vector)));
      Value input =
          options.has(Options.Choice.PREPROCESSING)
              ? new Value(
                  "pixels",
                  Type.UINT8,
                  List.of(
                      batch(),
                      String.valueOf(image.height()),
                      String.valueOf(image.width()),
                      String.valueOf(image.channels())))
              : new Value("images", Type.FLOAT, extents(image, false));
      return new OnnxModel(
          options.opset,
          "resnet4j",
          "resnet",
          List.copyOf(nodes),
          constants,
          List.of(input),
          outputs,
          List.copyOf(values),
          metadata);
    }

    private List<String> extents(Shape shape, boolean vector) {
      return vector
          ? List.of(batch(), String.valueOf(shape.channels()))
          : List.of(
              batch(),
              String.valueOf(shape.channels()),
              String.valueOf(shape.height()),
              String.valueOf(shape.width()));
    }

    /** Adds the operations before the network: normalization and the cast to float16. */
    private String begin(Shape image) {
      String at = "images";
      Preprocessing known = preprocessing;
      if (options.has(Options.Choice.PREPROCESSING) && known != null) {
        at = node("Cast", "pixels_float", List.of("pixels"), Map.of("to", new Attribute.Int(1)));
        at =
            node(
                "Transpose",
                "pixels_nchw",
                List.of(at),
                Map.of("perm", new Attribute.Ints(List.of(0L, 3L, 1L, 2L))));
        constants.put("preprocessing.scale", Constant.of(new float[] {255}, false, new long[0]));
        at = node("Div", "pixels_scaled", List.of(at, "preprocessing.scale"), Map.of());
        float[] mean = new float[image.channels()];
        float[] std = new float[image.channels()];
        for (int c = 0; c < mean.length; c++) {
          mean[c] = known.mean().get(c);
          std[c] = known.std().get(c);
        }
        constants.put("preprocessing.mean", Constant.of(mean, false, 1, mean.length, 1, 1));
        constants.put("preprocessing.std", Constant.of(std, false, 1, std.length, 1, 1));
        at = node("Sub", "pixels_centred", List.of(at, "preprocessing.mean"), Map.of());
        at = node("Div", "images", List.of(at, "preprocessing.std"), Map.of());
      }
      return half
          ? node("Cast", "images_half", List.of(at), Map.of("to", new Attribute.Int(10)))
          : at;
    }

    private String node(
        String op, String output, List<String> inputs, Map<String, Attribute> attributes) {
      nodes.add(new Node(op, "", output, inputs, List.of(output), attributes));
      return output;
    }

    /** Adds a node and the shape of its output, which viewers show. */
    private String node(
        String op,
        String output,
        List<String> inputs,
        Map<String, Attribute> attributes,
        Shape shape) {
      values.add(new Value(output, type(), extents(shape, false)));
      return node(op, output, inputs, attributes);
    }

    /** Adds a constant from the state_dict, with its name. */
    private String constant(String name) {
      Tensor tensor = state.get(name);
      constants.put(name, Constant.of(tensor.data(), half, toLongs(tensor.shape())));
      return name;
    }

    /** Adds a convolution's weights, standardized if it uses them so. */
    private String weights(Conv2d conv) {
      String name = conv.weight().name();
      constants.put(
          name,
          Constant.of(
              WeightStandardization.weights(conv, state), half, toLongs(conv.weight().extents())));
      return name;
    }

    private static long[] toLongs(int[] shape) {
      long[] extents = new long[shape.length];
      for (int i = 0; i < shape.length; i++) {
        extents[i] = shape[i];
      }
      return extents;
    }

    private static Attribute twice(long value) {
      return new Attribute.Ints(List.of(value, value));
    }

    private static Attribute around(long value) {
      return new Attribute.Ints(List.of(value, value, value, value));
    }

    private static boolean isVector(Layer layer) {
      return layer instanceof GlobalAveragePool || layer instanceof Linear;
    }

    /** Adds a layer with the input {@code x}; returns the name of its output. */
    private String add(ShapedLayer shaped, String x) {
      String at = operations(shaped, x);
      Layer layer = shaped.layer();
      results.put(layer.name(), new Value(at, type(), extents(shaped.output(), isVector(layer))));
      return at;
    }

    private String operations(ShapedLayer shaped, String x) {
      String name = shaped.layer().name();
      return switch (shaped.layer()) {
        case Sequential _ -> sequence(shaped.children(), x);
        case Residual _ -> {
          String main = add(shaped.children().get(0), x);
          String shortcut = add(shaped.children().get(1), x);
          String sum =
              node("Add", name + ".add", List.of(main, shortcut), Map.of(), shaped.output());
          yield node("Relu", name + ".relu", List.of(sum), Map.of(), shaped.output());
        }
        case PreActivation block -> {
          // The children are the shortcut, the activation and the main branch.
          String activated = add(shaped.children().get(1), x);
          String main = add(shaped.children().get(2), activated);
          String shortcut = add(shaped.children().get(0), block.isIdentityBlock() ? x : activated);
          yield node("Add", name + ".add", List.of(main, shortcut), Map.of(), shaped.output());
        }
        case Conv2d conv -> convolution(conv, x, List.of(weights(conv)), shaped);
        case BatchNorm2d norm ->
            node(
                "BatchNormalization",
                name,
                List.of(
                    x,
                    constant(name + ".weight"),
                    constant(name + ".bias"),
                    constant(name + ".running_mean"),
                    constant(name + ".running_var")),
                Map.of("epsilon", new Attribute.Real((float) BatchNorm2d.EPS)),
                shaped.output());
        case GroupNorm norm -> groupNorm(norm, x, shaped.output());
        case Relu _ -> node("Relu", name, List.of(x), Map.of(), shaped.output());
        case MaxPool2d pool -> {
          var attributes = new LinkedHashMap<String, Attribute>();
          attributes.put("kernel_shape", twice(pool.kernel()));
          attributes.put("strides", twice(pool.stride()));
          attributes.put("pads", around(pool.padding()));
          if (!pool.zeros()) {
            yield node("MaxPool", name, List.of(x), attributes, shaped.output());
          }
          // Not a Pad before it: ONNX Runtime fuses both into a pooling that ignores the border.
          String inner = node("MaxPool", name + ".inner", List.of(x), attributes);
          int height = shaped.output().height();
          int width = shaped.output().width();
          constants.put(
              name + ".rows", border(pool, shaped.input().height(), height, 1, 1, height, 1));
          constants.put(
              name + ".columns", border(pool, shaped.input().width(), width, 1, 1, 1, width));
          yield node(
              "Max",
              name,
              List.of(inner, name + ".rows", name + ".columns"),
              Map.of(),
              shaped.output());
        }
        case SqueezeExcite attention -> {
          String mean = node("GlobalAveragePool", name + ".mean", List.of(x), Map.of());
          String first = dense(name + ".fc1", mean);
          String open = node("Relu", name + ".act", List.of(first), Map.of());
          String second = dense(name + ".fc2", open);
          yield gated(attention.name(), x, second, shaped.output());
        }
        case EfficientAttention attention -> {
          // The channel means as a row of pixels, for a convolution over neighbouring channels.
          String mean = node("GlobalAveragePool", name + ".mean", List.of(x), Map.of());
          constants.put(name + ".as_row", Constant.of(0, 1, -1));
          constants.put(name + ".as_channels", Constant.of(0, -1, 1, 1));
          String row = node("Reshape", name + ".row", List.of(mean, name + ".as_row"), Map.of());
          int half = attention.kernel() / 2;
          String near =
              node(
                  "Conv",
                  name + ".conv",
                  List.of(row, constant(attention.weight().name())),
                  Map.of("pads", new Attribute.Ints(List.of((long) half, (long) half))));
          String back =
              node("Reshape", name + ".back", List.of(near, name + ".as_channels"), Map.of());
          yield gated(attention.name(), x, back, shaped.output());
        }
        case AvgPool2d pool -> {
          var attributes = new LinkedHashMap<String, Attribute>();
          attributes.put("kernel_shape", twice(pool.kernel()));
          attributes.put("strides", twice(pool.stride()));
          boolean zeros = pool.edge() == AvgPool2d.Edge.ZEROS;
          long after = zeros ? pool.kernel() - pool.stride() : 0;
          attributes.put("pads", new Attribute.Ints(List.of(0L, 0L, after, after)));
          attributes.put(
              "ceil_mode", new Attribute.Int(pool.edge() == AvgPool2d.Edge.PARTIAL ? 1 : 0));
          attributes.put("count_include_pad", new Attribute.Int(zeros ? 1 : 0));
          yield node("AveragePool", name, List.of(x), attributes, shaped.output());
        }
        case BlurPool2d pool -> {
          int channels = shaped.input().channels();
          constants.put(name + ".pads", Constant.of(0, 0, 1, 1, 0, 0, 1, 1));
          constants.put(name + ".filt", binomial(channels));
          String mirrored =
              node(
                  "Pad",
                  name + ".pad",
                  List.of(x, name + ".pads"),
                  Map.of("mode", new Attribute.Text("reflect")));
          var attributes = new LinkedHashMap<String, Attribute>();
          attributes.put("kernel_shape", twice(3));
          attributes.put("strides", twice(pool.stride()));
          attributes.put("group", new Attribute.Int(channels));
          yield node("Conv", name, List.of(mirrored, name + ".filt"), attributes, shaped.output());
        }
        case GlobalAveragePool _ -> {
          String pooled = node("GlobalAveragePool", name, List.of(x), Map.of(), shaped.output());
          yield node(
              "Flatten", name + ".flatten", List.of(pooled), Map.of("axis", new Attribute.Int(1)));
        }
        case Linear linear -> {
          float[] weight = state.get(linear.weight().name()).data();
          constants.put(
              linear.weight().name(), Constant.of(weight, half, linear.out(), linear.in()));
          yield node(
              "Gemm",
              name,
              List.of(x, linear.weight().name(), constant(linear.bias().name())),
              Map.of("transB", new Attribute.Int(1)));
        }
        case Identity _ -> x;
        case SubsampleAndPad pad -> {
          int channels = shaped.input().channels();
          int before = (pad.channels() - channels) / 2;
          int after = pad.channels() - channels - before;
          constants.put(name + ".starts", Constant.of(0, 0));
          constants.put(name + ".ends", Constant.of(Integer.MAX_VALUE, Integer.MAX_VALUE));
          constants.put(name + ".axes", Constant.of(2, 3));
          constants.put(name + ".steps", Constant.of(pad.stride(), pad.stride()));
          constants.put(name + ".pads", Constant.of(0, before, 0, 0, 0, after, 0, 0));
          String some =
              node(
                  "Slice",
                  name + ".slice",
                  List.of(x, name + ".starts", name + ".ends", name + ".axes", name + ".steps"),
                  Map.of());
          yield node("Pad", name, List.of(some, name + ".pads"), Map.of(), shaped.output());
        }
      };
    }

    /**
     * Adds a group norm as PyTorch exports it: instance norm of the groups, then the weights of the
     * channels.
     */
    private String groupNorm(GroupNorm norm, String x, Shape shape) {
      String name = norm.name();
      int groups = norm.groups();
      int channels = norm.channels();
      float[] ones = new float[groups];
      Arrays.fill(ones, 1);
      constants.put(name + ".ones", Constant.of(ones, half, groups));
      constants.put(name + ".zeros", Constant.of(new float[groups], half, groups));
      constants.put(name + ".as_groups", Constant.of(0, groups, -1));
      constants.put(name + ".as_image", Constant.of(0, channels, shape.height(), shape.width()));
      for (Parameter parameter : norm.parameters()) {
        float[] values = state.get(parameter.name()).data();
        constants.put(parameter.name(), Constant.of(values, half, channels, 1, 1));
      }
      String grouped =
          node("Reshape", name + ".grouped", List.of(x, name + ".as_groups"), Map.of());
      String normal =
          node(
              "InstanceNormalization",
              name + ".normal",
              List.of(grouped, name + ".ones", name + ".zeros"),
              Map.of("epsilon", new Attribute.Real((float) GroupNorm.EPS)));
      String image =
          node("Reshape", name + ".image", List.of(normal, name + ".as_image"), Map.of());
      String weighed =
          node("Mul", name + ".weighed", List.of(image, norm.weight().name()), Map.of());
      return node("Add", name, List.of(weighed, norm.bias().name()), Map.of(), shape);
    }

    /** Zeros for windows that extend beyond the edge of an axis, the lowest number for others. */
    private Constant border(MaxPool2d pool, int extent, int windows, long... shape) {
      float[] values = new float[windows];
      for (int i = 0; i < windows; i++) {
        int first = i * pool.stride() - pool.padding();
        boolean beyond = first < 0 || first + pool.kernel() > extent;
        values[i] = beyond ? 0 : half ? -65504 : -Float.MAX_VALUE;
      }
      return Constant.of(values, half, shape);
    }

    /** Returns the blur filter, repeated for every channel. */
    private Constant binomial(int channels) {
      float[] weights = new float[channels * 9];
      for (int i = 0; i < weights.length; i++) {
        weights[i] = BlurPool2d.weight(i % 9 / 3, i % 3) / 16f;
      }
      return Constant.of(weights, half, channels, 1, 3, 3);
    }

    private String dense(String name, String x) {
      return node(
          "Conv", name, List.of(x, constant(name + ".weight"), constant(name + ".bias")), Map.of());
    }

    private String gated(String name, String x, String before, Shape shape) {
      String gates = node("Sigmoid", name + ".gate", List.of(before), Map.of());
      return node("Mul", name, List.of(x, gates), Map.of(), shape);
    }

    /**
     * Adds layers in sequence; batch norm is folded into the preceding convolution if requested.
     */
    private String sequence(List<ShapedLayer> layers, String x) {
      String at = x;
      for (int i = 0; i < layers.size(); i++) {
        if (options.has(Options.Choice.FOLDED_BATCH_NORM)
            && layers.get(i).layer() instanceof Conv2d conv
            && i + 1 < layers.size()
            && layers.get(i + 1).layer() instanceof BatchNorm2d norm) {
          at = folded(conv, norm, at, layers.get(i));
          i++;
        } else {
          at = add(layers.get(i), at);
        }
      }
      return at;
    }

    private String convolution(Conv2d conv, String x, List<String> constants, ShapedLayer shaped) {
      var inputs = new ArrayList<>(List.of(x));
      inputs.addAll(constants);
      var attributes = new LinkedHashMap<String, Attribute>();
      attributes.put("kernel_shape", twice(conv.kernel()));
      attributes.put("strides", twice(conv.stride()));
      attributes.put("pads", around(conv.padding()));
      attributes.put("dilations", twice(conv.dilation()));
      attributes.put("group", new Attribute.Int(conv.groups()));
      return node("Conv", conv.name(), inputs, attributes, shaped.output());
    }

    private String folded(Conv2d conv, BatchNorm2d norm, String x, ShapedLayer shaped) {
      Tensor weight = state.get(conv.weight().name());
      FoldedNorm folded = FoldedNorm.of(norm, state);
      float[] values = weight.data().clone();
      float[] bias = new float[conv.outChannels()];
      int each = values.length / bias.length;
      for (int o = 0; o < bias.length; o++) {
        bias[o] = (float) folded.bias()[o];
        for (int i = o * each; i < (o + 1) * each; i++) {
          values[i] = (float) (values[i] * folded.factor()[o]);
        }
      }
      String weightName = conv.weight().name();
      String biasName = conv.name() + ".bias";
      constants.put(weightName, Constant.of(values, half, toLongs(weight.shape())));
      constants.put(biasName, Constant.of(bias, half, bias.length));
      return convolution(conv, x, List.of(weightName, biasName), shaped);
    }
  }
}
