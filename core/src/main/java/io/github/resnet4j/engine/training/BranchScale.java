package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.Gates;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The factor of a block's main branch before the shortcut is added, for each image and channel: the
 * gates of a channel attention, and stochastic depth (arXiv 1603.09382), which drops the branch for
 * some images and scales it up for the others.
 *
 * <p>Both are merged into the batch norm that ends the branch, so that no additional pass over the
 * pixels is needed: forward {@code z f = x (a f) + b f} with {@code z = x a + b}; the means of z
 * follow from the sums of batch norm. Backward the gradient of z is {@code g f + m}, where m is the
 * same for all pixels of an image's channel, and its sums follow from those of g.
 */
final class BranchScale {
  // Rows of an image's coefficients: forward in the order in which the kernel reads them, a, b and
  // c; the mean of x, the factor, the gate, m; backward p, q and r.
  private static final int A = 0;
  private static final int B = 1;
  private static final int C = 2;
  private static final int MEAN = 3;
  private static final int FACTOR = 4;
  private static final int GATE = 5;
  private static final int M = 6;
  private static final int P = 7;
  private static final int Q = 8;
  private static final int R = 9;

  /** The coefficient of rows of an image's coefficients; the kernel ignores a and b after r. */
  static final int ROWS = 12;

  private final TrainedNorm norm;
  private final @Nullable TrainedNorm projection;
  private final @Nullable Gates gates;
  private final float[] pivot;
  private final BranchFactors branchFactors;
  private final int channels;
  private final int block;

  private final Activation coefficients;

  /**
   * @param norm the last norm of the main branch
   * @param projection the norm of the shortcut, if it has one
   * @param gates the gates of a channel attention, if there is one
   * @param coefficients {@link #ROWS} coefficients for each image and channel
   * @param batch the largest batch size
   */
  BranchScale(
      TrainedNorm norm,
      @Nullable TrainedNorm projection,
      @Nullable Gates gates,
      Activation coefficients,
      int batch) {
    this.norm = norm;
    this.projection = projection;
    this.gates = gates;
    this.coefficients = coefficients;
    this.channels = coefficients.channels();
    this.block = coefficients.block();
    this.pivot = new float[channels];
    this.branchFactors = new BranchFactors(batch);
  }

  BranchFactors branchFactors() {
    return branchFactors;
  }

  /** Stores the pivot of the sums of x, before the norm replaces it. */
  void begin() {
    System.arraycopy(norm.running().mean, 0, pivot, 0, channels);
  }

  int forward(int image, int b) {
    return row(image, b, A);
  }

  int backward(int image, int b) {
    return row(image, b, P);
  }

  private int row(int image, int b, int row) {
    return coefficients.at(image, b, row, 0);
  }

  private int at(int image, int channel, int row) {
    return row(image, channel / block, row) + channel % block;
  }

  private int pixels() {
    return norm.x().height() * norm.x().width();
  }

  private float sum(float[] arena, int image, int channel, int row) {
    return arena[norm.sums(image, channel / block) + row * block + channel % block];
  }

  /** Computes the forward coefficients of an image. */
  void open(float[] arena, int image) {
    float[] means = new float[channels];
    float[] gate = new float[channels];
    Arrays.fill(gate, 1);
    for (int c = 0; c < channels; c++) {
      float mean = pivot[c] + sum(arena, image, c, 0) / pixels();
      arena[at(image, c, MEAN)] = mean;
      means[c] =
          mean * arena[norm.coefficient(c, TrainedNorm.A)]
              + arena[norm.coefficient(c, TrainedNorm.B_AGAIN)];
    }
    if (gates != null) {
      gates.compute(means, gate);
    }
    for (int c = 0; c < channels; c++) {
      float factor = gate[c] * branchFactors.ofImages()[image];
      float shift = projection == null ? 0 : arena[projection.coefficient(c, TrainedNorm.B)];
      arena[at(image, c, A)] = arena[norm.coefficient(c, TrainedNorm.A)] * factor;
      arena[at(image, c, B)] = arena[norm.coefficient(c, TrainedNorm.B_AGAIN)] * factor + shift;
      arena[at(image, c, C)] =
          projection == null ? 1 : arena[projection.coefficient(c, TrainedNorm.A)];
      arena[at(image, c, FACTOR)] = factor;
      arena[at(image, c, GATE)] = gate[c];
    }
  }

  /**
   * Computes from an image's sums of the gradient of the block's result the sums of the gradient of
   * its norm's result.
   *
   * @param gradients the index of the gradient of the network's first weight
   */
  void close(float[] arena, int image, int gradients) {
    float[] means = new float[channels];
    float[] gate = new float[channels];
    float[] ofGate = new float[channels];
    for (int c = 0; c < channels; c++) {
      float a = arena[norm.coefficient(c, TrainedNorm.A)];
      means[c] = arena[at(image, c, MEAN)] * a + arena[norm.coefficient(c, TrainedNorm.B_AGAIN)];
      gate[c] = arena[at(image, c, GATE)];
      // The sum of g z, where z is a (x - mean) + bias.
      float products = a * sum(arena, image, c, 1) + norm.bias(c) * sum(arena, image, c, 0);
      ofGate[c] = products * branchFactors.ofImages()[image];
    }
    float[] ofMeans =
        gates == null ? new float[channels] : gates.gradient(means, gate, ofGate, arena, gradients);
    for (int c = 0; c < channels; c++) {
      int sums = norm.sums(image, c / block) + c % block;
      float factor = arena[at(image, c, FACTOR)];
      float away = arena[at(image, c, MEAN)] - arena[norm.coefficient(c, TrainedNorm.MEAN)];
      arena[sums] = arena[sums] * factor + ofMeans[c];
      arena[sums + block] = arena[sums + block] * factor + ofMeans[c] * away;
      arena[at(image, c, M)] = ofMeans[c] / pixels();
    }
  }

  /** Computes the backward coefficients of an image. */
  void openGradient(float[] arena, int image) {
    for (int c = 0; c < channels; c++) {
      float p = arena[norm.coefficient(c, TrainedNorm.P)];
      arena[at(image, c, P)] = p * arena[at(image, c, FACTOR)];
      arena[at(image, c, Q)] = arena[norm.coefficient(c, TrainedNorm.Q)];
      arena[at(image, c, R)] =
          arena[norm.coefficient(c, TrainedNorm.R)] + p * arena[at(image, c, M)];
    }
  }
}
