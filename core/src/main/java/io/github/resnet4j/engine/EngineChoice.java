package io.github.resnet4j.engine;

/**
 * The engine that runs a network, and the device that it runs on.
 *
 * @param name the {@linkplain InferenceEngine#name name} of the engine: {@code resnet4j}, {@code
 *     onnxruntime}
 * @param provider the library or device that an engine computes with: {@code cpu}, {@code cuda}; an
 *     engine rejects those that it does not have. {@code cuda:1} and {@code openvino:GPU} choose
 *     one of its devices
 */
public record EngineChoice(String name, String provider) {
  /** This library's own engine, on the processor. */
  public static final EngineChoice RESNET4J = new EngineChoice("resnet4j", "cpu");

  /**
   * @throws IllegalArgumentException if the engine is resnet4j's own and the provider is not {@code
   *     cpu}
   */
  public EngineChoice {
    if (name.equals("resnet4j") && !provider.equals("cpu")) {
      throw new IllegalArgumentException(
          "the engine resnet4j has no provider '%s', only cpu; the engine onnxruntime has others"
              .formatted(provider));
    }
  }
}
