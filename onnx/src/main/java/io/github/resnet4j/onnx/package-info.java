/** Export of residual networks to ONNX, and import from ONNX. */
@NullMarked
package io.github.resnet4j.onnx;

import org.jspecify.annotations.NullMarked;
