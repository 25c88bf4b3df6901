package io.github.resnet4j.onnxruntime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.server.InferenceServer;
import io.github.resnet4j.server.ServerOptions;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** ONNX Runtime's CPU provider is compared with resnet4j's own engine. */
class OnnxRuntimeEngineTest {
  private static final EngineChoice CPU = new EngineChoice("onnxruntime", "cpu");
  private static final CompileOptions OWN = CompileOptions.defaults().withThreads(2);
  private static final Path SAMPLE = Path.of("..", "samples", "digit-6.png");

  /** Of the largest value, for float32 sums of thousands of terms in another order. */
  private static final double TOLERANCE = 1e-4;

  private static final ResNetSpec NARROW =
      ResNetSpec.builder(ResNetSpec.Block.BOTTLENECK, 1, 2, 1).channels(16).numClasses(7).build();

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
            random.normal(state.get(norm.name() + ".running_mean").data(), 0, 0.1);
            random.uniform(state.get(norm.name() + ".running_var").data(), 0.5, 1.5);
          }
        });
    return network;
  }

  private static void assertClose(Tensor expected, Tensor actual, String what) {
    assertArrayEquals(expected.shape(), actual.shape(), what);
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < expected.size(); i++) {
      largest = Math.max(largest, Math.abs(expected.data()[i]));
      difference = Math.max(difference, Math.abs(expected.data()[i] - (double) actual.data()[i]));
    }
    assertTrue(difference <= TOLERANCE * largest, what + ": " + difference + " of " + largest);
  }

  private static CompileOptions options(EngineChoice engine) {
    return OWN.withEngine(engine);
  }

  @Test
  void logitsAndTapsAreThoseOfTheOwnEngine() {
    String[] taps = {"layer2.0", "relu", "layer3", "avgpool", "fc"};
    ResNetSpec pre = NARROW.toBuilder().activation(ResNetSpec.Activation.PRE).build();
    for (ResNetSpec spec : List.of(NARROW, pre, NARROW.withOutputStride(8))) {
      ResNet network = network(spec);
      String[] some =
          spec == pre ? new String[] {"stages.1.blocks.0", "stages.2", "avgpool"} : taps;
      try (var own = network.open(OWN.withTaps(some));
          var other = network.open(options(CPU).withTaps(some))) {
        // Five sizes, so that the session of the first is closed, and batches of several sizes.
        for (int[] shape : new int[][] {{3, 64}, {1, 64}, {2, 75}, {1, 96}, {1, 40}, {1, 33}}) {
          Tensor x = TorchRandom.manualSeed(2).randn(shape[0], 3, shape[1], shape[1] + 8);
          var expected = own.runAll(x);
          var actual = other.runAll(x);
          assertEquals(List.copyOf(expected.keySet()), List.copyOf(actual.keySet()));
          expected.forEach((name, tensor) -> assertClose(tensor, actual.get(name), name));
        }
      }
    }
  }

  @Test
  void networkWithoutHeadGivesItsLastFeatureMap() {
    ResNet network = network(NARROW.toBuilder().includeTop(false).build());
    Tensor x = TorchRandom.manualSeed(2).randn(1, 3, 64, 64);
    try (var own = network.open(OWN);
        var other = network.open(options(CPU).withTaps("layer3"))) {
      var results = other.runAll(x);
      assertClose(own.run(x), results.get("output"), "features");
      assertClose(own.run(x), results.get("layer3"), "layer3");
    }
  }

  @Test
  void classifierComputesTheSame() throws IOException {
    try (var own = Classifier.embedded();
        var other = Classifier.builder().threads(2).engine(CPU).embedded();
        var sibling = other.sibling()) {
      var expected = own.classify(SAMPLE, 3);
      var actual = other.classify(SAMPLE, 3);
      for (int i = 0; i < 3; i++) {
        assertEquals(expected.get(i).label(), actual.get(i).label());
        assertEquals(expected.get(i).probability(), actual.get(i).probability(), TOLERANCE);
      }
      float[] embedding = own.embed(SAMPLE);
      assertClose(
          Tensor.of(embedding, embedding.length),
          Tensor.of(other.embed(SAMPLE), embedding.length),
          "embedding");
      assertClose(
          own.featureMaps(SAMPLE, "layer1").get("layer1"),
          other.featureMaps(SAMPLE, "layer1").get("layer1"),
          "feature map");
      assertEquals(Precision.FP32, other.precision());
      other.close();
      assertEquals(actual, sibling.classify(SAMPLE, 3));
    }
  }

  @Test
  void missingProviderPrecisionLayerAndEngineAreNamed() {
    Model model = Model.embedded();
    assertEquals(
        "the engine onnxruntime has no provider 'tpu', only cpu, cuda, tensorrt, coreml, directml,"
            + " openvino",
        message(model, options(new EngineChoice("onnxruntime", "tpu"))));
    String missing = message(model, options(new EngineChoice("onnxruntime", "cuda")));
    assertTrue(
        missing.startsWith("the ONNX Runtime on the class path has no provider 'cuda', only cpu")
            && missing.endsWith("com.microsoft.onnxruntime:onnxruntime_gpu"),
        missing);
    assertEquals(
        "the engine onnxruntime computes in fp32, not in int8; use the precision fp32, or the"
            + " engine resnet4j",
        message(model, options(CPU).withPrecision(Precision.INT8)));
    assertTrue(
        message(model, options(CPU).withPrecision(Precision.BF16)).contains("not in bf16; use"));
    assertEquals("the network has no layer 'x'", message(model, options(CPU).withTaps("x")));
    assertEquals(
        "there is no engine 'other' on the class path, only resnet4j, onnxruntime",
        message(model, options(new EngineChoice("other", "cpu"))));
  }

  private static String message(Model model, CompileOptions options) {
    return assertThrows(
            IllegalArgumentException.class,
            () -> {
              try (var session = model.network().open(options)) {
                session.run(model.preprocessing().batch(1));
              }
            })
        .getMessage();
  }

  @Test
  void devicesOfProvidersAreParsed() {
    assertEquals(new Device(Provider.CUDA, "0"), Device.named("cuda"));
    assertEquals(new Device(Provider.CUDA, "12"), Device.named("cuda:12"));
    assertEquals(new Device(Provider.OPENVINO, "CPU"), Device.named("openvino"));
    assertEquals(
        new Device(Provider.OPENVINO, "AUTO:GPU,CPU"), Device.named("openvino:AUTO:GPU,CPU"));
    assertEquals("openvino:GPU.1", Device.named("openvino:GPU.1").label());
    assertEquals("cpu", Device.named("cpu").label());
    for (String wrong :
        List.of("cpu:0", "cpu:", "cuda:GPU", "cuda:-1", "cuda:", "openvino:", "coreml:1")) {
      String message =
          assertThrows(IllegalArgumentException.class, () -> Device.named(wrong)).getMessage();
      assertTrue(message.contains("has no device '" + wrong.split(":", 2)[1] + "'"), message);
    }
  }

  /** With the class path of this test, but without ONNX Runtime's jar. */
  @Test
  void missingJarIsNamed() throws Exception {
    URI[] jars =
        Arrays.stream(
                System.getProperty("java.class.path").split(System.getProperty("path.separator")))
            .filter(entry -> !Path.of(entry).getFileName().toString().startsWith("onnxruntime-"))
            .map(entry -> Path.of(entry).toUri())
            .toArray(URI[]::new);
    var urls = new URL[jars.length];
    for (int i = 0; i < urls.length; i++) {
      urls[i] = jars[i].toURL();
    }
    try (var loader = new URLClassLoader(urls, ClassLoader.getPlatformClassLoader())) {
      Class<?> choice = loader.loadClass(EngineChoice.class.getName());
      Class<?> builder = loader.loadClass(Classifier.Builder.class.getName());
      Thread thread = Thread.currentThread();
      ClassLoader usual = thread.getContextClassLoader();
      thread.setContextClassLoader(loader);
      try {
        Object made =
            loader.loadClass(Classifier.class.getName()).getMethod("builder").invoke(null);
        Object engine =
            choice.getConstructor(String.class, String.class).newInstance("onnxruntime", "cuda");
        builder.getMethod("engine", choice).invoke(made, engine);
        Throwable error =
            assertThrows(
                    InvocationTargetException.class,
                    () -> builder.getMethod("embedded").invoke(made))
                .getCause();
        assertEquals(
            "the engine onnxruntime needs the jar of ONNX Runtime"
                + " (com.microsoft.onnxruntime:onnxruntime_gpu) on the class path; for the command,"
                + " set RESNET4J_CLASSPATH to the jar",
            error.getMessage());
      } finally {
        thread.setContextClassLoader(usual);
      }
    }
  }

  @Test
  void serverClassifies(@TempDir Path folder) throws Exception {
    ServerOptions usual = ServerOptions.defaults();
    var options =
        new ServerOptions(
            usual.host(),
            0,
            -1,
            Optional.empty(),
            new ServerOptions.Batching(2, Duration.ofMillis(1), 16),
            usual.limits(),
            usual.access(),
            Optional.empty(),
            Optional.of(folder.resolve("access.log")),
            Duration.ofSeconds(5),
            options(CPU));
    try (var server =
            InferenceServer.start(options, Map.of("digits", Model.embedded()), Model::load);
        var client = HttpClient.newHttpClient()) {
      var response =
          client.send(
              HttpRequest.newBuilder(URI.create(server.address() + "/classify"))
                  .header("Content-Type", "image/png")
                  .POST(HttpRequest.BodyPublishers.ofByteArray(Files.readAllBytes(SAMPLE)))
                  .build(),
              BodyHandlers.ofString());
      assertEquals(200, response.statusCode(), response.body());
      assertTrue(response.body().contains("\"label\":\"6\""), response.body());
    }
  }
}
