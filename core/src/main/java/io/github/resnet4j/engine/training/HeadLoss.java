package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.nn.Loss;

/**
 * The loss of a batch, and the gradient of the head's result. Both have its layout: an image of one
 * row, whose pixels are the batch.
 */
final class HeadLoss {
  private final Loss loss;
  private final Activation outputs;
  private final Activation gradient;
  private final int classes;
  private final int targetCount;
  private final int batch;
  private final double[] losses;
  private final Row[] rows;
  private float[] targets = {};
  private int count;
  private float scale;

  /** The values of one image; each worker has its own. */
  private record Row(float[] outputs, float[] targets, double[] gradient) {}

  /**
   * @param outputs a row of images, with a channel for each class
   * @param gradient the gradient of the outputs, in the same layout
   * @param workers the number of threads
   */
  HeadLoss(Loss loss, Activation outputs, Activation gradient, int workers) {
    this.loss = loss;
    this.outputs = outputs;
    this.gradient = gradient;
    this.classes = outputs.channels();
    this.targetCount = loss.targets(classes);
    this.batch = outputs.width();
    this.losses = new double[batch];
    this.rows = new Row[workers];
    for (int i = 0; i < workers; i++) {
      rows[i] = new Row(new float[classes], new float[targetCount], new double[classes]);
    }
  }

  /**
   * Sets the targets of the next batch.
   *
   * @param all {@code [count, targets]}
   * @param factor the factor of the gradients
   */
  void set(float[] all, int imageCount, float factor) {
    targets = all;
    count = imageCount;
    scale = factor;
  }

  private static int at(Activation a, int n, int k) {
    return a.at(0, k / a.block(), 0, n) + k % a.block();
  }

  /** Computes the losses of some images and the gradients of their outputs. */
  void run(float[] arena, int worker, int first, int images) {
    Row row = rows[worker];
    for (int i = first; i < first + images; i++) {
      for (int k = 0; k < classes; k++) {
        row.outputs[k] = arena[at(outputs, i, k)];
      }
      System.arraycopy(targets, i * targetCount, row.targets, 0, targetCount);
      losses[i] = loss.apply(row.outputs, row.targets, row.gradient);
      for (int k = 0; k < classes; k++) {
        arena[at(gradient, i, k)] = (float) (row.gradient[k] * scale / count);
      }
    }
  }

  /** Sets the gradients of missing images and of padding classes to zero. */
  void clearRest(float[] arena) {
    for (int n = 0; n < batch; n++) {
      for (int k = n < count ? classes : 0; k < outputs.layout().paddedChannels(); k++) {
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

  /** Copies the outputs, {@code [count, classes]}. */
  void copyOutputs(float[] arena, float[] to) {
    for (int n = 0; n < count; n++) {
      for (int k = 0; k < classes; k++) {
        to[n * classes + k] = arena[at(outputs, n, k)];
      }
    }
  }
}
