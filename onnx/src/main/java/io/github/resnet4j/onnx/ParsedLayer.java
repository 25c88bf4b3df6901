package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Constant;
import io.github.resnet4j.onnx.OnnxModel.Node;
import java.util.List;
import java.util.Optional;

/**
 * A layer parsed from a graph, before the specification of the network is known. {@code node} is
 * the node for error messages.
 */
sealed interface ParsedLayer {
  Node node();

  /** The stride of a convolution, a pooling or a blur along the first axis. */
  default int stride() {
    List<Long> values = node().integers("strides");
    return values.isEmpty() ? 1 : Math.toIntExact(values.getFirst());
  }

  /**
   * A convolution, with the batch norm after it, if there is one.
   *
   * @param standardization the number added to the variance of the weights, if the graph
   *     standardizes them
   */
  record Convolution(
      Node node,
      Constant weight,
      Optional<Float> standardization,
      Optional<Constant> bias,
      Optional<Node> norm)
      implements ParsedLayer {
    int out() {
      return Math.toIntExact(weight.shape().get(0));
    }
  }

  /** A batch norm that does not follow a convolution. */
  record BatchNorm(Node node) implements ParsedLayer {}

  /** Group norm; weight and bias have one value per channel. */
  record GroupNorm(Node node, int groups, Constant weight, Constant bias) implements ParsedLayer {}

  record Relu(Node node) implements ParsedLayer {}

  record Sigmoid(Node node) implements ParsedLayer {}

  /**
   * Max pooling.
   *
   * @param zeros whether its padding counts as zeros
   */
  record MaxPool(Node node, boolean zeros) implements ParsedLayer {}

  /** Average pooling. */
  record AveragePool(Node node) implements ParsedLayer {}

  /** Reflection padding and a [1 2 1] filter along both axes with stride 1 or 2. */
  record Blur(Node node) implements ParsedLayer {}

  /** Takes every n-th row and column. */
  record Subsample(Node node, long rows, long columns) implements ParsedLayer {}

  /** Adds channels of zeros before and after the existing ones. */
  record ZeroPad(Node node, long before, long after) implements ParsedLayer {}

  /** Channel attention: channels are multiplied by gates computed from the channel means. */
  record Gates(Node node, List<Convolution> convolutions) implements ParsedLayer {}

  /**
   * A residual block: the sum of two branches; {@code main} has more convolutions.
   *
   * @param rectified whether a ReLU follows the sum
   */
  record Block(Node node, List<ParsedLayer> main, List<ParsedLayer> shortcut, boolean rectified)
      implements ParsedLayer {}

  /** Global average pooling. */
  record GlobalMean(Node node) implements ParsedLayer {}

  /**
   * A fully connected layer.
   *
   * @param weight {@code [out, in]} if transposed, else {@code [in, out]}
   */
  record Linear(Node node, Constant weight, boolean transposed, Optional<Constant> bias)
      implements ParsedLayer {
    long out() {
      return weight.shape().get(transposed ? 0 : 1);
    }
  }
}
