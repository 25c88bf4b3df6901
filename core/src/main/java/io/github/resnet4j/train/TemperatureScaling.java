package io.github.resnet4j.train;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Task;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.nn.Loss;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import java.util.ArrayList;
import java.util.List;

/**
 * Calibrates the probabilities of a model with one label per image: logits are divided by the
 * temperature with the lowest cross-entropy on images that the model was not trained on (arXiv
 * 1706.04599, section 4.2). The most likely class of an image stays the same.
 */
public final class TemperatureScaling {
  private static final double MIN = 0.01;
  private static final double MAX = 100;
  private static final int BATCH = 16;

  private TemperatureScaling() {}

  /**
   * The task of the classifier's model with the best temperature for these images; unreadable
   * images are skipped.
   *
   * @throws IllegalArgumentException if the model is not for one label per image, or no image can
   *     be read
   */
  public static Task.SingleLabel fit(Classifier classifier, List<Example> examples) {
    if (!(classifier.model().task() instanceof Task.SingleLabel)) {
      throw new IllegalArgumentException(
          "temperature scaling is for models with one label per image");
    }
    var logits = new ArrayList<float[]>();
    var labels = new ArrayList<Integer>();
    for (int i = 0; i < examples.size(); i += BATCH) {
      List<Example> some = examples.subList(i, Math.min(examples.size(), i + BATCH));
      Classifier.Batch batch =
          classifier.prepare(
              some.stream()
                  .map(example -> Image.of(example.name(), _ -> example.source().read()))
                  .toList());
      Tensor outputs = classifier.run(batch.input()).logits().orElseThrow();
      for (int n = 0; n < some.size(); n++) {
        if (batch.errors().get(n).isEmpty()) {
          logits.add(outputs.row(n));
          labels.add(some.get(n).label());
        }
      }
    }
    if (logits.isEmpty()) {
      throw new IllegalArgumentException("none of the images can be read");
    }
    return new Task.SingleLabel(fit(logits, labels));
  }

  /**
   * The best temperature, between 0.01 and 100. The cross-entropy is a convex function of 1 /
   * temperature, so its derivative is zero at one place at most, which bisection finds.
   */
  static double fit(List<float[]> logits, List<Integer> labels) {
    double low = 1 / MAX;
    double high = 1 / MIN;
    while (high - low > 1e-12 * high) {
      double middle = (low + high) / 2;
      if (slope(logits, labels, middle) > 0) {
        high = middle;
      } else {
        low = middle;
      }
    }
    return 2 / (low + high);
  }

  /** The derivative of the cross-entropy with respect to the factor of the logits. */
  private static double slope(List<float[]> logits, List<Integer> labels, double factor) {
    var loss = new Loss.CrossEntropy(List.of());
    double sum = 0;
    for (int i = 0; i < logits.size(); i++) {
      float[] row = logits.get(i);
      float[] scaled = new float[row.length];
      float[] target = new float[row.length];
      double[] gradient = new double[row.length];
      for (int k = 0; k < row.length; k++) {
        scaled[k] = (float) (row[k] * factor);
      }
      target[labels.get(i)] = 1;
      loss.apply(scaled, target, gradient);
      for (int k = 0; k < row.length; k++) {
        sum += gradient[k] * row[k];
      }
    }
    return sum;
  }
}
