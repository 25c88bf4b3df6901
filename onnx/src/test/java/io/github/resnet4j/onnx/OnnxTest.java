package io.github.resnet4j.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.Norm;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.StageWidths;
import io.github.resnet4j.Stem;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.onnx.OnnxExport.Options;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Exported networks run in ONNX Runtime; files of PyTorch's exporters and our own are imported. */
class OnnxTest {
  private static final Path GOLDEN = Path.of("src/test/resources/golden");

  /** For float32 sums of thousands of terms in another order. */
  private static final double TOLERANCE = 1e-4;

  @TempDir private Path folder;

  private static ResNet network(ResNetSpec spec) {
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    var random = TorchRandom.manualSeed(1);
    network
        .layers()
        .walk()
        .forEach(layer -> {
          if (layer instanceof BatchNorm2d norm) {
            var state = network.state();
            random.uniform(state.get(norm.name() + ".weight").data(), 0.5, 1.5);
            random.normal(state.get(norm.name() + ".bias").data(), 0, 0.1);
            random.normal(state.get(norm.name() + ".running_mean").data(), 0, 0.1);
            random.uniform(state.get(norm.name() + ".running_var").data(), 0.5, 1.5);
          }
        });
    return network;
  }

  private static float[] run(Path file, Tensor x) throws OrtException {
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    long[] shape = Arrays.stream(x.shape()).asLongStream().toArray();
    try (OrtSession session = environment.createSession(file.toString());
        var input = OnnxTensor.createTensor(environment, FloatBuffer.wrap(x.data()), shape);
        var result = session.run(Map.of(session.getInputNames().iterator().next(), input))) {
      FloatBuffer values = ((OnnxTensor) result.get(0)).getFloatBuffer();
      float[] y = new float[values.remaining()];
      values.get(y);
      return y;
    }
  }

  private static double distance(float[] expected, float[] actual) {
    assertEquals(expected.length, actual.length);
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < expected.length; i++) {
      largest = Math.max(largest, Math.abs(expected[i]));
      difference = Math.max(difference, Math.abs(expected[i] - (double) actual[i]));
    }
    return difference / largest;
  }

  /** The catalogue, and every structural option on a narrow network. */
  static Stream<Map.Entry<String, ResNetSpec>> specifications() {
    var all = new LinkedHashMap<String, ResNetSpec>();
    Architecture.catalogue()
        .forEach((name, spec) -> {
          if (!name.matches(
              ".*(1001|101|110|15[24]|164|[23].0|201|269|420|x3|x1_bit).*|wide.*")) { // only more
            // of the
            // same blocks
            all.put(name, spec);
          }
        });
    ResNetSpec narrow =
        ResNetSpec.builder(ResNetSpec.Block.BOTTLENECK, 1, 2, 1).channels(16).numClasses(7).build();
    all.put("narrow", narrow);
    all.put("v1", narrow.toBuilder().stridePlacement(ResNetSpec.StridePlacement.FIRST_1X1).build());
    all.put("dilated", narrow.toBuilder().dilated(false, true).build());
    ResNetSpec basic =
        ResNetSpec.builder(ResNetSpec.Block.BASIC, 1, 1, 2).channels(8).numClasses(7).build();
    all.put("dilated basic blocks", basic.withOutputStride(8));
    all.put(
        "dilated, averaging shortcuts",
        basic.toBuilder().shortcut(ResNetSpec.Shortcut.AVERAGE_POOL).dilated(true, true).build());
    all.put(
        "dilated, blurs",
        basic.toBuilder().downsampling(ResNetSpec.Downsampling.BLUR).dilated(false, true).build());
    all.put("groups", narrow.toBuilder().groups(4).widthPerGroup(32).build());
    all.put(
        "widths of each layer",
        narrow.toBuilder()
            .channels(24)
            .stem(new Stem.Deep(8, 12, 24, true))
            .shortcut(ResNetSpec.Shortcut.PROJECTION_3X3)
            .groups(4)
            .widths(
                List.of(
                    new StageWidths(20, List.of(List.of(12, 16))),
                    new StageWidths(36, List.of(List.of(12), List.of(8, 20))),
                    new StageWidths(48, List.of(List.of(28)))))
            .build());
    all.put("no top", narrow.toBuilder().includeTop(false).build());
    ResNetSpec pre = narrow.toBuilder().activation(ResNetSpec.Activation.PRE).build();
    all.put("no top, normalizing first", pre.toBuilder().includeTop(false).build());
    all.put("small images, normalizing first", pre.toBuilder().stem(Stem.SMALL_IMAGE).build());
    all.put("BiT", pre.toBuilder().norm(new Norm.StandardizedGroupNorm(4)).build());
    all.put("gray", narrow.toBuilder().inChannels(1).build());
    all.put(
        "option A of bottlenecks",
        narrow.toBuilder().shortcut(ResNetSpec.Shortcut.ZERO_PAD).stem(Stem.SMALL_IMAGE).build());
    return all.entrySet().stream();
  }

  @ParameterizedTest
  @MethodSource("specifications")
  void exportedNetworksRunInOnnxRuntimeAndAreImported(Map.Entry<String, ResNetSpec> entry)
      throws IOException, OrtException {
    ResNetSpec spec = entry.getValue();
    ResNet network = network(spec);
    int side = spec.stem() instanceof Stem.SmallImage ? 32 : 64;
    var image = new Shape(spec.inChannels(), side, side);
    Tensor x = TorchRandom.manualSeed(2).randn(2, spec.inChannels(), side, side);
    float[] expected = network.forward(x).data();
    for (boolean fold : new boolean[] {false, true}) {
      Path file = folder.resolve("x.onnx");
      Options options = Options.defaults().withDynamicBatch();
      OnnxExport.write(network, image, file, fold ? options.withFoldedBatchNorm() : options);
      double error = distance(expected, run(file, x));
      assertTrue(error <= TOLERANCE, () -> entry.getKey() + ": " + error);
      OnnxImport read = OnnxImport.of(file, OnnxImport.Options.defaults());
      assertEquals(spec, read.network().spec());
      double again = distance(expected, read.network().forward(x).data());
      // Standardized weights are standardized once more, which rounds again.
      boolean rounds = fold || spec.norm() instanceof Norm.StandardizedGroupNorm;
      assertTrue(again <= (rounds ? TOLERANCE : 0), () -> entry.getKey() + " again: " + again);
      System.out.printf(
          "%-24s fold %-5s ONNX Runtime %.1e, read again %.1e%n",
          entry.getKey(), fold, error, again);
    }
  }

  @Test
  void missingPreprocessingIsTheUsualOneOfThreeChannels() throws IOException {
    ResNetSpec spec = Architecture.named("resnet8");
    Path file = folder.resolve("x.onnx");
    OnnxExport.write(network(spec), new Shape(3, 32, 32), file, Options.defaults());
    Model model = OnnxImport.read(file);
    assertEquals(Model.usualPreprocessing(spec), model.preprocessing());
    assertEquals(Model.numbered(10), model.labels());
    ResNetSpec gray = spec.toBuilder().inChannels(1).build();
    OnnxExport.write(network(gray), new Shape(1, 32, 32), file, Options.defaults());
    var e = assertThrows(IllegalArgumentException.class, () -> OnnxImport.read(file));
    assertTrue(e.getMessage().contains("1 input channels"), e.getMessage());
  }

  @ParameterizedTest
  @ValueSource(ints = {13, 17, 21})
  void operatorSetsRunInOnnxRuntime(int opset) throws IOException, OrtException {
    ResNet network = network(Architecture.named("resnet20"));
    Tensor x = TorchRandom.manualSeed(2).randn(1, 3, 32, 32);
    Path file = folder.resolve("x.onnx");
    OnnxExport.write(network, new Shape(3, 32, 32), file, Options.defaults().withOpset(opset));
    assertTrue(distance(network.forward(x).data(), run(file, x)) <= TOLERANCE);
    assertThrows(IllegalArgumentException.class, () -> Options.defaults().withOpset(9));
  }

  @Test
  void halfPrecisionIsHalfAsLarge() throws IOException, OrtException {
    ResNet network = network(Architecture.named("resnet18"));
    Tensor x = TorchRandom.manualSeed(2).randn(1, 3, 64, 64);
    Path file = folder.resolve("x.onnx");
    OnnxExport.write(network, new Shape(3, 64, 64), file, Options.defaults().withFloat16());
    // float16 has eleven bits of mantissa.
    double error = distance(network.forward(x).data(), run(file, x));
    assertTrue(error <= 1e-2, () -> "error " + error);
    assertTrue(Files.size(file) < 24_000_000, "half of 47 MB");
    assertEquals(Architecture.named("resnet18"), OnnxImport.read(file).network().spec());
  }

  /** The input is decoded pixels; labels and preprocessing are stored as metadata. */
  @Test
  void preprocessingCanBePartOfTheGraph() throws IOException, OrtException {
    Model classifier = Model.embedded();
    var pixels =
        classifier
            .preprocessing()
            .crop(ImageDecoder.DEFAULT.decode(Path.of("../samples/digit-6.png")));
    Tensor x =
        classifier
            .preprocessing()
            .apply(ImageDecoder.DEFAULT.decode(Path.of("../samples/digit-6.png")));
    float[] expected = classifier.network().forward(x).data();
    Path file = folder.resolve("digits.onnx");
    OnnxExport.write(
        classifier,
        file,
        Options.defaults().withDynamicBatch().withFoldedBatchNorm().withPreprocessing());
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    try (OrtSession session = environment.createSession(file.toString());
        var input =
            OnnxTensor.createTensor(
                environment,
                ByteBuffer.wrap(pixels.data()),
                new long[] {1, 32, 32, 3},
                OnnxJavaType.UINT8);
        var result = session.run(Map.of("pixels", input))) {
      FloatBuffer values = ((OnnxTensor) result.get(0)).getFloatBuffer();
      float[] y = new float[values.remaining()];
      values.get(y);
      assertTrue(distance(expected, y) <= TOLERANCE);
      assertEquals(
          "[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]",
          session.getMetadata().getCustomMetadata().get("labels"));
    }
    Model again = OnnxImport.read(file);
    assertEquals(classifier.labels(), again.labels());
    assertEquals(classifier.preprocessing(), again.preprocessing());
    assertTrue(distance(expected, again.network().forward(x).data()) <= TOLERANCE);
  }

  static Stream<Path> exported() throws IOException {
    try (var files = Files.list(GOLDEN)) {
      return files.filter(file -> file.toString().endsWith(".onnx")).sorted().toList().stream();
    }
  }

  /**
   * Files of PyTorch's two exporters, with and without folded batch norm, compared with PyTorch's
   * logits.
   */
  @ParameterizedTest
  @MethodSource("exported")
  void pytorchExportsAreImported(Path file) throws IOException {
    String name = file.getFileName().toString().replaceFirst("-(script|dynamo).*", "");
    try (var golden = Checkpoint.open(GOLDEN.resolve("logits.safetensors"))) {
      Tensor x = golden.tensors().get(name + ".input").toTensor();
      Tensor y = golden.tensors().get(name + ".output").toTensor();
      ResNet network = OnnxImport.read(file).network();
      Tensor found = network.forward(x);
      assertArrayEquals(y.shape(), found.shape());
      double error = distance(y.data(), found.data());
      System.out.printf("%-36s %.1e%n", file.getFileName(), error);
      assertTrue(error <= TOLERANCE, () -> file + ": " + error);
    }
  }

  @Test
  void unsupportedNodeIsNamed() throws IOException {
    Path file = folder.resolve("x.onnx");
    ResNet network = network(Architecture.named("resnet8"));
    OnnxExport.write(network, new Shape(3, 32, 32), file, Options.defaults());
    OnnxModel model = OnnxReader.read(file);
    assertRejected(
        model, "layer2.0.relu", "Sigmoid", "Sigmoid 'layer2.0.relu' is found where a ReLU was");
    assertRejected(
        model, "layer1.0.bn1", "LayerNormalization", "LayerNormalization 'layer1.0.bn1'");
    assertRejected(model, "layer3.0.add", "Mul", "Mul 'layer3.0.add' is not an operation");
    assertRejected(
        model, "conv1", "ConvTranspose", "ConvTranspose 'conv1' is found where a convolution");
    assertRejected(model, "fc", "Softmax", "Softmax 'fc' has the unsupported attribute 'transB'");
  }

  private void assertRejected(OnnxModel model, String name, String op, String reason)
      throws IOException {
    var nodes =
        model.nodes().stream()
            .map(node ->
                node.name().equals(name)
                    ? new OnnxModel.Node(
                        op, "", name, node.inputs(), node.outputs(), node.attributes())
                    : node)
            .toList();
    Path file = folder.resolve("odd.onnx");
    OnnxWriter.write(
        new OnnxModel(
            model.opset(),
            "test",
            "test",
            nodes,
            model.initializers(),
            model.inputs(),
            model.outputs(),
            List.of(),
            Map.of()),
        file);
    var e = assertThrows(OnnxException.class, () -> OnnxImport.read(file));
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }

  /** Any bytes give a network or an {@link OnnxException}. */
  @Test
  void corruptFilesAreRejected() throws IOException {
    Path file = folder.resolve("x.onnx");
    OnnxExport.write(
        network(Architecture.named("resnet8")), new Shape(3, 32, 32), file, Options.defaults());
    byte[] whole = Files.readAllBytes(file);
    var random = new Random(5);
    for (int round = 0; round < 400; round++) {
      byte[] damaged =
          round % 4 == 0 ? Arrays.copyOf(whole, random.nextInt(whole.length)) : whole.clone();
      for (int i = 0; i < 1 + round % 7 && damaged.length > 0; i++) {
        // Mostly in the structure of the graph, which precedes the weights.
        int at = random.nextInt(Math.min(damaged.length, round % 2 == 0 ? 12_000 : damaged.length));
        damaged[at] = (byte) random.nextInt(256);
      }
      Files.write(file, damaged);
      try {
        OnnxImport.read(file);
      } catch (OnnxException e) {
        assertTrue(e.getMessage().contains("x.onnx"), e.getMessage());
      }
    }
    Files.write(file, new byte[0]);
    assertThrows(OnnxException.class, () -> OnnxImport.read(file));
    assertThrows(OnnxException.class, () -> OnnxImport.read(folder.resolve("none.onnx")));
  }
}
