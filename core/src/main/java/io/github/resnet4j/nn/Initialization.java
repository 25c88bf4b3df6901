package io.github.resnet4j.nn;

import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.util.Arrays;
import java.util.LinkedHashMap;

/**
 * The initial weights of torchvision's {@code ResNet.__init__}, bit for bit.
 *
 * <p>Convolutions are Kaiming normal with fan-out and the gain of ReLU (He et al., arXiv
 * 1502.01852, section 2.2). Norms start as the identity. The linear layer is uniform in ±1/√in,
 * PyTorch's default. Channel attention has timm's distributions (Kaiming normal and PyTorch's
 * defaults), but other random numbers.
 */
public final class Initialization {
  private Initialization() {}

  /**
   * Returns the initial parameters of a network.
   *
   * @param random the generator, in the state that Python's has before {@code
   *     torchvision.models.…()}
   */
  public static StateDict torchvision(Layer network, TorchRandom random) {
    StateDict state = StateDict.zeros(network);
    // PyTorch initializes every layer when it is created, and torchvision initializes the
    // convolutions again: the first numbers are discarded, but they advance the generator.
    construct(network, state, random);
    network
        .walk()
        .forEach(layer -> {
          switch (layer) {
            case Conv2d conv -> {
              double fanOut = (double) conv.outChannels() * conv.kernel() * conv.kernel();
              random.normal(state.get(conv.weight().name()).data(), 0, Math.sqrt(2 / fanOut));
            }
            case SqueezeExcite attention -> {
              excite(
                  attention.name() + ".fc1",
                  attention.channels(),
                  attention.reduced(),
                  state,
                  random);
              excite(
                  attention.name() + ".fc2",
                  attention.reduced(),
                  attention.channels(),
                  state,
                  random);
            }
            case EfficientAttention attention -> {
              double bound = 1 / Math.sqrt(attention.kernel());
              random.uniform(state.get(attention.weight().name()).data(), -bound, bound);
            }
            case BatchNorm2d norm -> {
              Arrays.fill(state.get(norm.name() + ".weight").data(), 1);
              Arrays.fill(state.get(norm.name() + ".running_var").data(), 1);
            }
            case GroupNorm norm -> Arrays.fill(state.get(norm.weight().name()).data(), 1);
            default -> {}
          }
        });
    return state;
  }

  /**
   * The same parameters, except that the weight of the last norm of every residual branch is zero
   * (Goyal et al., arXiv 1706.02677, section 5.1); in a pre-activation block that of the last
   * convolution.
   */
  public static StateDict zeroLastNorms(Layer network, StateDict state) {
    var entries = new LinkedHashMap<>(state.entries());
    network
        .walk()
        .forEach(layer -> {
          if (layer instanceof PreActivation block) { // no norm follows its last convolution
            entries.compute(
                block.convolutions().getLast().weight().name(),
                (_, weight) -> Tensor.zeros(weight.shape()));
          } else if (layer instanceof Residual block) {
            block.main().layers().reversed().stream()
                .filter(each -> each instanceof BatchNorm2d || each instanceof GroupNorm)
                .findFirst()
                .ifPresent(norm ->
                    entries.compute(
                        norm.name() + ".weight", (_, weight) -> Tensor.zeros(weight.shape())));
          }
        });
    return new StateDict(entries);
  }

  private static void excite(String name, int in, int out, StateDict state, TorchRandom random) {
    random.normal(state.get(name + ".weight").data(), 0, Math.sqrt(2.0 / out));
    double bound = 1 / Math.sqrt(in);
    random.uniform(state.get(name + ".bias").data(), -bound, bound);
  }

  private static void construct(Layer layer, StateDict state, TorchRandom random) {
    switch (layer) {
      case Conv2d conv -> random.skip(conv.weight().size());
      case Linear linear -> {
        double bound = 1 / Math.sqrt(linear.in());
        random.uniform(state.get(linear.weight().name()).data(), -bound, bound);
        random.uniform(state.get(linear.bias().name()).data(), -bound, bound);
      }
      // torchvision creates the projection before the block that it belongs to.
      case Residual block -> {
        construct(block.shortcut(), state, random);
        construct(block.main(), state, random);
      }
      default -> layer.children().forEach(child -> construct(child, state, random));
    }
  }
}
