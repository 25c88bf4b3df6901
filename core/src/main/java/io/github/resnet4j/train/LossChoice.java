package io.github.resnet4j.train;

import io.github.resnet4j.Task;
import io.github.resnet4j.nn.Loss;
import java.io.Serializable;
import java.util.List;

/** The loss that a {@link Recipe} asks for; the data set determines the rest. */
public sealed interface LossChoice extends Serializable {
  /** The default loss of the data: cross-entropy, binary cross-entropy, or mean squared error. */
  LossChoice DEFAULT = new Default();

  /** See {@link #DEFAULT}. */
  record Default() implements LossChoice {}

  /**
   * Focal loss, for several labels per image: {@link Loss.Focal}.
   *
   * @param alpha the factor of images that have the class
   * @param gamma the exponent
   */
  record Focal(double alpha, double gamma) implements LossChoice {
    /** The values of the paper: alpha 0.25 and gamma 2. */
    public static final Focal DEFAULT = new Focal(0.25, 2);

    /**
     * @throws IllegalArgumentException as {@link Loss.Focal}
     */
    public Focal {
      new Loss.Focal(alpha, gamma);
    }
  }

  /**
   * Smooth L1, for numbers: {@link Loss.SmoothL1} of the standardized values.
   *
   * @param beta the difference, in standard deviations, below which it is quadratic
   */
  record SmoothL1(double beta) implements LossChoice {
    /**
     * @throws IllegalArgumentException as {@link Loss.SmoothL1}
     */
    public SmoothL1 {
      new Loss.SmoothL1(beta);
    }
  }

  /**
   * The loss for a task.
   *
   * @param classWeights one per class; empty for none
   * @throws IllegalArgumentException if they do not match
   */
  default Loss of(Task task, List<Float> classWeights) {
    Loss loss =
        switch (this) {
          case Default _ ->
              switch (task) {
                case Task.SingleLabel _ -> new Loss.CrossEntropy(classWeights);
                case Task.MultiLabel _ -> new Loss.BinaryCrossEntropy(classWeights);
                case Task.Regression _ -> new Loss.MeanSquaredError();
              };
          case Focal(double alpha, double gamma) when task instanceof Task.MultiLabel ->
              new Loss.Focal(alpha, gamma);
          case SmoothL1(double beta) when task instanceof Task.Regression ->
              new Loss.SmoothL1(beta);
          case Focal _ ->
              throw new IllegalArgumentException(
                  "focal loss is for images with several labels, and these have "
                      + (task instanceof Task.Regression ? "numbers" : "one label each"));
          case SmoothL1 _ ->
              throw new IllegalArgumentException(
                  "smooth L1 is for numbers, and these images have labels");
        };
    if (!classWeights.isEmpty()
        && !(loss instanceof Loss.CrossEntropy || loss instanceof Loss.BinaryCrossEntropy)) {
      throw new IllegalArgumentException(
          "class weights are for cross-entropy and binary cross-entropy, not for "
              + (loss instanceof Loss.Focal ? "focal loss, which has alpha" : "numbers"));
    }
    return loss;
  }
}
