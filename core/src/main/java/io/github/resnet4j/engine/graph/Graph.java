package io.github.resnet4j.engine.graph;

import io.github.resnet4j.messages.Suggestion;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/** A network as a list of operations in execution order. Immutable. */
public final class Graph {
  private final List<List<Op>> blocks;
  private final SequencedMap<String, Value> names;
  private final List<Op> ops;
  private final Map<Value, Op> producers = new HashMap<>();
  private final Map<Value, List<Op>> readers = new HashMap<>();

  /**
   * @param blocks operations in groups: the stem, each residual block, and what follows the last
   *     block; in a residual block the shortcut comes first
   * @param names the results of layers by layer name; a layer that was fused into another operation
   *     may have no result
   */
  Graph(List<List<Op>> blocks, SequencedMap<String, Value> names) {
    this.blocks = blocks;
    this.names = names;
    var all = new ArrayList<Op>();
    blocks.forEach(all::addAll);
    this.ops = List.copyOf(all);
    for (Op op : ops) {
      producers.putIfAbsent(op.out(), op); // an output has the value of another operation
      for (Value in : op.inputs()) {
        List<Op> of = readers.computeIfAbsent(in, _ -> new ArrayList<>());
        if (of.isEmpty() || of.getLast() != op) {
          of.add(op);
        }
      }
    }
  }

  /** The operations in groups: the stem, each residual block, and what follows the last block. */
  public List<List<Op>> blocks() {
    return blocks;
  }

  /** The results of layers by layer name. */
  SequencedMap<String, Value> names() {
    return names;
  }

  /** All operations in execution order. */
  public List<Op> ops() {
    return ops;
  }

  /** The network's result: that of its last operation. */
  public Value result() {
    return blocks.getLast().getLast().out();
  }

  /** The operations that read a value. */
  public List<Op> readers(Value value) {
    return readers.getOrDefault(value, List.of());
  }

  /** The operation that computes a value. */
  public Op producer(Value value) {
    Op producer = producers.get(value);
    if (producer == null) {
      throw new IllegalArgumentException("no operation computes " + value);
    }
    return producer;
  }

  /**
   * The largest number of channels per block, up to 64, that divides the output channels of every
   * convolution (counted in sixteens).
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
   * The same graph with output operations for the given layers and, last, for the network's own
   * result.
   *
   * @throws IllegalArgumentException if there is no such layer, or its result is not computed
   */
  public Graph withOutputs(List<String> taps) {
    List<String> known =
        names.keySet().stream().filter(name -> producers.containsKey(names.get(name))).toList();
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
