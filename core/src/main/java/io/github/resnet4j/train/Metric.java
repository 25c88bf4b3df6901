package io.github.resnet4j.train;

import io.github.resnet4j.Task;

/** The measure of a model's quality for a task. */
public enum Metric {
  /** One label per image: the top-1 accuracy, 0 to 1. */
  ACCURACY("accuracy", "acc %"),

  /** Several labels: the mean over the classes of the average precision, 0 to 1. */
  MEAN_AVERAGE_PRECISION("map", "mAP %"),

  /** Numbers: the mean absolute error, in their units; lower is better. */
  MEAN_ABSOLUTE_ERROR("mae", "MAE");

  private final String id;
  private final String heading;

  Metric(String id, String heading) {
    this.id = id;
    this.heading = heading;
  }

  /** The metric for a task. */
  public static Metric of(Task task) {
    return switch (task) {
      case Task.SingleLabel _ -> ACCURACY;
      case Task.MultiLabel _ -> MEAN_AVERAGE_PRECISION;
      case Task.Regression _ -> MEAN_ABSOLUTE_ERROR;
    };
  }

  /** The name in {@code metrics.csv} and TensorBoard, after {@code train_} or {@code val_}. */
  public String id() {
    return id;
  }

  /** The name in a table for people. */
  public String heading() {
    return heading;
  }

  /** Whether it is a fraction, which people read in percent. */
  public boolean isFraction() {
    return this != MEAN_ABSOLUTE_ERROR;
  }
}
