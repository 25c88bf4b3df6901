/**
 * Converts networks to ONNX and back.
 *
 * <p>Begin with {@link io.github.resnet4j.onnx.OnnxExport#write} and {@link
 * io.github.resnet4j.onnx.OnnxImport#read}.
 */
@NullMarked
package io.github.resnet4j.onnx;

import org.jspecify.annotations.NullMarked;
