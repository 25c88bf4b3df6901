package io.github.resnet4j.nn;

import io.github.resnet4j.tensor.Tensor;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Supplier;

/**
 * The parameters of a network by name, in the order of PyTorch's {@code state_dict}. The set of
 * names is fixed; the values in the tensors may change, as in training.
 */
public final class StateDict {
  private final SequencedMap<String, Supplier<Tensor>> readers;
  private final long size;

  /**
   * @param entries tensors by name; the map is copied, the tensors are not
   */
  public StateDict(SequencedMap<String, Tensor> entries) {
    this.readers = new LinkedHashMap<>();
    entries.forEach((name, tensor) -> readers.put(name, () -> tensor));
    this.size = entries.values().stream().mapToLong(Tensor::size).sum();
  }

  private StateDict(SequencedMap<String, Supplier<Tensor>> readers, long size) {
    this.readers = new LinkedHashMap<>(readers);
    this.size = size;
  }

  /**
   * Entries that are read on each request, so that they do not stay in memory; changes to their
   * values are lost.
   *
   * @param size the total number of values
   */
  public static StateDict read(SequencedMap<String, Supplier<Tensor>> readers, long size) {
    return new StateDict(readers, size);
  }

  /** Zeros for every entry of a network. */
  public static StateDict zeros(Layer network) {
    var entries = new LinkedHashMap<String, Tensor>();
    for (Parameter parameter : network.parameters()) {
      entries.put(parameter.name(), Tensor.zeros(parameter.extents()));
    }
    return new StateDict(entries);
  }

  /**
   * The tensor with this name.
   *
   * @throws IllegalArgumentException if there is none
   */
  public Tensor get(String name) {
    Supplier<Tensor> reader = readers.get(name);
    if (reader == null) {
      throw new IllegalArgumentException("no parameter named '" + name + "'");
    }
    return reader.get();
  }

  /** The total number of values. */
  public long size() {
    return size;
  }

  /** The name of the first entry that contains NaN or infinity; reads all entries. */
  public Optional<String> firstNotFinite() {
    return readers.entrySet().stream()
        .filter(entry -> !entry.getValue().get().isFinite())
        .map(Map.Entry::getKey)
        .findFirst();
  }

  /** All entries, in order, as an unmodifiable map. */
  public SequencedMap<String, Tensor> entries() {
    var entries = new LinkedHashMap<String, Tensor>();
    readers.forEach((name, reader) -> entries.put(name, reader.get()));
    return Collections.unmodifiableSequencedMap(entries);
  }

  /** {@code StateDict[320 tensors, 25610152 elements]}. */
  @Override
  public String toString() {
    return "StateDict[%d tensors, %d elements]".formatted(readers.size(), size);
  }
}
