package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Node;

/** Something in a graph that a residual network does not have; the message names it. */
final class Unfit extends Exception {
  private static final long serialVersionUID = 1;

  Unfit(String reason) {
    super(reason);
  }

  static Unfit at(Node node, String reason) {
    return new Unfit("%s %s".formatted(node.describe(), reason));
  }
}
