package io.github.resnet4j.engine;

import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.StateDict;

/** What a channel attention multiplies each channel with, from the channels' means. */
sealed interface Gates {
  /**
   * @param means of an image's channels
   * @param gates takes a number between 0 and 1 for each
   */
  void compute(float[] means, float[] gates);

  /**
   * The way back.
   *
   * @param means as they were
   * @param gates as they came of them
   * @param gradient of the gates
   * @return the gradient of the means
   */
  float[] gradient(float[] means, float[] gates, float[] gradient);

  /** Before the sigmoid. */
  private static float[] beforeSigmoid(float[] gates, float[] gradient) {
    float[] before = new float[gates.length];
    for (int c = 0; c < gates.length; c++) {
      before[c] = gradient[c] * gates[c] * (1 - gates[c]);
    }
    return before;
  }

  /**
   * The gates of a layer.
   *
   * @throws IllegalArgumentException if it has none
   */
  static Gates of(Layer layer, StateDict state) {
    return switch (layer) {
      case SqueezeExcite attention ->
          new Excitation(
              transposed(
                  state.get(attention.name() + ".fc1.weight").data(),
                  attention.channels(),
                  attention.reduced()),
              state.get(attention.name() + ".fc1.bias").data(),
              transposed(
                  state.get(attention.name() + ".fc2.weight").data(),
                  attention.reduced(),
                  attention.channels()),
              state.get(attention.name() + ".fc2.bias").data());
      case EfficientAttention attention ->
          new Neighbours(state.get(attention.weight().name()).data());
      default -> throw new IllegalArgumentException(layer.name() + " weighs no channels");
    };
  }

  private static float[][] transposed(float[] weight, int in, int out) {
    float[][] columns = new float[in][out];
    for (int o = 0; o < out; o++) {
      for (int i = 0; i < in; i++) {
        columns[i][o] = weight[o * in + i];
      }
    }
    return columns;
  }

  private static float sigmoid(float x) {
    return (float) (1 / (1 + Math.exp(-x)));
  }

  /**
   * Two layers.
   *
   * @param first an array for each channel, so that sums run side by side
   * @param second an array for each of the channels between
   */
  @SuppressWarnings("ArrayRecordComponent")
  record Excitation(float[][] first, float[] firstBias, float[][] second, float[] secondBias)
      implements Gates {
    @Override
    public void compute(float[] means, float[] gates) {
      float[] between = firstBias.clone();
      add(means, first, between);
      for (int i = 0; i < between.length; i++) {
        between[i] = Math.max(0, between[i]);
      }
      System.arraycopy(secondBias, 0, gates, 0, secondBias.length);
      add(between, second, gates);
      for (int c = 0; c < secondBias.length; c++) {
        gates[c] = sigmoid(gates[c]);
      }
    }

    @Override
    public float[] gradient(float[] means, float[] gates, float[] gradient) {
      float[] between = firstBias.clone();
      add(means, first, between);
      float[] back = dots(second, beforeSigmoid(gates, gradient));
      for (int i = 0; i < back.length; i++) {
        back[i] = between[i] > 0 ? back[i] : 0;
      }
      return dots(first, back);
    }

    private static float[] dots(float[][] columns, float[] x) {
      float[] sums = new float[columns.length];
      for (int i = 0; i < sums.length; i++) {
        for (int o = 0; o < x.length; o++) {
          sums[i] += columns[i][o] * x[o];
        }
      }
      return sums;
    }

    private static void add(float[] x, float[][] columns, float[] sums) {
      for (int i = 0; i < columns.length; i++) {
        float factor = x[i];
        float[] column = columns[i];
        for (int o = 0; o < column.length; o++) {
          sums[o] += factor * column[o];
        }
      }
    }
  }

  /** A convolution over neighbours; beyond the first and the last channel are zeros. */
  @SuppressWarnings("ArrayRecordComponent")
  record Neighbours(float[] weight) implements Gates {
    @Override
    public void compute(float[] means, float[] gates) {
      int half = weight.length / 2;
      for (int c = 0; c < gates.length; c++) {
        float sum = 0;
        for (int k = 0; k < weight.length; k++) {
          int neighbour = c + k - half;
          if (neighbour >= 0 && neighbour < gates.length) {
            sum += weight[k] * means[neighbour];
          }
        }
        gates[c] = sigmoid(sum);
      }
    }

    @Override
    public float[] gradient(float[] means, float[] gates, float[] gradient) {
      int half = weight.length / 2;
      float[] before = beforeSigmoid(gates, gradient);
      float[] back = new float[means.length];
      for (int c = 0; c < before.length; c++) {
        for (int k = 0; k < weight.length; k++) {
          int neighbour = c + k - half;
          if (neighbour >= 0 && neighbour < back.length) {
            back[neighbour] += weight[k] * before[c];
          }
        }
      }
      return back;
    }
  }
}
