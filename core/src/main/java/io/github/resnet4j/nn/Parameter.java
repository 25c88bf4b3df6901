package io.github.resnet4j.nn;

import java.util.List;

/**
 * One entry of a network's state: its name as in PyTorch's {@code state_dict}, what it is, and its
 * shape.
 */
public record Parameter(String name, Role role, List<Integer> shape) {
  /** What an entry is for. */
  public enum Role {
    /** Learned by gradient descent. */
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

  /** The extents as an array, for {@code Tensor}. */
  public int[] extents() {
    return shape.stream().mapToInt(Integer::intValue).toArray();
  }
}
