package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;

/**
 * Cross-entropy with targets that are probabilities, and its gradient. Logits and gradient have the
 * layout of the head's result: an image of one row, whose pixels are the batch.
 */
final class CrossEntropy {
  private final Activation logits;
  private final Activation gradient;
  private final int classes;
  private final int batch;
  private final double[] losses;
  private float[] targets = {};
  private int count;
  private float scale;

  /**
   * @param logits a row of images, with a channel for each class
   * @param gradient the gradient of the logits, in the same layout
   */
  CrossEntropy(Activation logits, Activation gradient) {
    this.logits = logits;
    this.gradient = gradient;
    this.classes = logits.channels();
    this.batch = logits.width();
    this.losses = new double[batch];
  }

  /**
   * Sets the targets of the next batch.
   *
   * @param probabilities {@code [count, classes]}
   * @param factor the factor of the gradients
   */
  void set(float[] probabilities, int imageCount, float factor) {
    targets = probabilities;
    count = imageCount;
    scale = factor;
  }

  private static int at(Activation a, int n, int k) {
    return a.at(0, k / a.block(), 0, n) + k % a.block();
  }

  /** Computes the losses of some images and the gradients of their logits. */
  void run(float[] arena, int first, int images) {
    for (int i = first; i < first + images; i++) {
      double largest = Double.NEGATIVE_INFINITY;
      for (int k = 0; k < classes; k++) {
        largest = Math.max(largest, arena[at(logits, i, k)]);
      }
      double sum = 0;
      for (int k = 0; k < classes; k++) {
        sum += Math.exp(arena[at(logits, i, k)] - largest);
      }
      double log = Math.log(sum) + largest;
      double loss = 0;
      double all = 0;
      for (int k = 0; k < classes; k++) {
        double target = targets[i * classes + k];
        loss += target * (log - arena[at(logits, i, k)]);
        all += target;
      }
      losses[i] = loss;
      for (int k = 0; k < classes; k++) {
        double p = Math.exp(arena[at(logits, i, k)] - log);
        arena[at(gradient, i, k)] = (float) ((p * all - targets[i * classes + k]) * scale / count);
      }
    }
  }

  /** Sets the gradients of missing images and of padding classes to zero. */
  void clearRest(float[] arena) {
    for (int n = 0; n < batch; n++) {
      for (int k = n < count ? classes : 0; k < logits.layout().paddedChannels(); k++) {
        arena[at(gradient, n, k)] = 0;
      }
    }
  }

  /** Adds the gradient of the head's bias, the sum over the images. */
  void addBiasGradient(float[] arena, int to) {
    for (int k = 0; k < classes; k++) {
      double sum = 0;
      for (int n = 0; n < count; n++) {
        sum += arena[at(gradient, n, k)];
      }
      arena[to + k] += (float) sum;
    }
  }

  /** The mean loss over the images. */
  double mean() {
    double sum = 0;
    for (int n = 0; n < count; n++) {
      sum += losses[n];
    }
    return sum / count;
  }

  /** Copies the logits, {@code [count, classes]}. */
  void copyLogits(float[] arena, float[] to) {
    for (int n = 0; n < count; n++) {
      for (int k = 0; k < classes; k++) {
        to[n * classes + k] = arena[at(logits, n, k)];
      }
    }
  }
}
