package io.github.resnet4j.onnx;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.UnknownFieldSet;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.onnx.OnnxModel.Attribute;
import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import io.github.resnet4j.onnx.OnnxModel.Type;
import io.github.resnet4j.onnx.OnnxModel.Value;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Operations around and between the layers of a network: the imported network gives the result of
 * ONNX Runtime, or the import is rejected with the name of the node.
 */
class OnnxImportTest {

  /** For float32 sums of thousands of terms in another order. */
  private static final double TOLERANCE = 1e-4;

  private static final Map<String, Attribute> NONE = Map.of();

  @TempDir private Path folder;
  private Path file = Path.of("");

  @BeforeEach
  void nameFile() {
    file = folder.resolve("x.onnx");
  }

  /** A mutable graph. */
  private static final class Graph {
    private final List<Node> nodes;
    private final SequencedMap<String, Constant> constants;
    private Value input;
    private final List<Value> outputs;
    private int opset = 17;

    Graph(OnnxModel model) {
      nodes = new ArrayList<>(model.nodes());
      constants = new LinkedHashMap<>(model.initializers());
      input = model.inputs().getFirst();
      outputs = new ArrayList<>(model.outputs());
    }

    String constant(String name, Constant value) {
      constants.put(name, value);
      return name;
    }

    String numbers(String name, float... values) {
      return constant(name, Constant.of(values, false, 1, values.length, 1, 1));
    }

    String number(String name, float value) {
      return constant(name, Constant.of(new float[] {value}, false, new long[0]));
    }

    /** Inserts operations before the first layer. */
    void prepend(Node... before) {
      String x = input.name();
      for (int i = 0; i < nodes.size(); i++) {
        nodes.set(i, renamed(nodes.get(i), x, "begin" + (before.length - 1)));
      }
      for (int i = 0; i < before.length; i++) {
        nodes.add(i, chained(named(before[i], i, "begin" + i), x, "begin" + i));
        x = "begin" + i;
      }
    }

    /** Appends operations after the last layer. */
    void append(Node... after) {
      String y = outputs.getFirst().name();
      for (int i = 0; i < after.length; i++) {
        nodes.add(chained(named(after[i], i, "end" + i), y, "end" + i));
        y = "end" + i;
      }
      outputs.set(0, new Value(y, Type.FLOAT, List.of()));
    }

    /** Inserts an operation after another one. */
    void insertAfter(String name, Node after) {
      int at = at(name);
      String y = nodes.get(at).outputs().getFirst();
      for (int i = at + 1; i < nodes.size(); i++) {
        nodes.set(i, renamed(nodes.get(i), y, "inserted"));
      }
      nodes.add(at + 1, chained(after, y, "inserted"));
    }

    int at(String name) {
      for (int i = 0; i < nodes.size(); i++) {
        if (nodes.get(i).name().equals(name)) {
          return i;
        }
      }
      throw new AssertionError(name);
    }

    /** Changes one attribute. */
    void set(String name, String attribute, Attribute value) {
      Node node = nodes.get(at(name));
      var attributes = new LinkedHashMap<>(node.attributes());
      attributes.put(attribute, value);
      nodes.set(at(name), new Node(node.op(), "", name, node.inputs(), node.outputs(), attributes));
    }

    private static Node renamed(Node node, String from, String to) {
      List<String> inputs =
          node.inputs().stream().map(each -> each.equals(from) ? to : each).toList();
      return new Node(
          node.op(), node.domain(), node.name(), inputs, node.outputs(), node.attributes());
    }

    /** Replaces the input {@code _} of a node. */
    private static Node chained(Node node, String x, String result) {
      return new Node(
          node.op(),
          "",
          node.name(),
          renamed(node, "_", x).inputs(),
          List.of(result),
          node.attributes());
    }

    /** Makes names unique; the first is named odd. */
    private static Node named(Node node, int index, String result) {
      return index == 0
          ? node
          : new Node(node.op(), "", result, node.inputs(), node.outputs(), node.attributes());
    }

    OnnxModel model() {
      return new OnnxModel(
          opset, "test", "test", nodes, constants, List.of(input), outputs, List.of(), Map.of());
    }
  }

  private static Node node(String op, Map<String, Attribute> attributes, String... inputs) {
    return new Node(op, "", "odd", List.of(inputs), List.of(), attributes);
  }

  private static Attribute integers(Long... values) {
    return new Attribute.Ints(List.of(values));
  }

  private static final ResNetSpec NARROW =
      ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1).channels(8).numClasses(5).build();

  private Graph graph(ResNetSpec spec) throws IOException {
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    OnnxExport.write(
        network, new Shape(spec.inChannels(), 32, 32), file, OnnxExport.Options.defaults());
    return new Graph(OnnxReader.read(file));
  }

  private Graph graph() throws IOException {
    return graph(NARROW);
  }

  private OnnxImport read(Graph graph, OnnxImport.Options options) throws IOException {
    OnnxWriter.write(graph.model(), file);
    return OnnxImport.of(file, options);
  }

  private float[] runtime(float[] values, long... shape) throws OrtException {
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    try (var session = environment.createSession(file.toString());
        var input = OnnxTensor.createTensor(environment, FloatBuffer.wrap(values), shape);
        var result = session.run(Map.of(session.getInputNames().iterator().next(), input))) {
      FloatBuffer found = ((OnnxTensor) result.get(0)).getFloatBuffer();
      float[] y = new float[found.remaining()];
      found.get(y);
      return y;
    }
  }

  private static void assertNear(float[] expected, float[] actual) {
    assertEquals(expected.length, actual.length);
    float largest = 0;
    for (float each : expected) {
      largest = Math.max(largest, Math.abs(each));
    }
    assertArrayEquals(expected, actual, (float) (TOLERANCE * largest));
  }

  private static Tensor pixels() {
    Tensor x = TorchRandom.manualSeed(3).randn(1, 3, 32, 32);
    for (int i = 0; i < x.data().length; i++) {
      x.data()[i] = Math.abs(x.data()[i]) % 1;
    }
    return x;
  }

  private void assertScaled(Consumer<Graph> change, float range, List<Float> mean, List<Float> std)
      throws IOException, OrtException {
    Graph graph = graph();
    change.accept(graph);
    OnnxImport found = read(graph, OnnxImport.Options.defaults());
    Preprocessing preprocessing = found.preprocessing().orElseThrow();
    for (int c = 0; c < 3; c++) {
      assertEquals(mean.get(c), preprocessing.mean().get(c), 1e-6);
      assertEquals(std.get(c), preprocessing.std().get(c), 1e-6);
    }
    assertTrue(found.remarks().getFirst().contains("part of the preprocessing"));
    Tensor raw = pixels();
    Tensor prepared = pixels();
    for (int i = 0; i < raw.data().length; i++) {
      int c = i / (32 * 32);
      prepared.data()[i] = (raw.data()[i] - mean.get(c)) / std.get(c);
      raw.data()[i] *= range;
    }
    assertNear(runtime(raw.data(), 1, 3, 32, 32), found.network().forward(prepared).data());
  }

  @Test
  void inputScalingBecomesPreprocessing() throws IOException, OrtException {
    List<Float> half = List.of(0.5f, 0.5f, 0.5f);
    assertScaled(
        graph ->
            graph.prepend(
                node("Sub", NONE, "_", graph.number("m", 0.45f)),
                node("Div", NONE, "_", graph.number("s", 0.225f))),
        1,
        List.of(0.45f, 0.45f, 0.45f),
        List.of(0.225f, 0.225f, 0.225f));
    assertScaled(
        graph ->
            graph.prepend(
                node("Div", NONE, "_", graph.number("r", 255)),
                node("Sub", NONE, "_", graph.numbers("m", 0.485f, 0.456f, 0.406f)),
                node("Div", NONE, "_", graph.numbers("s", 0.229f, 0.224f, 0.225f))),
        255,
        Preprocessing.IMAGENET_MEAN,
        Preprocessing.IMAGENET_STD);
    assertScaled(
        graph ->
            graph.prepend(
                node("Mul", NONE, "_", graph.number("r", 1 / 127.5f)),
                node("Add", NONE, graph.number("m", -1), "_")),
        255,
        half,
        half);
    assertScaled(
        graph ->
            graph.prepend(
                node(
                    "BatchNormalization",
                    Map.of("epsilon", new Attribute.Real(0)),
                    "_",
                    graph.constant("g", Constant.of(new float[] {1, 1, 1}, false, 3)),
                    graph.constant("b", Constant.of(new float[3], false, 3)),
                    graph.constant("m", Constant.of(new float[] {0.5f, 0.5f, 0.5f}, false, 3)),
                    graph.constant("v", Constant.of(new float[] {.25f, .25f, .25f}, false, 3)))),
        1,
        half,
        half);
  }

  @Test
  void inputScalingIsComposedWithTheGivenPreprocessing() throws IOException {
    Graph graph = graph();
    graph.prepend(node("Sub", NONE, "_", graph.number("m", -0.5f)));
    var e = assertThrows(OnnxException.class, () -> read(graph, OnnxImport.Options.defaults()));
    assertTrue(e.getMessage().contains("cannot be determined whether"), e.getMessage());
    var given = Preprocessing.imagenet(40, 32);
    OnnxImport found = read(graph, OnnxImport.Options.defaults().withPreprocessing(given));
    Preprocessing both = found.preprocessing().orElseThrow();
    assertEquals(32, both.cropHeight());
    for (int c = 0; c < 3; c++) { // (v - mean) / std + 0.5
      assertEquals(given.mean().get(c) - 0.5f * given.std().get(c), both.mean().get(c), 1e-6);
      assertEquals(given.std().get(c), both.std().get(c), 1e-6);
    }
  }

  @Test
  void channelsLastInputIsTransposed() throws IOException, OrtException {
    Graph graph = graph();
    graph.input = new Value(graph.input.name(), Type.FLOAT, List.of("1", "32", "32", "3"));
    graph.prepend(node("Transpose", Map.of("perm", integers(0L, 3L, 1L, 2L)), "_"));
    OnnxImport found = read(graph, OnnxImport.Options.defaults());
    Tensor x = pixels();
    float[] last = new float[x.data().length];
    for (int i = 0; i < last.length; i++) {
      last[i] = x.data()[i % 3 * 1024 + i / 3];
    }
    assertNear(runtime(last, 1, 32, 32, 3), found.network().forward(x).data());
    assertEquals(List.of(), found.remarks());
  }

  @Test
  void identityOperationsAreIgnored() throws IOException, OrtException {
    Graph graph = graph();
    graph.prepend(
        node("Identity", NONE, "_"), node("Cast", Map.of("to", new Attribute.Int(1)), "_"));
    graph.insertAfter(
        "layer1.0.relu", new Node("Dropout", "", "drop", List.of("_"), List.of(), NONE));
    graph.append(
        new Node("Identity", "", "last", List.of("_"), List.of(), NONE),
        node("Reshape", NONE, "_", graph.constant("shape", Constant.of(-1, 5))),
        node("Flatten", NONE, "_"),
        node("Identity", NONE, "_"));
    graph.nodes.add( // unused
        new Node("Clip", "", "unused", List.of(graph.input.name()), List.of("u"), NONE));
    OnnxImport found = read(graph, OnnxImport.Options.defaults());
    Tensor x = pixels();
    assertNear(runtime(x.data(), 1, 3, 32, 32), found.network().forward(x).data());
  }

  @Test
  void missingBiasBecomesZeros() throws IOException, OrtException {
    Graph graph = graph();
    Node fc = graph.nodes.removeLast();
    graph.nodes.add(
        new Node("Gemm", "", "fc", fc.inputs().subList(0, 2), fc.outputs(), fc.attributes()));
    OnnxImport found = read(graph, OnnxImport.Options.defaults());
    Tensor x = pixels();
    assertNear(runtime(x.data(), 1, 3, 32, 32), found.network().forward(x).data());
  }

  private void assertImported(Graph graph) throws IOException, OrtException {
    OnnxImport found = read(graph, OnnxImport.Options.defaults());
    Tensor x = pixels();
    assertNear(runtime(x.data(), 1, 3, 32, 32), found.network().forward(x).data());
  }

  @Test
  void otherEpsilonsAreOtherVariances() throws IOException, OrtException {
    for (float epsilon : new float[] {1.001e-5f, 1e-3f, 1e-6f}) {
      Graph graph = graph();
      for (Node node : List.copyOf(graph.nodes)) {
        if (node.op().equals("BatchNormalization")) {
          graph.set(node.name(), "epsilon", new Attribute.Real(epsilon));
        }
      }
      assertImported(graph);
    }
  }

  @Test
  void zeroPaddingBeforeAConvolutionIsItsOwn() throws IOException, OrtException {
    Graph graph = graph();
    Node conv = graph.nodes.stream().filter(node -> node.op().equals("Conv")).findFirst().get();
    graph.set(conv.name(), "pads", integers(0L, 0L, 0L, 0L));
    Constant pads = Constant.of(0, 0, 3, 3, 0, 0, 3, 3);
    graph.prepend(node("Pad", NONE, "_", graph.constant("pads", pads)));
    assertImported(graph);
    graph.set(conv.name(), "auto_pad", new Attribute.Text("SAME_UPPER"));
    assertThrows(OnnxException.class, () -> read(graph, OnnxImport.Options.defaults()));
  }

  @Test
  void sumsOfTwoValuesAreAdditions() throws IOException, OrtException {
    Graph graph = graph();
    for (int i = 0; i < graph.nodes.size(); i++) {
      Node add = graph.nodes.get(i);
      if (add.op().equals("Add")) {
        graph.nodes.set(i, new Node("Sum", "", add.name(), add.inputs(), add.outputs(), NONE));
      }
    }
    assertImported(graph);
  }

  /** The same network as before operator set 7; ONNX Runtime computes its form of set 17. */
  @Test
  void olderOperatorSetsAreRead() throws IOException, OrtException {
    Attribute one = new Attribute.Int(1);
    Graph graph = graph();
    Tensor x = pixels();
    float[] expected = runtime(x.data(), 1, 3, 32, 32);
    for (Node node : List.copyOf(graph.nodes)) {
      switch (node.op()) {
        case "BatchNormalization" -> {
          graph.set(node.name(), "is_test", one);
          graph.set(node.name(), "spatial", one);
          graph.set(node.name(), "consumed_inputs", integers(0L, 0L, 0L, 1L, 1L));
        }
        case "Relu" -> graph.set(node.name(), "consumed_inputs", integers(0L));
        case "Add" -> graph.set(node.name(), "broadcast", new Attribute.Int(0));
        case "Gemm" -> graph.set(node.name(), "broadcast", one);
        default -> {}
      }
    }
    for (int opset : new int[] {1, 3, 6}) {
      graph.opset = opset;
      OnnxImport found = read(graph, OnnxImport.Options.defaults());
      assertNear(expected, found.network().forward(x).data());
    }
    assertRejected(
        "BatchNormalization 'bn1' has no is_test = 1",
        graph,
        old -> old.set("bn1", "is_test", new Attribute.Int(0)));
    graph.set("bn1", "is_test", one);
    assertRejected(
        "Add 'layer1.0.add' broadcasts from axis 1",
        graph,
        old -> old.set("layer1.0.add", "axis", one));
  }

  /** As {@code onnx.helper.make_tensor} writes it: a list of numbers in place of bytes. */
  @Test
  void float16WeightsInALongListAreRead() throws IOException {
    var network = ResNet.initialize(Architecture.named("resnet18"), TorchRandom.manualSeed(0));
    OnnxExport.write(
        network, new Shape(3, 32, 32), file, OnnxExport.Options.defaults().withFloat16());
    Tensor x = pixels();
    float[] expected = OnnxImport.read(file).network().forward(x).data();
    var model = UnknownFieldSet.parseFrom(Files.readAllBytes(file)).toBuilder();
    var graph = message(model.build().getField(7).getLengthDelimitedList().getFirst()).toBuilder();
    var tensors = UnknownFieldSet.Field.newBuilder();
    int listed = 0;
    for (ByteString each : graph.build().getField(5).getLengthDelimitedList()) {
      UnknownFieldSet tensor = message(each);
      boolean half = tensor.getField(2).getVarintList().getFirst() == Type.FLOAT16.code;
      listed += half ? 1 : 0;
      tensors.addLengthDelimited(half ? withList(tensor).toByteString() : each);
    }
    assertTrue(listed > 20, () -> "no float16 weights");
    graph.clearField(5).addField(5, tensors.build());
    model.clearField(7).addField(7, lengthDelimited(graph.build().toByteString()));
    Files.write(file, model.build().toByteArray());
    assertArrayEquals(expected, OnnxImport.read(file).network().forward(x).data());
  }

  private static UnknownFieldSet message(ByteString bytes) throws IOException {
    return UnknownFieldSet.parseFrom(bytes);
  }

  private static UnknownFieldSet.Field lengthDelimited(ByteString bytes) {
    return UnknownFieldSet.Field.newBuilder().addLengthDelimited(bytes).build();
  }

  /** A tensor with its raw data (field 9) as the packed varints of int32_data (field 5). */
  private static UnknownFieldSet withList(UnknownFieldSet tensor) throws IOException {
    ByteString raw = tensor.getField(9).getLengthDelimitedList().getFirst();
    var list = ByteString.newOutput();
    var out = CodedOutputStream.newInstance(list);
    for (int i = 0; i < raw.size(); i += 2) {
      out.writeUInt32NoTag((raw.byteAt(i) & 0xff) | ((raw.byteAt(i + 1) & 0xff) << 8));
    }
    out.flush();
    return tensor.toBuilder()
        .clearField(9)
        .addField(5, lengthDelimited(list.toByteString()))
        .build();
  }

  @Test
  void quantizedOperationsAreRejectedByName() throws IOException {
    assertRejected(
        "quantized",
        graph -> graph.prepend(node("QuantizeLinear", NONE, "_", graph.number("scale", 1))));
  }

  /**
   * A file of the onnx package (1.23.2, backend/test/data/light, Apache License 2.0): ResNet-50 of
   * Caffe2 with weights made by ConstantOfShape.
   */
  @Test
  void lightResnet50OfTheOnnxPackageIsImported() throws IOException, OrtException {
    try (var resource = OnnxImportTest.class.getResourceAsStream("/light/light_resnet50.onnx")) {
      Files.copy(resource, file);
    }
    var e = assertThrows(OnnxException.class, () -> OnnxImport.read(file));
    assertTrue(e.getMessage().contains("Softmax"), e.getMessage());
    OnnxImport found = OnnxImport.of(file, OnnxImport.Options.defaults().withoutSoftmax());
    Tensor x = TorchRandom.manualSeed(5).randn(1, 3, 224, 224);
    float[] expected = runtime(x.data(), 1, 3, 224, 224);
    assertNear(expected, softmax(found.network().forward(x).data()));
  }

  private static float[] softmax(float[] logits) {
    double largest = Double.NEGATIVE_INFINITY;
    for (float logit : logits) {
      largest = Math.max(largest, logit);
    }
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit - largest);
    }
    float[] probabilities = new float[logits.length];
    for (int i = 0; i < logits.length; i++) {
      probabilities[i] = (float) (Math.exp(logits[i] - largest) / sum);
    }
    return probabilities;
  }

  @Test
  void activationAtTheEndIsDroppedIfRequested() throws IOException, OrtException {
    var drop = OnnxImport.Options.defaults().withoutSoftmax();
    for (String op : List.of("Softmax", "LogSoftmax", "Sigmoid")) {
      Graph graph = graph();
      OnnxWriter.write(graph.model(), file);
      float[] logits = runtime(pixels().data(), 1, 3, 32, 32);
      graph.append(node(op, NONE, "_"));
      var e = assertThrows(OnnxException.class, () -> read(graph, OnnxImport.Options.defaults()));
      assertTrue(e.getMessage().contains(op + " 'odd'"), e.getMessage());
      assertTrue(e.getMessage().contains("--drop-softmax"), e.getMessage());
      OnnxImport found = read(graph, drop);
      assertNear(logits, found.network().forward(pixels()).data());
      assertTrue(found.remarks().getFirst().contains(op + " 'odd' was omitted"));
    }
    Graph graph = graph();
    graph.append(node("Softmax", NONE, "_"), node("Relu", NONE, "_"));
    assertThrows(OnnxException.class, () -> read(graph, drop));
  }

  private void assertRejected(String reason, Consumer<Graph> change) throws IOException {
    assertRejected(reason, graph(), change);
  }

  private void assertRejected(String reason, Graph graph, Consumer<Graph> change) {
    change.accept(graph);
    var e = assertThrows(OnnxException.class, () -> read(graph, OnnxImport.Options.defaults()));
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }

  @Test
  void operationsBeforeTheFirstLayerAreRejected() throws IOException {
    assertRejected("Relu 'odd'", graph -> graph.prepend(node("Relu", NONE, "_")));
    assertRejected("Clip 'odd'", graph -> graph.prepend(node("Clip", NONE, "_")));
    assertRejected(
        "in the order [0, 1, 3, 2]",
        graph -> graph.prepend(node("Transpose", Map.of("perm", integers(0L, 1L, 3L, 2L)), "_")));
    assertRejected(
        "Mul 'odd' scales", graph -> graph.prepend(node("Mul", NONE, "_", graph.number("z", 0))));
    assertRejected(
        "Sub 'odd' has the image",
        graph -> graph.prepend(node("Sub", NONE, graph.number("z", 0), "_")));
    assertRejected(
        "Add 'odd' has a constant of shape [32, 32]",
        graph ->
            graph.prepend(
                node(
                    "Add",
                    NONE,
                    "_",
                    graph.constant("z", Constant.of(new float[1024], false, 32, 32)))));
    assertRejected("Mul 'odd'", graph -> graph.prepend(node("Mul", NONE, "_", "_")));
    assertRejected(
        "Cast 'odd' rounds values",
        graph -> graph.prepend(node("Cast", Map.of("to", new Attribute.Int(2)), "_")));
    assertRejected(
        "Cast 'odd' rounds values",
        graph -> graph.prepend(node("Cast", Map.of("to", new Attribute.Int(10)), "_")));
    assertRejected(
        "which cannot be kept for a network without a head",
        graph(NARROW.toBuilder().includeTop(false).build()),
        graph -> graph.prepend(node("Div", NONE, "_", graph.number("z", 255))));
  }

  @Test
  void operationsAfterTheLastLayerAreRejected() throws IOException {
    assertRejected("Relu 'odd'", graph -> graph.append(node("Relu", NONE, "_")));
    assertRejected(
        "Mul 'odd'", graph -> graph.append(node("Mul", NONE, "_", graph.number("z", 2))));
    assertRejected(
        "Add 'odd'", graph -> graph.append(node("Add", NONE, "_", graph.number("z", 2))));
    assertRejected("ArgMax 'odd'", graph -> graph.append(node("ArgMax", NONE, "_")));
    assertRejected(
        "MatMul 'odd'",
        graph ->
            graph.append(
                node(
                    "MatMul",
                    NONE,
                    "_",
                    graph.constant("z", Constant.of(new float[25], false, 5, 5)))));
    assertRejected(
        "Reshape 'odd' does not keep",
        graph -> graph.append(node("Reshape", NONE, "_", graph.constant("z", Constant.of(5, -1)))));
    assertRejected(
        "it has 2 outputs",
        graph -> graph.outputs.add(new Value("layer1.0.relu", Type.FLOAT, List.of())));
    assertRejected(
        "is at the end of the graph",
        graph -> graph.outputs.set(0, new Value("layer1.0.bn1", Type.FLOAT, List.of())));
  }

  /** As exporters of networks without a head write it; the expected means are ONNX Runtime's. */
  @Test
  void meanAtTheEndIsOmitted() throws IOException, OrtException {
    for (String last : List.of("avgpool", "avgpool.flatten")) {
      Graph graph = graph();
      while (!graph.nodes.getLast().name().equals(last)) {
        graph.nodes.removeLast();
      }
      String y = graph.nodes.getLast().outputs().getFirst();
      graph.outputs.set(0, new Value(y, Type.FLOAT, List.of()));
      OnnxImport found = read(graph, OnnxImport.Options.defaults());
      assertFalse(found.network().spec().includeTop());
      assertTrue(found.remarks().getFirst().contains("'avgpool' was omitted"), found.toString());
      float[] expected = runtime(pixels().data(), 1, 3, 32, 32);
      float[] maps = found.network().forward(pixels()).data();
      float[] means = new float[expected.length];
      int size = maps.length / means.length;
      for (int i = 0; i < maps.length; i++) {
        means[i / size] += maps[i] / size;
      }
      assertNear(expected, means);
    }
  }

  @Test
  void channelsLastOutputIsTransposed() throws IOException, OrtException {
    Graph graph = graph(NARROW.toBuilder().includeTop(false).build());
    OnnxWriter.write(graph.model(), file);
    float[] expected = runtime(pixels().data(), 1, 3, 32, 32);
    graph.append(node("Transpose", Map.of("perm", integers(0L, 2L, 3L, 1L)), "_"));
    OnnxImport found = read(graph, OnnxImport.Options.defaults());
    assertTrue(found.remarks().getFirst().contains("[N, C, H, W]"), found.toString());
    assertNear(expected, found.network().forward(pixels()).data());
    Graph other = graph(NARROW.toBuilder().includeTop(false).build());
    assertRejected(
        "Transpose 'odd'",
        other,
        x -> x.append(node("Transpose", Map.of("perm", integers(0L, 3L, 2L, 1L)), "_")));
  }

  @Test
  void operationsBetweenLayersAreRejected() throws IOException {
    for (String place : List.of("conv1", "relu", "layer1.0.conv1", "layer1.0.bn2", "avgpool")) {
      for (String op : List.of("Relu", "Sigmoid", "Abs", "Softmax")) {
        if (!(op.equals("Relu") && (place.equals("relu") || place.equals("avgpool")))) {
          assertRejected("'", graph -> graph.insertAfter(place, node(op, NONE, "_")));
        }
      }
    }
    assertRejected(
        "Relu 'odd'", graph -> graph.insertAfter("layer2.0.bn2", node("Relu", NONE, "_")));
    assertRejected(
        "Relu 'odd'", graph -> graph.insertAfter("layer2.0.downsample.1", node("Relu", NONE, "_")));
    assertRejected(
        "Conv 'layer1.0.conv2' is found where a ReLU was expected",
        graph -> {
          Node relu = graph.nodes.remove(graph.at("layer1.0.relu1"));
          graph.nodes.replaceAll(
              node -> Graph.renamed(node, relu.outputs().getFirst(), relu.inputs().getFirst()));
        });
    assertRejected(
        "Mul 'odd'",
        graph -> graph.insertAfter("layer1.0.relu", node("Mul", NONE, "_", graph.number("z", 2))));
  }

  @Test
  void unsupportedAttributesAreRejected() throws IOException {
    Attribute one = new Attribute.Int(1);
    assertRejected(
        "MaxPool 'maxpool' has ceil_mode", graph -> graph.set("maxpool", "ceil_mode", one));
    assertRejected(
        "MaxPool 'maxpool' has dilations",
        graph -> graph.set("maxpool", "dilations", integers(2L, 2L)));
    assertRejected("uses batch statistics", graph -> graph.set("bn1", "training_mode", one));
    assertRejected("Gemm 'fc'", graph -> graph.set("fc", "alpha", new Attribute.Real(2)));
    assertRejected("Gemm 'fc'", graph -> graph.set("fc", "transA", one));
    assertRejected("Conv 'conv1'", graph -> graph.set("conv1", "pads", integers(3L, 3L, 3L, 2L)));
    assertRejected(
        "Conv 'conv1' has the unsupported attribute 'odd'",
        graph -> graph.set("conv1", "odd", one));
    assertRejected(
        "Conv 'conv1' has the unsupported attribute", graph -> graph.set("conv1", "strides", one));
    assertRejected(
        "Flatten 'avgpool.flatten' mixes the images",
        graph -> graph.set("avgpool.flatten", "axis", new Attribute.Int(0)));
    assertRejected(
        "Gemm 'fc' has NaN in its bias",
        graph ->
            graph.constant("fc.bias", Constant.of(new float[] {0, Float.NaN, 0, 0, 0}, false, 5)));
    assertRejected(
        "Conv 'conv1' has kernel_shape",
        graph ->
            graph.constant("conv1.weight", Constant.of(new float[8 * 3 * 25], false, 8, 3, 5, 5)));
  }

  /** Average pooling is global only if the window covers the whole feature map. */
  @Test
  void finalPoolingMustCoverTheFeatureMap() throws IOException, OrtException {
    for (long extent : new long[] {4, 2}) { // 32 pixels, downsampled by 8
      Graph graph = graph();
      int at = graph.at("avgpool");
      Node pool = graph.nodes.get(at);
      Map<String, Attribute> window = Map.of("kernel_shape", integers(extent, extent));
      graph.nodes.set(
          at, new Node("AveragePool", "", "avgpool", pool.inputs(), pool.outputs(), window));
      if (extent == 4) {
        OnnxImport found = read(graph, OnnxImport.Options.defaults());
        Tensor x = pixels();
        assertNear(runtime(x.data(), 1, 3, 32, 32), found.network().forward(x).data());
        graph.input = new Value(graph.input.name(), Type.FLOAT, List.of("1", "3", "H", "W"));
      }
      assertRejected("'avgpool", graph, _ -> {});
    }
  }

  @Test
  void loopsAndUndefinedValuesAreRejected() throws IOException {
    assertRejected(
        "has the input 'layer2.0.relu', which no preceding node computes",
        graph -> {
          int at = graph.at("layer1.0.conv1");
          graph.nodes.set(at, Graph.renamed(graph.nodes.get(at), "maxpool", "layer2.0.relu"));
        });
    assertRejected(
        "which is already defined", graph -> graph.nodes.add(graph.nodes.get(graph.at("relu"))));
    assertRejected(
        "has the input 'nothing', which no preceding node computes",
        graph -> graph.nodes.set(0, Graph.renamed(graph.nodes.get(0), "images", "nothing")));
  }

  // --- external tensors --------------------------------------------------------------------------

  /** Copies the golden file with external data, with another location. */
  private Path withLocation(String location) throws IOException {
    Path golden = Path.of("src/test/resources/golden/basic-dynamo.onnx");
    String name = "basic-dynamo.onnx.data";
    byte[] bytes = Files.readAllBytes(golden);
    byte[] from = name.getBytes(UTF_8);
    byte[] to = padded(location, from.length).getBytes(UTF_8);
    for (int at = 0; at + from.length <= bytes.length; at++) {
      if (Arrays.equals(bytes, at, at + from.length, from, 0, from.length)) {
        System.arraycopy(to, 0, bytes, at, to.length);
      }
    }
    Path model = Files.createDirectories(folder.resolve("model"));
    Files.createDirectories(model.resolve("sub"));
    Files.copy(golden.resolveSibling(name), model.resolve("w.data"), REPLACE_EXISTING);
    return Files.write(model.resolve("m.onnx"), bytes);
  }

  /** Pads a location to a length, since lengths are part of the file. */
  private static String padded(String location, int length) {
    int padding = length - location.length();
    String begin = location.startsWith("/") ? "/".repeat(padding) : "./".repeat(padding / 2);
    return (begin.length() < padding ? begin + "/" : begin) + location;
  }

  @Test
  void externalTensorsInTheFolderAreRead() throws IOException {
    for (String location : List.of("w.data", "./w.data", "sub/../w.data", "no/../w.data")) {
      Path model = withLocation(location);
      OnnxImport.read(model);
      OnnxImport.read(model.resolveSibling("sub").resolve("..").resolve("m.onnx"));
      OnnxImport.read(Path.of(".").resolve(Path.of("").toAbsolutePath().relativize(model)));
    }
  }

  @Test
  void externalTensorsOutsideTheFolderAreRejected() throws IOException {
    Files.write(folder.resolve("out.data"), new byte[1 << 16]);
    assertLocationRejected("../out.data", "outside of the model's folder");
    assertLocationRejected("/dev/zero", "outside of the model's folder");
    assertLocationRejected("/proc/self/maps", "outside of the model's folder");
    Files.createSymbolicLink(folder.resolve("model/link"), folder.resolve("out.data"));
    assertLocationRejected("link", "outside of the model's folder");
    assertLocationRejected("none", "does not exist");
    assertLocationRejected("sub", "is not a regular file");
  }

  @Test
  void pipesAreNotOpened() throws IOException, InterruptedException {
    Path model = withLocation("pipe");
    Path pipe = model.resolveSibling("pipe");
    try {
      int exit = new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor();
      assumeTrue(exit == 0);
    } catch (IOException _) {
      assumeTrue(false, "mkfifo is not available");
    }
    assertLocationRejected("pipe", "is not a regular file");
    assertThrows(OnnxException.class, () -> OnnxImport.read(pipe));
  }

  private void assertLocationRejected(String location, String reason) throws IOException {
    Path model = withLocation(location);
    var e = assertThrows(OnnxException.class, () -> OnnxImport.read(model));
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }
}
