package io.github.resnet4j.train;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/** What is known about an image, and what a network learns to say about it. */
public sealed interface Target {
  /**
   * One class.
   *
   * @param index the index of the class
   */
  record Label(int index) implements Target {}

  /**
   * Any number of classes, also none.
   *
   * @param indices the indices of the classes, ascending
   */
  record Labels(List<Integer> indices) implements Target {
    public Labels {
      indices = List.copyOf(new TreeSet<>(indices));
    }
  }

  /**
   * Numbers.
   *
   * @param values one for each name in the data set's {@link Dataset#classes}, all finite
   */
  record Values(List<Float> values) implements Target {
    /**
     * @throws IllegalArgumentException if a value is NaN or infinite
     */
    public Values {
      for (float value : values) {
        if (!Float.isFinite(value)) {
          throw new IllegalArgumentException("values must be finite numbers, was " + value);
        }
      }
      values = List.copyOf(values);
    }
  }

  /** The classes of the image; none if the target is numbers. */
  default Set<Integer> classes() {
    return switch (this) {
      case Label(int index) -> Set.of(index);
      case Labels(List<Integer> indices) -> Set.copyOf(indices);
      case Values _ -> Set.of();
    };
  }
}
