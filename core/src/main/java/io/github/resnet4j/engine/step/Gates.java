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
 * Computes the factors of a channel attention from the channels' means. Its parameters are stored
 * in an array, at any index; matrices have a row for each input ({@link #pack}).
 */
public sealed interface Gates {
  /**
   * @param means the means of an image's channels
   * @param gates receives a number between 0 and 1 for each channel
   */
  void compute(float[] means, float[] gates);

  /**
   * The backward pass.
   *
   * @param means the means of the forward pass
   * @param gates the gates of the forward pass
   * @param gradient the gradient of the gates
   * @param parameters the array to which the gradients of the parameters are added
   * @param at the index of the gradient of the parameter array's first element
   * @return the gradient of the means
   */
  float[] gradient(float[] means, float[] gates, float[] gradient, float[] parameters, int at);

  /** The gradient of the sigmoid's input. */
  private static float[] beforeSigmoid(float[] gates, float[] gradient) {
    float[] before = new float[gates.length];
    for (int c = 0; c < gates.length; c++) {
      before[c] = gradient[c] * gates[c] * (1 - gates[c]);
    }
    return before;
  }

  /** The number of elements of the array that holds the parameters. */
  int size();

  /** The gates of a layer. */
  static Gates of(ChannelAttention layer, StateDict state) {
    var indices = new LinkedHashMap<String, Integer>();
    int size = 0;
    for (Parameter parameter : layer.parameters()) {
      indices.put(parameter.name(), size);
      size += Math.toIntExact(parameter.size());
    }
    float[] values = new float[size];
    indices.forEach(
        (name, at) -> pack(state.get(name).data(), state.get(name).shape(), values, at));
    return of(layer, values, name -> Objects.requireNonNull(indices.get(name)));
  }

  /**
   * The gates of a layer whose parameters are stored in an array and may change there.
   *
   * @param index maps the name of a parameter to its index
   */
  static Gates of(ChannelAttention layer, float[] parameters, ToIntFunction<String> index) {
    return switch (layer) {
      case SqueezeExcite attention -> {
        List<Integer> at =
            attention.parameters().stream()
                .map(parameter -> index.applyAsInt(parameter.name()))
                .toList();
        yield new Excitation(
            parameters,
            new Dense(at.get(0), at.get(1), attention.channels(), attention.reduced()),
            new Dense(at.get(2), at.get(3), attention.reduced(), attention.channels()));
      }
      case EfficientAttention attention ->
          new Neighbors(
              parameters, index.applyAsInt(attention.weight().name()), attention.kernel());
    };
  }

  /** Copies a parameter to an array: a matrix {@code [out, in, 1, 1]} with a row for each input. */
  static void pack(float[] parameter, int[] shape, float[] to, int at) {
    int out = shape.length == 4 ? shape[0] : 1;
    int in = parameter.length / out;
    for (int o = 0; o < out; o++) {
      for (int i = 0; i < in; i++) {
        to[at + i * out + o] = parameter[o * in + i];
      }
    }
  }

  /** The inverse of {@link #pack}. */
  static float[] unpack(float[] from, int at, int[] shape) {
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

  /** A fully connected layer with bias, and the indices of its weights and its bias. */
  record Dense(int at, int biasAt, int in, int out) {
    /** {@code x · weight + bias}. */
    void apply(float[] parameters, float[] x, float[] y) {
      System.arraycopy(parameters, biasAt, y, 0, out);
      for (int i = 0; i < in; i++) {
        float factor = x[i];
        int row = at + i * out;
        for (int o = 0; o < out; o++) { // consecutive sums
          y[o] += factor * parameters[row + o];
        }
      }
    }

    /** Adds the gradients of weights and bias; returns the gradient of x. */
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

    /** Four partial sums, since each addition depends on the one before. */
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

  /** Squeeze-and-excitation: two fully connected layers. */
  @SuppressWarnings("ArrayRecordComponent")
  record Excitation(float[] parameters, Dense first, Dense second) implements Gates {
    @Override
    public void compute(float[] means, float[] gates) {
      second.apply(parameters, hidden(means), gates);
      for (int c = 0; c < second.out; c++) {
        gates[c] = sigmoid(gates[c]);
      }
    }

    private float[] hidden(float[] means) {
      float[] hidden = new float[first.out];
      first.apply(parameters, means, hidden);
      for (int i = 0; i < hidden.length; i++) {
        hidden[i] = Math.max(0, hidden[i]);
      }
      return hidden;
    }

    @Override
    public float[] gradient(float[] means, float[] gates, float[] gradient, float[] to, int at) {
      float[] hidden = hidden(means);
      float[] before = beforeSigmoid(gates, gradient);
      float[] back = second.gradient(parameters, hidden, before, to, at);
      for (int i = 0; i < back.length; i++) {
        back[i] = hidden[i] > 0 ? back[i] : 0;
      }
      return first.gradient(parameters, means, back, to, at);
    }

    @Override
    public int size() {
      return parameters.length;
    }
  }

  /** Efficient channel attention: a convolution over neighboring channels with zero padding. */
  @SuppressWarnings("ArrayRecordComponent")
  record Neighbors(float[] parameters, int index, int kernel) implements Gates {
    @Override
    public void compute(float[] means, float[] gates) {
      int half = kernel / 2;
      for (int c = 0; c < gates.length; c++) {
        float sum = 0;
        for (int k = 0; k < kernel; k++) {
          int neighbor = c + k - half;
          if (neighbor >= 0 && neighbor < gates.length) {
            sum += parameters[index + k] * means[neighbor];
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
          int neighbor = c + k - half;
          if (neighbor >= 0 && neighbor < back.length) {
            back[neighbor] += parameters[index + k] * before[c];
            to[at + index + k] += means[neighbor] * before[c];
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
