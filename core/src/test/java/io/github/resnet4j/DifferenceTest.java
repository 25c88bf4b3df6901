package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.inspect.Difference;
import io.github.resnet4j.inspect.TensorStatistics;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Differences between networks, and statistics of tensors. */
class DifferenceTest {
  @TempDir private Path folder;

  private static ResNet network() {
    return ResNet.initialize(Architecture.named("resnet20"), TorchRandom.manualSeed(0));
  }

  /** The same network with one weight of one convolution changed. */
  private static ResNet changed(ResNet network, String name) {
    var entries = new LinkedHashMap<String, Tensor>();
    network
        .state()
        .entries()
        .forEach(
            (key, tensor) -> entries.put(key, Tensor.of(tensor.data().clone(), tensor.shape())));
    entries.get(name).data()[0] += 0.5f;
    return network.withState(new StateDict(entries));
  }

  @Test
  void changedWeightIsFound() throws IOException {
    Path a = folder.resolve("a.safetensors");
    Path b = folder.resolve("b.pth");
    network().save(a, Map.of());
    changed(network(), "layer2.1.conv1.weight").save(b, Map.of());
    try (var first = Checkpoint.open(a);
        var second = Checkpoint.open(b)) {
      List<Difference> all = Difference.ofWeights(first, second);
      assertEquals(first.tensors().size(), all.size());
      List<Difference> different = all.stream().filter(each -> !each.isNone()).toList();
      assertEquals(1, different.size());
      assertEquals("layer2.1.conv1.weight", different.getFirst().name());
      assertEquals(0.5, different.getFirst().largest().getAsDouble(), 1e-7);
    }
  }

  @Test
  void missingOrReshapedTensorsAreNotCompared() throws IOException {
    Path a = folder.resolve("a.safetensors");
    Path b = folder.resolve("b.safetensors");
    var tensors = new LinkedHashMap<String, StoredTensor>();
    tensors.put("x", StoredTensor.of(Tensor.zeros(2, 3)));
    tensors.put("y", StoredTensor.of(Tensor.zeros(4)));
    CheckpointWriter.write(a, tensors, Map.of());
    tensors.remove("y");
    tensors.put("x", StoredTensor.of(Tensor.zeros(3, 2)));
    tensors.put("z", StoredTensor.of(Tensor.zeros(1)));
    CheckpointWriter.write(b, tensors, Map.of());
    try (var first = Checkpoint.open(a);
        var second = Checkpoint.open(b)) {
      var all = Difference.ofWeights(first, second);
      assertEquals(List.of("x", "y", "z"), all.stream().map(Difference::name).toList());
      assertTrue(all.stream().allMatch(each -> each.relative().isEmpty() && !each.isNone()));
      assertEquals("f32[2, 3]", all.get(0).first());
      assertEquals("f32[3, 2]", all.get(0).second());
      assertEquals("", all.get(1).second());
      assertEquals("", all.get(2).first());
    }
  }

  @Test
  void activationsDifferFromTheChangedLayerOn() {
    Tensor x = TorchRandom.manualSeed(1).randn(1, 3, 32, 32);
    ResNet a = network();
    var all = Difference.ofActivations(a, changed(a, "layer2.1.conv1.weight"), x, 2);
    String first =
        all.stream().filter(each -> !each.isNone()).map(Difference::name).findFirst().orElse("");
    // In the order of the tree a block precedes its layers.
    assertEquals("layer2", first);
    List<String> leaves =
        all.stream()
            .filter(each -> !each.isNone() && each.name().matches(".*(conv|bn|relu|fc)\\d?"))
            .map(Difference::name)
            .toList();
    assertEquals("layer2.1.conv1", leaves.getFirst());
    assertEquals("fc", leaves.getLast());

    // Activations from another implementation: only the named ones.
    Tensor logits = a.forward(x);
    var expected = Map.of("fc", logits, "no layer", logits);
    var compared = Difference.ofActivations(a, expected, x, 2);
    assertEquals(List.of("fc"), compared.stream().map(Difference::name).toList());
    assertTrue(compared.getFirst().isNone());
    assertThrows(
        IllegalArgumentException.class,
        () -> Difference.ofActivations(a, Map.of("no layer", logits), x, 2));
  }

  /** 0, 1, … 99, two NaNs, and three more zeros. */
  @Test
  void statisticsUseFiniteValuesOnly() {
    float[] data = new float[105];
    IntStream.range(0, 100).forEach(i -> data[i] = i);
    data[100] = Float.NaN;
    data[101] = Float.NEGATIVE_INFINITY;
    var found = TensorStatistics.of(Tensor.of(data, 105));
    assertEquals(105, found.count());
    assertEquals(2, found.notFinite());
    assertEquals(4, found.zeros());
    assertEquals(0, found.min());
    assertEquals(99, found.max());
    double mean = 4950 / 103.0;
    assertEquals(mean, found.mean(), 1e-12);
    assertEquals(Math.sqrt(328350 / 103.0 - mean * mean), found.deviation(), 1e-9);
    assertEquals(
        103, IntStream.range(0, TensorStatistics.BINS).mapToLong(i -> found.histogram()[i]).sum());
    var none = TensorStatistics.of(Tensor.filled(Float.NaN, 3));
    assertTrue(Double.isNaN(none.min()) && Double.isNaN(none.mean()));
    var same = TensorStatistics.of(Tensor.filled(2, 3));
    assertEquals(0, same.deviation());
    assertEquals(3, same.histogram()[TensorStatistics.BINS / 2]);
  }
}
