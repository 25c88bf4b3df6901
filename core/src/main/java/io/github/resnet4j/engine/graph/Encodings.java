package io.github.resnet4j.engine.graph;

import java.util.HashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Chooses the encoding of each value: the one that the convolutions reading it need. Averages,
 * values that a norm reads, and values that are only outputs are floats, and so are all values
 * computed from them.
 */
public final class Encodings {
  private final Graph graph;
  private final Arithmetic arithmetic;
  private final Map<Value, Encoding> encodings = new HashMap<>();

  private Encodings(Graph graph, Arithmetic arithmetic) {
    this.graph = graph;
    this.arithmetic = arithmetic;
  }

  public static Map<Value, Encoding> choose(Graph graph, Arithmetic arithmetic) {
    var encodings = new Encodings(graph, arithmetic);
    for (Op op : graph.ops()) {
      encodings.encodings.putIfAbsent(op.out(), encodings.encoding(op));
    }
    return encodings.encodings;
  }

  private Encoding encoding(Op op) {
    return switch (op) {
      case Op.Input input -> arithmetic.imageEncoding(input);
      case Op.Conv conv when conv.norm() == null -> Encoding.FLOATS; // a norm reads it
      case Op.Conv conv when isReadByConvolution(conv.out()) ->
          arithmetic.resultEncoding(conv.name(), conv.relu());
      case Op.Attention attention when isReadByConvolution(attention.out()) ->
          arithmetic.resultEncoding(attention.name(), true);
      case Op.Norm norm when norm.relu() && isReadByConvolution(norm.out()) ->
          arithmetic.resultEncoding(norm.name(), true);
      case Op.GroupNorm norm when norm.relu() && isReadByConvolution(norm.out()) ->
          arithmetic.resultEncoding(norm.name(), true);
      case Op.MaxPool _, Op.AveragePool _, Op.Blur _, Op.Subsample _ ->
          Objects.requireNonNull(encodings.get(op.inputs().getFirst()));
      default -> Encoding.FLOATS;
    };
  }

  /** Whether a convolution reads or adds the value, possibly after pooling or attention. */
  private boolean isReadByConvolution(Value value) {
    return graph.readers(value).stream()
        .anyMatch(op ->
            switch (op) {
              case Op.Conv _ -> true;
              case Op.MaxPool _, Op.AveragePool _, Op.Blur _, Op.Subsample _, Op.Attention _ ->
                  isReadByConvolution(op.out());
              default -> false;
            });
  }
}
