package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.ResNetSpec.Block;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.DType;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Networks with INT8 weights in a file. */
class QuantizedWeightsTest {
  private static final ResNetSpec SPEC =
      ResNetSpec.builder(Block.BOTTLENECK, 1, 1).channels(16).numClasses(10).build();

  private static final Tensor X = TorchRandom.manualSeed(5).randn(2, 3, 40, 40);

  @TempDir private Path folder = Path.of("");

  private static ResNet calibrated() {
    var network = ResNet.initialize(SPEC, TorchRandom.manualSeed(1));
    float[] variance = network.state().get("layer1.0.bn2.running_var").data();
    for (int i = 0; i < variance.length; i++) {
      variance[i] = 0.5f + 0.1f * i; // so that folding changes the weights
    }
    try (var calibration = new Calibration(network.compile(CompileOptions.defaults()))) {
      calibration.observe(X);
      return network.withQuantization(calibration.quantization(Calibration.Method.MIN_MAX));
    }
  }

  private static Tensor run(ResNet network, Precision precision) {
    var options = CompileOptions.defaults().withPrecision(precision);
    try (var session = network.compile(options)) {
      return session.run(X);
    }
  }

  private Path saved(ResNet network) throws IOException {
    Path file = folder.resolve("bytes.safetensors");
    network.saveQuantized(file, Map.of());
    return file;
  }

  private static ResNet load(Path file) throws IOException {
    try (var checkpoint = Checkpoint.open(file)) {
      return ResNet.load(SPEC, checkpoint);
    }
  }

  @Test
  void loadedNetworkHasLogitsOfSavedOne() throws IOException {
    var network = calibrated();
    Path file = saved(network);
    var loaded = load(file);
    assertEquals(network.quantization(), loaded.quantization());
    float[] expected = run(network, Precision.INT8).data();
    // The weights are identical; scales were rounded to float once more.
    assertArrayEquals(expected, run(loaded, Precision.INT8).data(), 1e-4f);
    // Saving again writes the same file.
    Path again = folder.resolve("again.safetensors");
    loaded.saveQuantized(again, Map.of());
    try (var first = Checkpoint.open(file);
        var second = Checkpoint.open(again)) {
      assertEquals(first.names(), second.names());
      for (String name : first.names()) {
        if (first.tensors().get(name).dtype() == DType.I8) {
          assertArrayEquals(
              first.tensors().get(name).toTensor().data(),
              second.tensors().get(name).toTensor().data(),
              name);
        }
      }
    }
  }

  @Test
  void inFp32OnlyWeightsAreRounded() throws IOException {
    var network = calibrated();
    var loaded = load(saved(network));
    float[] expected = run(network, Precision.FP32).data();
    float[] actual = run(loaded, Precision.FP32).data();
    double difference = 0;
    double length = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(expected[i] - actual[i], 2);
      length += Math.pow(expected[i], 2);
    }
    double error = Math.sqrt(difference / length);
    assertTrue(error > 0 && error < 0.02, "error " + error); // half a step of 127: 0.4 %
  }

  @Test
  void fileHasAboutAQuarterOfTheSize() throws IOException {
    var network = calibrated();
    Path floats = folder.resolve("floats.safetensors");
    network.save(floats, Map.of());
    assertTrue(Files.size(saved(network)) < 0.4 * Files.size(floats));
  }

  @Test
  void uncalibratedNetworkIsRejected() {
    var network = ResNet.initialize(SPEC, TorchRandom.manualSeed(1));
    assertThrows(
        IllegalStateException.class,
        () -> network.saveQuantized(folder.resolve("x.safetensors"), Map.of()));
    assertFalse(Files.exists(folder.resolve("x.safetensors")));
  }

  private CheckpointException refused(Consumer<Map<String, StoredTensor>> change)
      throws IOException {
    Path file = folder.resolve("changed.safetensors");
    try (var checkpoint = Checkpoint.open(saved(calibrated()))) {
      var tensors = new LinkedHashMap<>(checkpoint.tensors());
      change.accept(tensors);
      CheckpointWriter.write(file, tensors, Map.of());
    }
    return assertThrows(CheckpointException.class, () -> load(file));
  }

  @Test
  void scalesOfWrongNumberAreRejected() throws IOException {
    var e =
        refused(tensors -> tensors.put("conv1.weight_scale", StoredTensor.of(Tensor.filled(1, 7))));
    assertTrue(String.valueOf(e.getMessage()).contains("conv1 has 2352 weights with 7 scales"));
  }

  @Test
  void invalidRangesAreRejected() throws IOException {
    var e =
        refused(tensors ->
            tensors.put("conv1.output_range", StoredTensor.of(Tensor.filled(Float.NaN))));
    assertTrue(String.valueOf(e.getMessage()).contains("the range of conv1"), e.getMessage());
  }

  /** Also without the metadata that names the network. */
  @Test
  void networkIsRecognized() throws IOException {
    try (var checkpoint = Checkpoint.open(saved(calibrated()))) {
      assertEquals(SPEC, Recognition.require(checkpoint).spec());
      var other =
          assertThrows(
              CheckpointException.class,
              () -> ResNet.load(Architecture.named("resnet50"), checkpoint));
      String text = String.valueOf(other.getMessage());
      assertTrue(
          text.contains("the weights are those of another network, unnamed: bottleneck blocks 1-1"),
          text);
    }
  }

  @Test
  void weightsCanBeLoadedLazily() throws IOException {
    Path file = saved(calibrated());
    float[] expected = run(load(file), Precision.INT8).data();
    try (var checkpoint = Checkpoint.open(file)) {
      var lazy = ResNet.loadLazily(SPEC, checkpoint);
      assertArrayEquals(expected, run(lazy, Precision.INT8).data());
    }
  }

  @Test
  void missingTensorsAreNamed() throws IOException {
    var e = refused(tensors -> tensors.remove("layer1.0.conv2.weight_scale"));
    assertTrue(String.valueOf(e.getMessage()).contains("layer1.0.bn2.weight"), e.getMessage());
  }
}
