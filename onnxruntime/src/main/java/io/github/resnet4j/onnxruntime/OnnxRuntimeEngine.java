package io.github.resnet4j.onnxruntime;

import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.InferenceEngine;
import io.github.resnet4j.engine.InferenceSession;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import java.util.Locale;

/**
 * ONNX Runtime as the engine {@value #NAME}. The network is exported to ONNX in memory.
 *
 * <pre>{@code
 * var engine = new EngineChoice("onnxruntime", "cuda");
 * try (var classifier = Classifier.builder().engine(engine).load("resnet50")) { … }
 * }</pre>
 *
 * <p>The providers are {@code cpu}, {@code cuda}, {@code tensorrt}, {@code coreml}, {@code
 * directml} and {@code openvino}, as far as the ONNX Runtime on the class path contains them. A
 * device follows a colon: {@code cuda:1}, {@code openvino:GPU}; otherwise it is the first one. It
 * computes in float32, also with weights that were quantized. Operations that a provider does not
 * have run on the CPU.
 */
public final class OnnxRuntimeEngine implements InferenceEngine {
  /** The name of the engine. */
  public static final String NAME = "onnxruntime";

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public InferenceSession compile(
      Sequential network, StateDict state, int inChannels, CompileOptions options) {
    if (options.precision() == Precision.BF16 || options.precision() == Precision.INT8) {
      throw new IllegalArgumentException(
          "the engine onnxruntime computes in fp32, not in %s; use the precision fp32, or the engine"
                  .formatted(options.precision().name().toLowerCase(Locale.ROOT))
              + " resnet4j");
    }
    Device device = Device.named(options.engine().provider());
    try {
      Class.forName("ai.onnxruntime.OrtEnvironment", false, getClass().getClassLoader());
    } catch (ClassNotFoundException e) {
      throw new IllegalArgumentException(
          "the engine onnxruntime needs the jar of ONNX Runtime (%s) on the class path; for the"
                  .formatted(device.provider().artifact)
              + " command, set RESNET4J_CLASSPATH to the jar",
          e);
    }
    return OnnxRuntimeSession.open(network, state, inChannels, options, device);
  }
}
