package io.github.resnet4j.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.kernel.Format;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class GraphTest {
  static List<String> networks() {
    return List.copyOf(Architecture.catalogue().keySet());
  }

  private static Graph bare(String name) {
    return GraphBuilder.build(Architecture.named(name).layers(), 3, 128, 128);
  }

  private static Op.Conv conv(Graph graph, String name) {
    return graph.ops().stream()
        .filter(op -> op instanceof Op.Conv && op.name().equals(name))
        .map(Op.Conv.class::cast)
        .findFirst()
        .orElseThrow();
  }

  /**
   * In every network no value is read before it is computed, and everything that can be fused is
   * fused.
   */
  @ParameterizedTest
  @MethodSource("networks")
  void operationsAreOrderedAndFused(String name) {
    Graph fused = Fusion.fuse(bare(name));
    for (Graph graph : List.of(bare(name), fused)) {
      var made = new HashSet<Value>();
      for (Op op : graph.ops()) {
        assertTrue(made.containsAll(op.inputs()), op::name);
        assertTrue(made.add(op.out()), op::name);
      }
    }
    for (Op op : fused.ops()) {
      assertFalse(op instanceof Op.Relu || op instanceof Op.Add, op::name);
      boolean pre = Architecture.named(name).activation() == ResNetSpec.Activation.PRE;
      assertFalse(op instanceof Op.Norm norm && !(pre && norm.relu()), op::name);
      if (op instanceof Op.Conv conv && !pre) {
        assertTrue(
            conv.norm() != null || fused.readers(conv.out()).getFirst() instanceof Op.GroupNorm,
            op::name);
      }
    }
  }

  @Test
  void lastConvolutionOfBlockIsFusedWithSum() {
    Graph graph = Fusion.fuse(bare("resnet18"));
    Op.Conv first = conv(graph, "layer1.0.conv1");
    Op.Conv last = conv(graph, "layer1.0.conv2");
    assertEquals(first.in(), last.residual()); // an Identity Block
    assertEquals(first.out(), last.in());
    assertTrue(first.relu() && last.relu());
    Op.Conv projection = conv(graph, "layer2.0.downsample.0");
    assertFalse(projection.relu());
    assertEquals(projection.out(), conv(graph, "layer2.0.conv2").residual());
  }

  @Test
  void attentionIsFusedWithSum() {
    Graph graph = Fusion.fuse(bare("seresnet18"));
    Op.Conv last = conv(graph, "layer1.0.conv2");
    assertNull(last.residual());
    assertFalse(last.relu());
    Op reader = graph.readers(last.out()).getFirst();
    assertTrue(reader instanceof Op.Attention attention && attention.residual() != null);
  }

  @Test
  void tapsPrecedeTheResult() {
    Graph graph = Fusion.fuse(bare("resnet18"));
    Graph tapped = graph.withOutputs(List.of("layer2", "layer1.0"));
    List<Op> end = tapped.ops().subList(graph.ops().size(), tapped.ops().size());
    assertEquals(List.of("layer2", "layer1.0", "output"), end.stream().map(Op::name).toList());
    assertEquals(conv(graph, "layer1.0.conv2").out(), end.get(1).out());
    assertEquals(graph.result(), end.get(2).out());
    // The batch norm was fused into its convolution: its result is never written.
    var thrown =
        assertThrows(
            IllegalArgumentException.class, () -> graph.withOutputs(List.of("layer1.0.bn2")));
    assertTrue(thrown.getMessage().contains("layer1.0"), thrown::getMessage);
  }

  @Test
  void convolutionInputsHaveEncodingOfArithmetic() {
    Graph graph = Fusion.fuse(bare("resnet18")).withOutputs(List.of());
    Map<Value, Encoding> halves = Encodings.choose(graph, new Arithmetic(Format.BF16, null));
    assertEquals(Format.BF16, halves.get(conv(graph, "conv1").in()).format());
    assertEquals(Format.BF16, halves.get(conv(graph, "layer4.1.conv2").in()).format());
    assertEquals(Format.FP32, halves.get(conv(graph, "layer4.1.conv2").out()).format());
    assertThrows(
        IllegalArgumentException.class,
        () -> Encodings.choose(graph, new Arithmetic(Format.U8, Map.of("input", 1f))));
  }
}
