package io.github.resnet4j.cli;

import io.github.resnet4j.engine.EngineChoice;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that select the engine and its device. */
final class EngineOptions {
  @Option(
      names = "--engine",
      paramLabel = "ENGINE",
      description =
          "resnet4j, or onnxruntime with ONNX Runtime's jar in RESNET4J_CLASSPATH; default"
              + " ${DEFAULT-VALUE}.")
  private String engine = EngineChoice.RESNET4J.name();

  @Option(
      names = "--provider",
      paramLabel = "PROVIDER",
      description =
          "Provider of onnxruntime: cpu, cuda, tensorrt, coreml, directml or openvino, and a"
              + " device: cuda:1, openvino:GPU; default: cpu.")
  private @Nullable String provider;

  EngineChoice choice() {
    if (provider != null && engine.equals(EngineChoice.RESNET4J.name())) {
      throw new UsageException("--provider needs --engine onnxruntime");
    }
    return new EngineChoice(engine, provider == null ? "cpu" : provider);
  }
}
