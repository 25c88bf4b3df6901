package io.github.resnet4j.engine.graph;

import io.github.resnet4j.messages.Suggestion;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/** A network as operations in the order in which they run. Immutable. */
public final class Graph {
  private final List<List<Op>> blocks;
  private final SequencedMap<String, Value> names;
  private final List<Op> ops;
  private final Map<Value, Op> producers = new HashMap<>();
  private final Map<Value, List<Op>> readers = new HashMap<>();

  /**
   * @param blocks operations that belong together: the first layers, each residual block, and what
   *     comes after the last of them; in a residual block the shortcut comes first
   * @param names the layers' results by the layers' names; some may have gone where a layer became
   *     part of another's operation
   */
  Graph(List<List<Op>> blocks, SequencedMap<String, Value> names) {
    this.blocks = blocks;
    this.names = names;
    var all = new ArrayList<Op>();
    blocks.forEach(all::addAll);
    this.ops = List.copyOf(all);
    for (Op op : ops) {
      producers.putIfAbsent(op.out(), op); // an output hands out what another one made
      for (Value in : op.inputs()) {
        List<Op> of = readers.computeIfAbsent(in, _ -> new ArrayList<>());
        if (of.isEmpty() || of.getLast() != op) {
          of.add(op);
        }
      }
    }
  }

  /** Operations that belong together. */
  public List<List<Op>> blocks() {
    return blocks;
  }

  /** The layers' results by the layers' names. */
  SequencedMap<String, Value> names() {
    return names;
  }

  /** All operations, first to last. */
  public List<Op> ops() {
    return ops;
  }

  /** What the network is for: its last operation's result. */
  public Value result() {
    return blocks.getLast().getLast().out();
  }

  /** The operations that read a value. */
  public List<Op> readers(Value value) {
    return readers.getOrDefault(value, List.of());
  }

  /** The operation that makes a value. */
  public Op producer(Value value) {
    Op producer = producers.get(value);
    if (producer == null) {
      throw new IllegalArgumentException("nothing makes " + value);
    }
    return producer;
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
