package io.github.resnet4j.engine.graph;

import java.util.HashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Decides how each value's numbers are stored: as convolutions want to read them. What is averaged,
 * or only handed out, remains floats, as does all after it.
 */
public final class Formats {
  private final Graph graph;
  private final Numbers numbers;
  private final Map<Value, Encoding> encodings = new HashMap<>();

  private Formats(Graph graph, Numbers numbers) {
    this.graph = graph;
    this.numbers = numbers;
  }

  public static Map<Value, Encoding> choose(Graph graph, Numbers numbers) {
    var formats = new Formats(graph, numbers);
    for (Op op : graph.ops()) {
      formats.encodings.putIfAbsent(op.out(), formats.encoding(op));
    }
    return formats.encodings;
  }

  private Encoding encoding(Op op) {
    return switch (op) {
      case Op.Input input -> numbers.ofImages(input);
      case Op.Conv conv when isReadByConvolution(conv.out()) ->
          numbers.ofResult(conv.name(), conv.relu());
      case Op.Attention attention when isReadByConvolution(attention.out()) ->
          numbers.ofResult(attention.name(), true);
      case Op.MaxPool _, Op.AveragePool _, Op.Blur _, Op.Subsample _ ->
          Objects.requireNonNull(encodings.get(op.inputs().getFirst()));
      default -> Encoding.FLOATS;
    };
  }

  /** Whether a convolution reads or adds it, perhaps after pooling or attention. */
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
