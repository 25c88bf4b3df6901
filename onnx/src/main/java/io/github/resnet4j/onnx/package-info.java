/** Residual networks to ONNX and back. */
@NullMarked
package io.github.resnet4j.onnx;

import org.jspecify.annotations.NullMarked;
