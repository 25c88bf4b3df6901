package io.github.resnet4j.engine.step;

import io.github.resnet4j.nn.Layer.ChannelAttention;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Parameter;
import io.github.resnet4j.nn.StateDict;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Objects;
import java.util.function.ToIntFunction;

/**
 * What a channel attention multiplies each channel with, from the channels' means. Its parameters
 * lie anywhere in an array, matrices with a row for each input ({@link #put}).
 */
public sealed interface Gates {
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
   * @param parameters to where the gradients of the parameters are added
   * @param at where the gradient of the array's first element lies there
   * @return the gradient of the means
   */
  float[] gradient(float[] means, float[] gates, float[] gradient, float[] parameters, int at);

  /** Before the sigmoid. */
  private static float[] beforeSigmoid(float[] gates, float[] gradient) {
    float[] before = new float[gates.length];
    for (int c = 0; c < gates.length; c++) {
      before[c] = gradient[c] * gates[c] * (1 - gates[c]);
    }
    return before;
  }

  /** Elements of the array that parameters and their gradients lie in. */
  int size();

  /** The gates of a layer. */
  static Gates of(ChannelAttention layer, StateDict state) {
    var places = new LinkedHashMap<String, Integer>();
    int size = 0;
    for (Parameter parameter : layer.parameters()) {
      places.put(parameter.name(), size);
      size += Math.toIntExact(parameter.size());
    }
    float[] values = new float[size];
    places.forEach((name, at) -> put(state.get(name).data(), state.get(name).shape(), values, at));
    return of(layer, values, name -> Objects.requireNonNull(places.get(name)));
  }

  /**
   * The gates of a layer whose parameters lie in an array and may change there.
   *
   * @param place where a parameter begins, by its name
   */
  static Gates of(ChannelAttention layer, float[] parameters, ToIntFunction<String> place) {
    return switch (layer) {
      case SqueezeExcite attention -> {
        List<Integer> at =
            attention.parameters().stream()
                .map(parameter -> place.applyAsInt(parameter.name()))
                .toList();
        yield new Excitation(
            parameters,
            new Dense(at.get(0), at.get(1), attention.channels(), attention.reduced()),
            new Dense(at.get(2), at.get(3), attention.reduced(), attention.channels()));
      }
      case EfficientAttention attention ->
          new Neighbours(
              parameters, place.applyAsInt(attention.weight().name()), attention.kernel());
    };
  }

  /** Puts a parameter into an array: a matrix {@code [out, in, 1, 1]} with a row for each input. */
  static void put(float[] parameter, int[] shape, float[] to, int at) {
    int out = shape.length == 4 ? shape[0] : 1;
    int in = parameter.length / out;
    for (int o = 0; o < out; o++) {
      for (int i = 0; i < in; i++) {
        to[at + i * out + o] = parameter[o * in + i];
      }
    }
  }

  /** The opposite of {@link #put}. */
  static float[] get(float[] from, int at, int[] shape) {
    float[] parameter = new float[Arrays.stream(shape).reduce(1, Math::multiplyExact)];
    int out = shape.length == 4 ? shape[0] : 1;
    int in = parameter.length / out;
    for (int o = 0; o < out; o++) {
      for (int i = 0; i < in; i++) {
        parameter[o * in + i] = from[at + i * out + o];
      }
    }
    return parameter;
  }

  private static float sigmoid(float x) {
    return (float) (1 / (1 + Math.exp(-x)));
  }

  /** A layer with bias: where its weights and its bias lie. */
  record Dense(int at, int biasAt, int in, int out) {
    /** {@code x · weight + bias}. */
    void apply(float[] parameters, float[] x, float[] y) {
      System.arraycopy(parameters, biasAt, y, 0, out);
      for (int i = 0; i < in; i++) {
        float factor = x[i];
        int row = at + i * out;
        for (int o = 0; o < out; o++) { // sums side by side
          y[o] += factor * parameters[row + o];
        }
      }
    }

    /** Adds the gradients of weights and bias; returns that of x. */
    float[] gradient(float[] parameters, float[] x, float[] dy, float[] to, int first) {
      float[] dx = new float[in];
      for (int o = 0; o < out; o++) {
        to[first + biasAt + o] += dy[o];
      }
      for (int i = 0; i < in; i++) {
        float factor = x[i];
        int row = at + i * out;
        for (int o = 0; o < out; o++) {
          to[first + row + o] += factor * dy[o];
        }
        dx[i] = dot(parameters, row, dy);
      }
      return dx;
    }

    /** Four sums at a time, since each addition waits for the one before. */
    private static float dot(float[] parameters, int row, float[] dy) {
      float a = 0;
      float b = 0;
      float c = 0;
      float d = 0;
      int o = 0;
      for (; o + 3 < dy.length; o += 4) {
        a += parameters[row + o] * dy[o];
        b += parameters[row + o + 1] * dy[o + 1];
        c += parameters[row + o + 2] * dy[o + 2];
        d += parameters[row + o + 3] * dy[o + 3];
      }
      for (; o < dy.length; o++) {
        a += parameters[row + o] * dy[o];
      }
      return a + b + (c + d);
    }
  }

  /** Two layers. */
  @SuppressWarnings("ArrayRecordComponent")
  record Excitation(float[] parameters, Dense first, Dense second) implements Gates {
    @Override
    public void compute(float[] means, float[] gates) {
      second.apply(parameters, between(means), gates);
      for (int c = 0; c < second.out; c++) {
        gates[c] = sigmoid(gates[c]);
      }
    }

    private float[] between(float[] means) {
      float[] between = new float[first.out];
      first.apply(parameters, means, between);
      for (int i = 0; i < between.length; i++) {
        between[i] = Math.max(0, between[i]);
      }
      return between;
    }

    @Override
    public float[] gradient(float[] means, float[] gates, float[] gradient, float[] to, int at) {
      float[] between = between(means);
      float[] before = beforeSigmoid(gates, gradient);
      float[] back = second.gradient(parameters, between, before, to, at);
      for (int i = 0; i < back.length; i++) {
        back[i] = between[i] > 0 ? back[i] : 0;
      }
      return first.gradient(parameters, means, back, to, at);
    }

    @Override
    public int size() {
      return parameters.length;
    }
  }

  /** A convolution over neighbours; beyond the first and the last channel are zeros. */
  @SuppressWarnings("ArrayRecordComponent")
  record Neighbours(float[] parameters, int place, int kernel) implements Gates {
    @Override
    public void compute(float[] means, float[] gates) {
      int half = kernel / 2;
      for (int c = 0; c < gates.length; c++) {
        float sum = 0;
        for (int k = 0; k < kernel; k++) {
          int neighbour = c + k - half;
          if (neighbour >= 0 && neighbour < gates.length) {
            sum += parameters[place + k] * means[neighbour];
          }
        }
        gates[c] = sigmoid(sum);
      }
    }

    @Override
    public float[] gradient(float[] means, float[] gates, float[] gradient, float[] to, int at) {
      int half = kernel / 2;
      float[] before = beforeSigmoid(gates, gradient);
      float[] back = new float[means.length];
      for (int c = 0; c < before.length; c++) {
        for (int k = 0; k < kernel; k++) {
          int neighbour = c + k - half;
          if (neighbour >= 0 && neighbour < back.length) {
            back[neighbour] += parameters[place + k] * before[c];
            to[at + place + k] += means[neighbour] * before[c];
          }
        }
      }
      return back;
    }

    @Override
    public int size() {
      return parameters.length;
    }
  }
}
