/**
 * Inference with ONNX Runtime, on the devices that it supports. Its jar, with the native library,
 * is not a dependency: a program adds the one for its devices.
 */
@NullMarked
package io.github.resnet4j.onnxruntime;

import org.jspecify.annotations.NullMarked;
