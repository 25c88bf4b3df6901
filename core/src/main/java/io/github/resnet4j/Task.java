package io.github.resnet4j;

import java.util.Collections;
import java.util.List;

/** What a model's outputs mean. */
public sealed interface Task {
  /** One class per image: the probabilities of all classes sum to 1 (softmax of the logits). */
  Task SINGLE_LABEL = new SingleLabel(1);

  /**
   * One class per image.
   *
   * @param temperature the number by which logits are divided before the softmax; 1 unless the
   *     model was calibrated (arXiv 1706.04599)
   */
  record SingleLabel(double temperature) implements Task {
    /**
     * @throws IllegalArgumentException if the temperature is not positive
     */
    public SingleLabel {
      if (!(temperature > 0 && temperature < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException("the temperature must be positive, was " + temperature);
      }
    }
  }

  /**
   * Any number of classes per image: each class has its own probability (sigmoid of its logit).
   *
   * @param thresholds for each class the probability from which an image has it, in [0, 1]
   */
  record MultiLabel(List<Float> thresholds) implements Task {
    /**
     * @throws IllegalArgumentException if a threshold is not in [0, 1]
     */
    public MultiLabel {
      for (float threshold : thresholds) {
        if (!(threshold >= 0 && threshold <= 1)) {
          throw new IllegalArgumentException("thresholds must be in [0, 1], was " + threshold);
        }
      }
      thresholds = List.copyOf(thresholds);
    }

    /** A threshold of 0.5 for each class. */
    public static MultiLabel of(int classes) {
      return new MultiLabel(Collections.nCopies(classes, 0.5f));
    }
  }

  /**
   * Numbers instead of classes. The network computes standardized numbers: a value is its output
   * times the deviation plus the mean.
   *
   * @param means the mean of each number over the training images
   * @param deviations the standard deviation of each number, positive
   */
  record Regression(List<Float> means, List<Float> deviations) implements Task {
    /**
     * @throws IllegalArgumentException if the lengths differ, or a deviation is not positive
     */
    public Regression {
      if (means.size() != deviations.size()) {
        throw new IllegalArgumentException(
            "%d means for %d standard deviations".formatted(means.size(), deviations.size()));
      }
      for (int k = 0; k < means.size(); k++) {
        float deviation = deviations.get(k);
        if (!Float.isFinite(means.get(k)) || !(deviation > 0) || !Float.isFinite(deviation)) {
          throw new IllegalArgumentException(
              "a mean must be finite and a standard deviation positive, was %s and %s"
                  .formatted(means.get(k), deviation));
        }
      }
      means = List.copyOf(means);
      deviations = List.copyOf(deviations);
    }
  }
}
