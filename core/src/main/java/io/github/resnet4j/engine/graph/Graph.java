package io.github.resnet4j.engine.graph;

import io.github.resnet4j.messages.Suggestion;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;

/**
 * A network as operations in the order in which they run. Immutable.
 *
 * @param blocks operations that belong together: the first layers, each residual block, and what
 *     comes after the last of them; in a residual block the shortcut comes first
 * @param names the layers' results by the layers' names; some may have gone where a layer became
 *     part of another's operation
 */
public record Graph(List<List<Op>> blocks, SequencedMap<String, Value> names) {
  /** All operations, first to last. */
  public List<Op> ops() {
    return blocks.stream().flatMap(List::stream).toList();
  }

  /** What the network is for: its last operation's result. */
  public Value result() {
    return blocks.getLast().getLast().out();
  }

  /** The operations that read a value. */
  public List<Op> readers(Value value) {
    return ops().stream().filter(op -> op.inputs().contains(value)).toList();
  }

  /** The operation that makes a value. */
  public Op producer(Value value) {
    return ops().stream()
        .filter(op -> op.out().equals(value) && !(op instanceof Op.Output))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException("nothing makes " + value));
  }

  /**
   * The widest block of channels, up to 64, that divides every convolution's output channels
   * (counted in sixteens).
   */
  public int blockChannels() {
    int block = 64;
    for (Op op : ops()) {
      if (op instanceof Op.Conv conv) {
        while (Math.ceilDiv(conv.layer().outChannels(), 16) * 16 % block != 0) {
          block /= 2;
        }
      }
    }
    return block;
  }

  /**
   * The same graph, with operations that hand out the results of some layers and, last, the
   * network's own.
   *
   * @throws IllegalArgumentException if there is no such layer or its result is never written
   */
  public Graph withOutputs(List<String> taps) {
    Set<Value> made = new HashSet<>();
    ops().forEach(op -> made.add(op.out()));
    List<String> known =
        names.entrySet().stream()
            .filter(entry -> made.contains(entry.getValue()))
            .map(Map.Entry::getKey)
            .toList();
    var last = new ArrayList<>(blocks.getLast());
    for (int i = 0; i < taps.size(); i++) {
      String tap = taps.get(i);
      Value found = known.contains(tap) ? names.get(tap) : null;
      if (found == null) {
        throw new IllegalArgumentException(
            "no layer '%s' to tap%s; there are %s"
                .formatted(tap, Suggestion.of(tap, known), String.join(", ", known)));
      }
      last.add(new Op.Output(tap, found, i));
    }
    last.add(new Op.Output("output", result(), taps.size()));
    var all = new ArrayList<>(blocks);
    all.set(all.size() - 1, List.copyOf(last));
    return new Graph(List.copyOf(all), names);
  }
}
