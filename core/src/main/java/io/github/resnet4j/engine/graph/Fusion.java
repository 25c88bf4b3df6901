package io.github.resnet4j.engine.graph;

import java.util.ArrayList;
import java.util.List;

/**
 * Fuses operations, so that their result is written only once: a convolution with the following
 * batch norm, addition and ReLU; an attention or a group norm with the following addition and ReLU.
 */
public final class Fusion {
  private Fusion() {}

  public static Graph fuse(Graph graph) {
    return fuse(graph, false);
  }

  /**
   * @param integers whether convolutions multiply integers; the sum of a block that normalizes
   *     first, which consists of floats, then is an operation of its own
   */
  public static Graph fuse(Graph graph, boolean integers) {
    return new Graph(
        graph.blocks().stream().map(block -> fuse(block, integers)).toList(), graph.names());
  }

  private static List<Op> fuse(List<Op> block, boolean integers) {
    var fused = new ArrayList<Op>();
    for (Op op : block) {
      boolean stays =
          integers
              && op instanceof Op.Add add
              && fused.getLast() instanceof Op.Conv conv
              && conv.norm() == null
              && conv.out().equals(add.main());
      Op both = fused.isEmpty() || stays ? op : joined(fused.getLast(), op);
      if (both != op) {
        fused.removeLast();
      }
      fused.add(both);
    }
    return List.copyOf(fused);
  }

  /** Returns the fusion of both, or the second operation unchanged. */
  private static Op joined(Op first, Op second) {
    return switch (second) {
      case Op.Norm norm
          when first instanceof Op.Conv conv
              && conv.residual() == null
              && conv.out().equals(norm.in()) ->
          new Op.Conv(conv.layer(), norm.layer(), conv.in(), null, false, norm.out());
      case Op.Relu relu when first instanceof Op.Norm norm && norm.out().equals(relu.in()) ->
          new Op.Norm(norm.layer(), norm.in(), true, relu.out());
      case Op.Add add when first instanceof Op.Conv conv && conv.out().equals(add.main()) ->
          new Op.Conv(conv.layer(), conv.norm(), conv.in(), add.shortcut(), false, add.out());
      case Op.Add add
          when first instanceof Op.Attention attention && attention.out().equals(add.main()) ->
          new Op.Attention(attention.layer(), attention.in(), add.shortcut(), false, add.out());
      case Op.Add add when first instanceof Op.GroupNorm norm && norm.out().equals(add.main()) ->
          new Op.GroupNorm(norm.layer(), norm.in(), add.shortcut(), false, add.out());
      case Op.Relu relu when first instanceof Op.Conv conv && isNormed(conv, relu.in()) ->
          new Op.Conv(conv.layer(), conv.norm(), conv.in(), conv.residual(), true, relu.out());
      case Op.Relu relu
          when first instanceof Op.Attention attention && attention.out().equals(relu.in()) ->
          new Op.Attention(
              attention.layer(), attention.in(), attention.residual(), true, relu.out());
      case Op.Relu relu when first instanceof Op.GroupNorm norm && norm.out().equals(relu.in()) ->
          new Op.GroupNorm(norm.layer(), norm.in(), norm.residual(), true, relu.out());
      default -> second;
    };
  }

  private static boolean isNormed(Op.Conv conv, Value result) {
    return conv.norm() != null && conv.out().equals(result);
  }
}
