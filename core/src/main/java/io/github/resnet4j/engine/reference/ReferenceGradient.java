package io.github.resnet4j.engine.reference;

import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.kernel.Scalar;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.ChannelAttention;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.nn.WeightStandardization;
import io.github.resnet4j.tensor.Tensor;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * The gradient of a network's result with respect to the result of one of its layers: {@link
 * ReferenceForward} and a backward pass to that layer, with batch norm as in {@code model.eval()}.
 * It uses plain loops and is meant for explaining single images; {@code TrainingSession} computes
 * weight gradients efficiently.
 */
public record ReferenceGradient(Sequential network, StateDict state, Team team) {
  /**
   * The results of both passes.
   *
   * @param output the network's result
   * @param activation the layer's result, {@code [N, C, H, W]}
   * @param gradient the gradient of the seeded output with respect to the activation, in the same
   *     shape
   */
  public record Result(Tensor output, Tensor activation, Tensor gradient) {}

  /**
   * @param x {@code [N, C, H, W]}
   * @param layer the name of a layer or block, {@code layer4} or {@code layer4.1.conv2}
   * @param seed maps the output to the gradient of the output
   * @throws IllegalArgumentException if there is no layer of that name
   */
  public Result of(Tensor x, String layer, UnaryOperator<Tensor> seed) {
    var target =
        network
            .walk()
            .filter(each -> each.name().equals(layer) && !layer.isEmpty())
            .findFirst()
            .orElseThrow(() ->
                new IllegalArgumentException(
                    "the network has no layer '%s'%s"
                        .formatted(
                            layer,
                            Suggestion.of(layer, network.walk().map(Layer::name).toList()))));
    var passes = new Passes(target);
    Tensor output = passes.forward(network, x);
    Tensor gradient = passes.backward(network, seed.apply(output));
    return new Result(output, passes.get(passes.outputs, target), gradient);
  }

  /** The inputs and outputs of the layers of one forward pass, and the backward pass. */
  private final class Passes {
    private final Layer target;
    private final Map<Layer, Tensor> inputs = new IdentityHashMap<>();
    private final Map<Layer, Tensor> outputs = new IdentityHashMap<>();

    Passes(Layer target) {
      this.target = target;
    }

    boolean isIn(Layer layer) {
      return layer.walk().anyMatch(each -> each == target);
    }

    Tensor get(Map<Layer, Tensor> map, Layer layer) {
      Tensor tensor = map.get(layer);
      if (tensor == null) {
        throw new IllegalStateException(layer.name());
      }
      return tensor;
    }

    Tensor forward(Layer layer, Tensor x) {
      inputs.put(layer, x);
      Tensor y =
          switch (layer) {
            case Residual block -> {
              Tensor main = forward(block.main(), x);
              yield Scalar.relu(Scalar.add(main, forward(block.shortcut(), x)));
            }
            case PreActivation block -> {
              Tensor activated = forward(block.activation(), x);
              Tensor main = forward(block.main(), activated);
              yield Scalar.add(
                  main, forward(block.shortcut(), block.isIdentityBlock() ? x : activated));
            }
            case Sequential sequential -> {
              Tensor through = x;
              for (Layer child : sequential.layers()) {
                through = forward(child, through);
              }
              yield through;
            }
            default -> new ReferenceForward(layer, state, team).run(x);
          };
      outputs.put(layer, y);
      return y;
    }

    /**
     * Returns the gradient of the target's result if this layer contains the target, else the
     * gradient of this layer's input.
     *
     * @param dy the gradient of this layer's result
     */
    Tensor backward(Layer layer, Tensor dy) {
      if (layer == target) {
        return dy;
      }
      Tensor x = get(inputs, layer);
      return switch (layer) {
        case Sequential sequential -> {
          Tensor through = dy;
          for (Layer child : sequential.layers().reversed()) {
            through = backward(child, through);
            if (isIn(child)) {
              break;
            }
          }
          yield through;
        }
        case Residual block -> {
          Tensor open = where(get(outputs, block), dy);
          if (isIn(block)) {
            yield backward(isIn(block.main()) ? block.main() : block.shortcut(), open);
          }
          Tensor main = backward(block.main(), open);
          Tensor shortcut = backward(block.shortcut(), open);
          yield Scalar.add(main, shortcut);
        }
        case PreActivation block -> {
          if (isIn(block.main()) || isIn(block.shortcut())) {
            yield backward(isIn(block.main()) ? block.main() : block.shortcut(), dy);
          }
          Tensor activated = backward(block.main(), dy);
          if (block.isIdentityBlock() && !isIn(block.activation())) {
            yield Scalar.add(backward(block.activation(), activated), dy);
          }
          if (!block.isIdentityBlock()) {
            activated = Scalar.add(activated, backward(block.shortcut(), dy));
          }
          yield backward(block.activation(), activated);
        }
        case Conv2d conv ->
            Scalar.conv2dInputGradient(
                dy,
                Tensor.of(WeightStandardization.weights(conv, state), conv.weight().extents()),
                new Scalar.Window(conv.stride(), conv.padding(), conv.dilation(), conv.groups()),
                x.dim(2),
                x.dim(3),
                team);
        case BatchNorm2d norm -> scaled(norm, dy);
        case GroupNorm norm -> throughGroups(norm, x, dy);
        case Relu _ -> where(get(outputs, layer), dy);
        case Linear linear -> fromLogits(linear, dy);
        case GlobalAveragePool _ -> spread(dy, x);
        case ChannelAttention attention -> throughGates(Gates.of(attention, state), x, dy);
        case Identity _ -> dy;
        case MaxPool2d pool -> toMaxima(pool, x, dy);
        case AvgPool2d pool -> toWindows(pool, x, dy);
        case BlurPool2d pool -> toWindows(pool, x, dy);
        case SubsampleAndPad pad -> toSamples(pad, x, dy);
      };
    }
  }

  /** The gradient where the ReLU's output is positive, else zero. */
  private static Tensor where(Tensor y, Tensor dy) {
    Tensor dx = Tensor.zeros(dy.shape());
    for (int i = 0; i < dx.size(); i++) {
      dx.data()[i] = y.data()[i] > 0 ? dy.data()[i] : 0;
    }
    return dx;
  }

  private Tensor scaled(BatchNorm2d norm, Tensor dy) {
    float[] weight = state.get(norm.name() + ".weight").data();
    float[] variance = state.get(norm.name() + ".running_var").data();
    Tensor dx = Tensor.zeros(dy.shape());
    int plane = dy.dim(2) * dy.dim(3);
    for (int i = 0; i < dx.size(); i++) {
      int c = i / plane % norm.channels();
      dx.data()[i] =
          (float) (dy.data()[i] * (weight[c] / Math.sqrt(variance[c] + BatchNorm2d.EPS)));
    }
    return dx;
  }

  /** A pixel contributes directly, and through the mean and the variance of its group. */
  private Tensor throughGroups(GroupNorm norm, Tensor x, Tensor dy) {
    float[] weight = state.get(norm.weight().name()).data();
    Tensor dx = Tensor.zeros(dy.shape());
    int plane = dy.dim(2) * dy.dim(3);
    int each = norm.channels() / norm.groups() * plane;
    for (int from = 0; from < dx.size(); from += each) {
      double mean = 0;
      double squares = 0;
      for (int i = from; i < from + each; i++) {
        mean += (double) x.data()[i] / each;
      }
      for (int i = from; i < from + each; i++) {
        squares += (x.data()[i] - mean) * (x.data()[i] - mean);
      }
      double variance = squares / each + GroupNorm.EPS;
      double ofMean = 0;
      double ofVariance = 0;
      for (int i = from; i < from + each; i++) {
        double g = (double) dy.data()[i] * weight[i / plane % norm.channels()];
        ofMean += g / each;
        ofVariance += g * (x.data()[i] - mean) / each / variance;
      }
      for (int i = from; i < from + each; i++) {
        double g = (double) dy.data()[i] * weight[i / plane % norm.channels()];
        double rest = ofMean + (x.data()[i] - mean) * ofVariance;
        dx.data()[i] = (float) ((g - rest) / Math.sqrt(variance));
      }
    }
    return dx;
  }

  private Tensor fromLogits(Linear linear, Tensor dy) {
    float[] weight = state.get(linear.weight().name()).data();
    Tensor dx = Tensor.zeros(dy.dim(0), linear.in());
    for (int n = 0; n < dy.dim(0); n++) {
      for (int i = 0; i < linear.in(); i++) {
        double sum = 0;
        for (int o = 0; o < linear.out(); o++) {
          sum += (double) dy.data()[n * linear.out() + o] * weight[o * linear.in() + i];
        }
        dx.data()[n * linear.in() + i] = (float) sum;
      }
    }
    return dx;
  }

  private static Tensor spread(Tensor dy, Tensor x) {
    Tensor dx = Tensor.zeros(x.shape());
    int plane = x.dim(2) * x.dim(3);
    for (int i = 0; i < dx.size(); i++) {
      dx.data()[i] = dy.data()[i / plane] / plane;
    }
    return dx;
  }

  /** The gradient goes to the first of the largest pixels of each window, as in PyTorch. */
  private static Tensor toMaxima(MaxPool2d pool, Tensor x, Tensor dy) {
    Tensor dx = Tensor.zeros(x.shape());
    int h = x.dim(2);
    int w = x.dim(3);
    int from = 0;
    for (int plane = 0; plane < x.size(); plane += h * w) {
      for (int r = 0; r < dy.dim(2); r++) {
        for (int c = 0; c < dy.dim(3); c++) {
          int best = -1;
          int top = r * pool.stride() - pool.padding();
          int left = c * pool.stride() - pool.padding();
          for (int i = Math.max(0, top); i < Math.min(h, top + pool.kernel()); i++) {
            for (int j = Math.max(0, left); j < Math.min(w, left + pool.kernel()); j++) {
              int at = plane + i * w + j;
              best = best < 0 || x.data()[at] > x.data()[best] ? at : best;
            }
          }
          boolean isBorder =
              pool.zeros()
                  && x.data()[best] < 0
                  && (top < 0 || left < 0 || top + pool.kernel() > h || left + pool.kernel() > w);
          dx.data()[best] += isBorder ? 0 : dy.data()[from];
          from++;
        }
      }
    }
    return dx;
  }

  /**
   * A pixel contributes through its own gate, and through the means from which all gates are
   * computed.
   */
  private static Tensor throughGates(Gates gates, Tensor x, Tensor dy) {
    Tensor dx = Tensor.zeros(x.shape());
    Tensor means = Scalar.globalAveragePool(x);
    int channels = x.dim(1);
    int plane = x.dim(2) * x.dim(3);
    for (int n = 0; n < x.dim(0); n++) {
      float[] mean = Arrays.copyOfRange(means.data(), n * channels, (n + 1) * channels);
      float[] gate = new float[channels];
      gates.compute(mean, gate);
      float[] gradient = new float[channels];
      for (int i = n * channels * plane; i < (n + 1) * channels * plane; i++) {
        gradient[i / plane % channels] += x.data()[i] * dy.data()[i];
      }
      float[] back = gates.gradient(mean, gate, gradient, new float[gates.size()], 0);
      for (int i = n * channels * plane; i < (n + 1) * channels * plane; i++) {
        int c = i / plane % channels;
        dx.data()[i] = dy.data()[i] * gate[c] + back[c] / plane;
      }
    }
    return dx;
  }

  private static Tensor toWindows(AvgPool2d pool, Tensor x, Tensor dy) {
    Tensor dx = Tensor.zeros(x.shape());
    int h = x.dim(2);
    int w = x.dim(3);
    int from = 0;
    for (int plane = 0; plane < x.size(); plane += h * w) {
      for (int r = 0; r < dy.dim(2); r++) {
        for (int c = 0; c < dy.dim(3); c++) {
          int bottom = Math.min(h, r * pool.stride() + pool.kernel());
          int right = Math.min(w, c * pool.stride() + pool.kernel());
          float value =
              dy.data()[from++]
                  / pool.divisor((bottom - r * pool.stride()) * (right - c * pool.stride()));
          for (int i = r * pool.stride(); i < bottom; i++) {
            for (int j = c * pool.stride(); j < right; j++) {
              dx.data()[plane + i * w + j] += value;
            }
          }
        }
      }
    }
    return dx;
  }

  private static Tensor toWindows(BlurPool2d pool, Tensor x, Tensor dy) {
    Tensor dx = Tensor.zeros(x.shape());
    int h = x.dim(2);
    int w = x.dim(3);
    int from = 0;
    for (int plane = 0; plane < x.size(); plane += h * w) {
      for (int r = 0; r < dy.dim(2); r++) {
        for (int c = 0; c < dy.dim(3); c++) {
          float value = dy.data()[from++] / 16;
          for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++) {
              int at = plane + pool.source(r, i, h) * w + pool.source(c, j, w);
              dx.data()[at] += value * BlurPool2d.weight(i, j);
            }
          }
        }
      }
    }
    return dx;
  }

  private static Tensor toSamples(SubsampleAndPad pad, Tensor x, Tensor dy) {
    Tensor dx = Tensor.zeros(x.shape());
    int channels = x.dim(1);
    int before = (pad.channels() - channels) / 2;
    for (int n = 0; n < x.dim(0); n++) {
      for (int c = 0; c < channels; c++) {
        for (int r = 0; r < dy.dim(2); r++) {
          for (int k = 0; k < dy.dim(3); k++) {
            int from = ((n * dy.dim(1) + before + c) * dy.dim(2) + r) * dy.dim(3) + k;
            int to =
                ((n * channels + c) * x.dim(2) + r * pad.stride()) * x.dim(3) + k * pad.stride();
            dx.data()[to] = dy.data()[from];
          }
        }
      }
    }
    return dx;
  }
}
