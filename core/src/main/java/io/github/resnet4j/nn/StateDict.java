package io.github.resnet4j.nn;

import io.github.resnet4j.tensor.Tensor;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.SequencedMap;

/**
 * The numbers of a network by name, in the order of PyTorch's {@code state_dict}. The set of names
 * is fixed; the values in the tensors may change, as they do in training.
 */
public final class StateDict {
  private final SequencedMap<String, Tensor> entries;

  /**
   * @param entries name to tensor; copied, the tensors are shared
   */
  public StateDict(SequencedMap<String, Tensor> entries) {
    this.entries = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(entries));
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
   * The tensor of that name.
   *
   * @throws IllegalArgumentException if there is none
   */
  public Tensor get(String name) {
    Tensor tensor = entries.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("no parameter named '" + name + "'");
    }
    return tensor;
  }

  /** How many numbers it holds. */
  public long size() {
    return entries.values().stream().mapToLong(Tensor::size).sum();
  }

  /** All entries, in order; the map cannot be changed. */
  public SequencedMap<String, Tensor> entries() {
    return entries;
  }
}
