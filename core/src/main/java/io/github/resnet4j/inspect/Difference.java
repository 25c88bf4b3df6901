package io.github.resnet4j.inspect;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.reference.ReferenceForward;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.SequencedMap;
import org.jspecify.annotations.Nullable;

/**
 * The difference between two tensors with the same name.
 *
 * @param name the name of a parameter or a layer
 * @param first shape and type of the first tensor, or empty if there is only the second
 * @param second shape and type of the second tensor, or empty
 * @param relative the norm of the difference divided by the norm of the first tensor: 0 if all
 *     values are equal, about 1e-6 for float32 sums in another order; empty if the tensors cannot
 *     be compared
 * @param largest the largest absolute difference of two values; empty if the tensors cannot be
 *     compared
 */
public record Difference(
    String name, String first, String second, OptionalDouble relative, OptionalDouble largest) {

  /** Whether all values are equal. */
  public boolean isNone() {
    return first.equals(second) && largest.isPresent() && largest.getAsDouble() == 0;
  }

  private static Difference uncomparable(String name, String first, String second) {
    return new Difference(name, first, second, OptionalDouble.empty(), OptionalDouble.empty());
  }

  /** Compares only shapes; null is a missing tensor. */
  public static Difference ofShapes(
      String name, @Nullable List<Integer> first, @Nullable List<Integer> second) {
    String one = first == null ? "" : first.toString();
    String other = second == null ? "" : second.toString();
    return one.equals(other)
        ? new Difference(name, one, other, OptionalDouble.of(0), OptionalDouble.of(0))
        : uncomparable(name, one, other);
  }

  /** Compares value by value; NaN is equal to NaN. */
  static Difference of(String name, String first, String second, Tensor a, Tensor b) {
    if (!a.sameShape(b)) {
      return uncomparable(name, first, second);
    }
    double squares = 0;
    double own = 0;
    double largest = 0;
    for (int i = 0; i < a.size(); i++) {
      double x = a.data()[i];
      double y = b.data()[i];
      double distance = Double.compare(x, y) == 0 || x == y ? 0 : Math.abs(x - y);
      squares += distance * distance;
      own += x * x;
      largest = Double.isNaN(distance) ? Double.POSITIVE_INFINITY : Math.max(largest, distance);
    }
    double relative =
        squares == 0 ? 0 : own == 0 ? Double.POSITIVE_INFINITY : Math.sqrt(squares / own);
    return new Difference(
        name,
        first,
        second,
        OptionalDouble.of(Double.isNaN(relative) ? Double.POSITIVE_INFINITY : relative),
        OptionalDouble.of(largest));
  }

  /**
   * Compares the tensors of two checkpoints by torchvision's names, in the order of the first.
   *
   * @throws CheckpointException if two names in a file have the same translation
   */
  public static List<Difference> ofWeights(Checkpoint first, Checkpoint second)
      throws CheckpointException {
    SequencedMap<String, StoredTensor> a = first.torchvisionTensors();
    SequencedMap<String, StoredTensor> b = second.torchvisionTensors();
    var names = new LinkedHashSet<>(a.keySet());
    names.addAll(b.keySet());
    var differences = new ArrayList<Difference>();
    for (String name : names) {
      StoredTensor one = a.get(name);
      StoredTensor other = b.get(name);
      if (one == null || other == null || !one.shape().equals(other.shape())) {
        differences.add(uncomparable(name, text(one), text(other)));
      } else {
        differences.add(of(name, text(one), text(other), one.toTensor(), other.toTensor()));
      }
    }
    return List.copyOf(differences);
  }

  private static String text(@Nullable StoredTensor tensor) {
    return tensor == null ? "" : tensor.toString();
  }

  /**
   * Compares the results of every layer of two networks for the same input, in the order of the
   * first.
   *
   * @param x {@code [N, C, H, W]}, preprocessed
   * @param threads the number of threads, at least 1
   */
  public static List<Difference> ofActivations(ResNet first, ResNet second, Tensor x, int threads) {
    return compare(activations(first, x, threads), activations(second, x, threads));
  }

  /**
   * Compares with activations from another implementation, such as PyTorch, for the layers in
   * {@code expected}.
   *
   * @param expected activations by layer name; {@code output} is the network's result
   * @throws IllegalArgumentException if it contains none of the network's layers
   */
  public static List<Difference> ofActivations(
      ResNet network, Map<String, Tensor> expected, Tensor x, int threads) {
    Map<String, Tensor> own = activations(network, x, threads);
    if (own.keySet().stream().noneMatch(expected::containsKey)) {
      throw new IllegalArgumentException(
          "none of the names %s is one of the network's layers, %s …"
              .formatted(
                  expected.keySet().stream().limit(5).toList(),
                  own.keySet().stream().limit(5).toList()));
    }
    own.keySet().retainAll(expected.keySet());
    return compare(own, expected);
  }

  private static SequencedMap<String, Tensor> activations(ResNet network, Tensor x, int threads) {
    List<String> names =
        network
            .layers()
            .walk()
            .filter(layer -> !layer.name().isEmpty() && !(layer instanceof Layer.Identity))
            .map(Layer::name)
            .distinct()
            .toList();
    try (var team = new Team(threads)) {
      return new ReferenceForward(network.layers(), network.state(), team).runAll(x, names);
    }
  }

  private static List<Difference> compare(Map<String, Tensor> a, Map<String, Tensor> b) {
    var differences = new ArrayList<Difference>();
    a.forEach((name, one) -> {
      Tensor other = b.get(name);
      if (other != null) {
        // PyTorch's pooling returns [N, C, 1, 1], ours [N, C].
        boolean same = Arrays.equals(withoutOnes(one), withoutOnes(other));
        Tensor alike = same ? other.reshape(one.shape()) : other;
        differences.add(of(name, one.toString(), other.toString(), one, alike));
      }
    });
    return List.copyOf(differences);
  }

  private static int[] withoutOnes(Tensor tensor) {
    return Arrays.stream(tensor.shape()).filter(extent -> extent != 1).toArray();
  }
}
