package io.github.resnet4j.engine;

/**
 * The engine that runs a network, and the device that it runs on.
 *
 * @param name the {@linkplain InferenceEngine#name name} of the engine: {@code resnet4j}, {@code
 *     onnxruntime}
 * @param provider the library or device that an engine computes with: {@code cpu}, {@code cuda}; an
 *     engine rejects those that it does not have
 */
public record EngineChoice(String name, String provider) {
  /** This library's own engine, on the processor. */
  public static final EngineChoice RESNET4J = new EngineChoice("resnet4j", "cpu");
}
