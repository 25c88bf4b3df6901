package io.github.resnet4j.nn;

import java.util.List;

/**
 * An entry of a network's state: its name in PyTorch's {@code state_dict}, its role, and its shape.
 */
public record Parameter(String name, Role role, List<Integer> shape) {
  /** The role of an entry. */
  public enum Role {
    /** Trained by gradient descent. */
    TRAINED,
    /** Running statistics of batch norm. */
    BUFFER,
    /** {@code num_batches_tracked}, an integer that published files may lack. */
    COUNTER
  }

  static Parameter trained(String name, Integer... shape) {
    return new Parameter(name, Role.TRAINED, List.of(shape));
  }

  /** The number of values; 1 for a scalar. */
  public long size() {
    return shape.stream().mapToLong(Integer::longValue).reduce(1, Math::multiplyExact);
  }

  /** The shape as an array, for {@code Tensor}. */
  public int[] extents() {
    return shape.stream().mapToInt(Integer::intValue).toArray();
  }
}
