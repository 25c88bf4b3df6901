package io.github.resnet4j.onnx;

import io.github.resnet4j.onnx.OnnxModel.Node;

/**
 * Thrown if a graph is not a supported residual network; the message names the first unsupported
 * node.
 */
final class UnsupportedGraphException extends Exception {
  private static final long serialVersionUID = 1;

  UnsupportedGraphException(String reason) {
    super(reason);
  }

  static UnsupportedGraphException at(Node node, String reason) {
    return new UnsupportedGraphException("%s %s".formatted(node.describe(), reason));
  }
}
