package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.Gates;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What training multiplies a block's main branch with before the shortcut is added, each image and
 * channel by its own: the gates of a channel attention, and stochastic depth (arXiv 1603.09382),
 * which leaves the branch out for some images and makes it larger for the others.
 *
 * <p>Both are one more factor of the batch norm that ends the branch, so that no pass over the
 * pixels is added: forward {@code z f = x (a f) + b f} with {@code z = x a + b}, and the means of z
 * follow from the sums that batch norm takes anyway. Backward the gradient of z is {@code g f + m},
 * m being the same for all pixels of an image's channel, and its sums follow from those of g.
 */
final class BranchScale {
  // Rows of an image's numbers: forward in the order in which the kernel reads them, a, b and c;
  // the mean of x, the factor, what it owes to the gates, m; backward p, q and r.
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

  /** Rows of an image's numbers; the kernel's a and b after r are not asked for. */
  static final int NUMBERS = 12;

  private final TrainedNorm norm;
  private final @Nullable TrainedNorm projection;
  private final @Nullable Gates gates;
  private final float[] pivot;
  private final float[] kept;
  private final int channels;
  private final int block;

  private final Activation numbers;

  /**
   * @param norm the last of the main branch
   * @param projection that of the shortcut, if it has one
   * @param gates of a channel attention, if there is one
   * @param numbers for each image and channel {@link #NUMBERS}
   * @param batch images of the largest batch
   */
  BranchScale(
      TrainedNorm norm,
      @Nullable TrainedNorm projection,
      @Nullable Gates gates,
      Activation numbers,
      int batch) {
    this.norm = norm;
    this.projection = projection;
    this.gates = gates;
    this.numbers = numbers;
    this.channels = numbers.channels();
    this.block = numbers.block();
    this.pivot = new float[channels];
    this.kept = new float[batch];
    Arrays.fill(kept, 1);
  }

  /** What stochastic depth multiplies an image's branch with; 1 until it is said. */
  void keep(int image, float factor) {
    kept[image] = factor;
  }

  /** Remembers what the sums of x are relative to, before the norm forgets it. */
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
    return numbers.at(image, b, row, 0);
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

  /** What the forward pass multiplies and adds for an image. */
  void open(float[] arena, int image) {
    float[] means = new float[channels];
    float[] gate = new float[channels];
    Arrays.fill(gate, 1);
    for (int c = 0; c < channels; c++) {
      float mean = pivot[c] + sum(arena, image, c, 0) / pixels();
      arena[at(image, c, MEAN)] = mean;
      means[c] =
          mean * arena[norm.number(c, TrainedNorm.A)] + arena[norm.number(c, TrainedNorm.B_AGAIN)];
    }
    if (gates != null) {
      gates.compute(means, gate);
    }
    for (int c = 0; c < channels; c++) {
      float factor = gate[c] * kept[image];
      float shift = projection == null ? 0 : arena[projection.number(c, TrainedNorm.B)];
      arena[at(image, c, A)] = arena[norm.number(c, TrainedNorm.A)] * factor;
      arena[at(image, c, B)] = arena[norm.number(c, TrainedNorm.B_AGAIN)] * factor + shift;
      arena[at(image, c, C)] = projection == null ? 1 : arena[projection.number(c, TrainedNorm.A)];
      arena[at(image, c, FACTOR)] = factor;
      arena[at(image, c, GATE)] = gate[c];
    }
  }

  /**
   * From an image's sums of the gradient of the block's result to those of its norm's result.
   *
   * @param gradients where the gradients of all weights begin
   */
  void close(float[] arena, int image, int gradients) {
    float[] means = new float[channels];
    float[] gate = new float[channels];
    float[] ofGate = new float[channels];
    for (int c = 0; c < channels; c++) {
      float a = arena[norm.number(c, TrainedNorm.A)];
      means[c] = arena[at(image, c, MEAN)] * a + arena[norm.number(c, TrainedNorm.B_AGAIN)];
      gate[c] = arena[at(image, c, GATE)];
      // The sum of g z, z being a (x - mean) + bias.
      float products = a * sum(arena, image, c, 1) + norm.bias(c) * sum(arena, image, c, 0);
      ofGate[c] = products * kept[image];
    }
    float[] ofMeans =
        gates == null ? new float[channels] : gates.gradient(means, gate, ofGate, arena, gradients);
    for (int c = 0; c < channels; c++) {
      int sums = norm.sums(image, c / block) + c % block;
      float factor = arena[at(image, c, FACTOR)];
      float away = arena[at(image, c, MEAN)] - arena[norm.number(c, TrainedNorm.MEAN)];
      arena[sums] = arena[sums] * factor + ofMeans[c];
      arena[sums + block] = arena[sums + block] * factor + ofMeans[c] * away;
      arena[at(image, c, M)] = ofMeans[c] / pixels();
    }
  }

  /** What the backward pass multiplies and adds for an image. */
  void openGradient(float[] arena, int image) {
    for (int c = 0; c < channels; c++) {
      float p = arena[norm.number(c, TrainedNorm.P)];
      arena[at(image, c, P)] = p * arena[at(image, c, FACTOR)];
      arena[at(image, c, Q)] = arena[norm.number(c, TrainedNorm.Q)];
      arena[at(image, c, R)] = arena[norm.number(c, TrainedNorm.R)] + p * arena[at(image, c, M)];
    }
  }
}
