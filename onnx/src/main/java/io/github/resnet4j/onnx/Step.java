package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.List;
import java.util.Optional;

/**
 * What a graph does, one layer's worth after the other, before it is known which network it is.
 * Each has the node that errors name.
 */
sealed interface Step {
  Node node();

  /** A convolution, with the batch norm after it, if there is one. */
  record Convolution(Node node, Constant weight, Optional<Constant> bias, Optional<Node> norm)
      implements Step {
    int out() {
      return Math.toIntExact(weight.shape().get(0));
    }

    int stride() {
      return first("strides");
    }

    int dilation() {
      return first("dilations");
    }

    private int first(String attribute) {
      List<Long> values = node.integers(attribute);
      return values.isEmpty() ? 1 : Math.toIntExact(values.getFirst());
    }
  }

  record Relu(Node node) implements Step {}

  record Sigmoid(Node node) implements Step {}

  record MaxPool(Node node) implements Step {}

  /** The mean over windows. */
  record AveragePool(Node node) implements Step {}

  /** A border that mirrors the image, and [1 2 1] along both axes with stride 2. */
  record Blur(Node node) implements Step {}

  /** Every so many rows and columns. */
  record Subsample(Node node, long rows, long columns) implements Step {}

  /** Channels of zeros before and behind. */
  record ZeroPad(Node node, long before, long after) implements Step {}

  /** Channels times factors that convolutions make of the channels' means. */
  record Gates(Node node, List<Convolution> convolutions) implements Step {}

  /** A sum of two branches, the one with more convolutions first, and a ReLU. */
  record Block(Node node, List<Step> main, List<Step> shortcut) implements Step {}

  /** The mean over all pixels. */
  record GlobalMean(Node node) implements Step {}

  /**
   * A fully connected layer.
   *
   * @param weight {@code [out, in]} if transposed, else {@code [in, out]}
   */
  record Linear(Node node, Constant weight, boolean transposed, Optional<Constant> bias)
      implements Step {
    long out() {
      return weight.shape().get(transposed ? 0 : 1);
    }
  }
}
