package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Files written by PyTorch, safetensors and transformers. */
class CheckpointTest {
  @TempDir private Path folder;

  private static Map<String, float[]> values(Path file) throws IOException {
    try (var checkpoint = Checkpoint.open(file)) {
      var values = new LinkedHashMap<String, float[]>();
      checkpoint
          .torchvisionTensors()
          .forEach((name, tensor) -> values.put(name, tensor.toTensor().data()));
      return values;
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "protocol3.pth",
        "protocol4.pth",
        "protocol5.pth",
        "legacy.pth",
        "training.pth",
        "compiled.pth",
        "average.pth",
        "backbone.pth",
        "plain.safetensors",
      })
  void everyWrapperHasTheSameWeights(String name) throws IOException {
    var expected = values(Golden.path("checkpoints/zip.pth"));
    var actual = values(Golden.path("checkpoints/" + name));
    assertEquals(expected.keySet(), actual.keySet());
    expected.forEach((key, value) -> assertArrayEquals(value, actual.get(key), key));
  }

  @Test
  void tensorsHaveStateDictOrder() throws IOException {
    try (var checkpoint = Checkpoint.open(Golden.path("checkpoints/zip.pth"))) {
      assertEquals(
          List.of("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean"),
          checkpoint.names().subList(0, 4));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"views.pth", "views-legacy.pth"})
  void stridedViewsOfSharedStorageAreRead(String name) throws IOException {
    compare(Golden.json("checkpoints/tensors.json").get("views"), name);
  }

  @ParameterizedTest
  @ValueSource(strings = {"types.pth", "types.safetensors"})
  void everyTypeIsConvertedToFloat32(String name) throws IOException {
    compare(Golden.json("checkpoints/tensors.json").get("types"), name);
  }

  private static void compare(Map<String, Object> expected, String name) throws IOException {
    try (var checkpoint = Checkpoint.open(Golden.path("checkpoints/" + name))) {
      assertEquals(expected.keySet(), checkpoint.tensors().keySet());
      checkpoint
          .tensors()
          .forEach((key, stored) -> {
            var fields = (Map<?, ?>) expected.get(key);
            Tensor tensor = stored.toTensor();
            assertEquals(fields.get("shape").toString(), tensor.toString(), key);
            var values = Golden.list(fields.get("values"));
            assertEquals(values.size(), tensor.size(), key);
            for (int i = 0; i < tensor.size(); i++) {
              assertEquals((float) Golden.number(values.get(i)), tensor.data()[i], key);
            }
          });
    }
  }

  /** Values from torch.load(weights_only=True). */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "python2.pth",
        "python2-legacy.pth",
        "checksums.pth",
        "without-checksums.pth",
        "data-descriptors.pth",
        "numpy-metrics.pth",
        "numpy-protocol2.pth",
        "numpy-protocol3.pth",
        "numpy-protocol4.pth",
        "numpy-protocol5.pth",
        "numpy-protocol2.pkl",
        "numpy-protocol3.pkl",
        "numpy-protocol4.pkl",
        "numpy-protocol5.pkl",
        "numpy-python2.pkl",
        "arrays.npz",
        "scripted.pt",
        "traced.pt",
        "exported.pt2",
        "exported-2.6.pt2",
      })
  void valuesMatchTorchLoad(String name) throws IOException {
    compare(Golden.json("checkpoints/foreign/expected.json").get(name), "foreign/" + name);
  }

  @ParameterizedTest
  @CsvSource({
    "sparse.pth, is sparse",
    "quantized.pth, is quantized (qint8)",
    "channels.pth, is quantized (quint8)",
    "complex64.pth, is of type complex64",
    "complex128.pth, is of type complex128",
    "float8_e4m3fn.pth, is of type float8_e4m3fn",
    "float8_e5m2.pth, is of type float8_e5m2",
    "uint16.pth, is of type uint16",
    "nested.pth, is nested",
    "meta.pth, 'is without values, on the meta device'",
    "numpy-complex.pth, 'is a NumPy array of type ''<c8'''",
    "numpy-big-endian.pth, 'is a NumPy array of type ''>f4'''",
    "numpy-objects.pth, 'is a NumPy array of type ''O8'''",
    "float8_e4m3fn.safetensors, is of type F8_E4M3",
    "complex64.safetensors, is of type C64",
    "uint16.safetensors, is of type U16",
  })
  void unsupportedTensorsAreNamedWithTheirKind(String name, String kind) {
    Path file = Golden.path("checkpoints/foreign/kinds/" + name);
    var error = assertThrows(CheckpointException.class, () -> Checkpoint.open(file).close());
    assertTrue(
        error.getMessage().contains("tensor layer.weight " + kind + ", which is not supported"),
        error.getMessage());
  }

  /** A frozen TorchScript module has its weights in its code, folded and without names. */
  @Test
  void frozenModulesAreRejectedWithTheReason() {
    Path file = Golden.path("checkpoints/foreign/frozen.pt");
    var error = assertThrows(CheckpointException.class, () -> Checkpoint.open(file).close());
    assertTrue(error.getMessage().contains("torch.jit.freeze"), error.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "beside-sparse.pth",
        "beside-sparse-legacy.pth",
        "beside-quantized.pth",
        "beside-quantized-legacy.pth",
        "beside-complex64.pth",
        "beside-complex64-legacy.pth",
        "beside-float8_e4m3fn.pth",
      })
  void unsupportedTensorsBesideWeightsAreIgnored(String name) throws IOException {
    try (var checkpoint = Checkpoint.open(Golden.path("checkpoints/foreign/kinds/" + name))) {
      assertTrue(checkpoint.names().contains("bias"));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"array.npy", "fortran.npy", "double.npy"})
  void npyIsReadInRowMajorOrder(String name) throws IOException {
    Tensor tensor = Npy.read(Golden.path("checkpoints/" + name));
    assertEquals("[2, 3, 4]", tensor.toString());
    for (int i = 0; i < 24; i++) {
      assertEquals(i, tensor.data()[i]);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 4})
  void npyRoundTrip(int rank) throws IOException {
    int[] shape = {2, 3, 1, 5};
    Tensor tensor = Tensor.filled(1.5f, Arrays.copyOf(shape, rank));
    Path file = folder.resolve("x.npy");
    Npy.write(file, tensor);
    Tensor again = Npy.read(file);
    assertArrayEquals(tensor.shape(), again.shape());
    assertArrayEquals(tensor.data(), again.data());
  }

  @ParameterizedTest
  @ValueSource(strings = {"x.pth", "x.safetensors"})
  void checkpointRoundTrip(String name) throws IOException {
    var metadata =
        Map.<String, Object>of(
            "text", "Grüße", "list", List.of("a", 1L, 2.5, true), "map", Map.of("k", 1L << 40));
    Path file = folder.resolve(name);
    for (String source : List.of("types.pth", "views.pth", "zip.pth")) {
      try (var original = Checkpoint.open(Golden.path("checkpoints/" + source))) {
        CheckpointWriter.write(file, original.tensors(), metadata);
        try (var copy = Checkpoint.open(file)) {
          assertEquals(original.names(), copy.names());
          for (String key : copy.names()) {
            var before = original.tensors().get(key);
            var after = copy.tensors().get(key);
            assertEquals(before.dtype(), after.dtype());
            assertEquals(before.shape(), after.shape());
            assertArrayEquals(before.toTensor().data(), after.toTensor().data(), key);
          }
          assertEquals("Grüße", copy.metadata().get("text"));
          assertEquals(metadata.get("list").toString(), copy.metadata().get("list").toString());
          assertEquals("{k=1099511627776}", copy.metadata().get("map").toString());
        }
      }
    }
  }

  @Test
  void conversionRoundsHalfToEven() {
    var source =
        StoredTensor.of(Tensor.of(new float[] {1.00390625f, 1.01171875f, 65520, -3e-8f}, 4));
    assertArrayEquals(
        new float[] {1, 1.015625f, 65536, -3.0035153e-8f}, source.as(DType.BF16).toTensor().data());
    assertArrayEquals(
        new float[] {1.00390625f, 1.01171875f, Float.POSITIVE_INFINITY, -5.9604645e-8f},
        source.as(DType.F16).toTensor().data());
  }

  @Test
  void failedWriteKeepsOldFileAndLeavesNoOther() throws IOException {
    Path file = folder.resolve("weights.pth");
    var good = new LinkedHashMap<String, StoredTensor>();
    good.put("a", StoredTensor.of(Tensor.filled(1, 3)));
    CheckpointWriter.write(file, good, Map.of());
    assertThrows(
        IllegalArgumentException.class,
        () -> CheckpointWriter.write(file, good, Map.of("stream", System.out)));
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
    try (var checkpoint = Checkpoint.open(file)) {
      assertArrayEquals(new float[] {1, 1, 1}, checkpoint.tensors().get("a").toTensor().data());
    }
  }

  @Test
  void fileNameMustHaveKnownExtension() {
    var error =
        assertThrows(
            CheckpointException.class,
            () ->
                CheckpointWriter.write(folder.resolve("x.onnx"), new LinkedHashMap<>(), Map.of()));
    assertTrue(error.getMessage().contains("must end in .safetensors, .pth, .pt or .bin"));
  }

  @Test
  void npyIsWrittenRowByRow() throws IOException {
    Path file = folder.resolve("rows.npy");
    try (var rows = new Npy.Rows(file, 2, 3)) {
      for (int i = 0; i < 5; i++) {
        rows.add(new float[] {i, 1, 2, 3, 4, -i});
        assertFalse(Files.exists(file));
      }
      assertThrows(IllegalArgumentException.class, () -> rows.add(new float[5]));
      rows.complete();
    }
    Tensor tensor = Npy.read(file);
    assertArrayEquals(new int[] {5, 2, 3}, tensor.shape());
    assertEquals(4, tensor.data()[24]);
    assertEquals(-4, tensor.data()[29]);
    assertEquals(256 + 30 * 4, Files.size(file));
    try (var rows = new Npy.Rows(folder.resolve("lost.npy"), 1)) {
      rows.add(new float[1]);
    }
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }

  /** A file of 640 bytes was once mistaken for a pickle, which starts with the same two bytes. */
  @Test
  void safetensorsWithAnyHeaderLengthAreRead() throws IOException {
    Path file = folder.resolve("x.safetensors");
    for (int length = 1; length < 1500; length += 8) {
      var tensors = new LinkedHashMap<String, StoredTensor>();
      tensors.put("x".repeat(length), StoredTensor.of(Tensor.filled(2, 3)));
      CheckpointWriter.write(file, tensors, Map.of());
      try (var checkpoint = Checkpoint.open(file)) {
        assertEquals(2, checkpoint.tensors().firstEntry().getValue().toTensor().data()[2]);
      }
    }
  }
}
