package io.github.resnet4j.engine;

import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;

/**
 * Another engine for inference, found with {@link ServiceLoader}: its jar is on the class path and
 * names the class in {@code META-INF/services}.
 */
public interface InferenceEngine {
  /** The name by which {@link EngineChoice} selects it. */
  String name();

  /**
   * Compiles a network.
   *
   * @param network the layers
   * @param state the weights
   * @param inChannels the number of channels of the images
   * @param options threads, taps, precision and provider; kernels and algorithm are those of
   *     resnet4j's own engine
   * @throws IllegalArgumentException if the provider or the precision is not available; the message
   *     gives the reason and what is available
   */
  InferenceSession compile(
      Sequential network, StateDict state, int inChannels, CompileOptions options);

  /**
   * The engine of a name on the class path.
   *
   * @throws IllegalArgumentException if there is none; the message lists those found
   */
  static InferenceEngine named(String name) {
    var found = new ArrayList<>(List.of(EngineChoice.RESNET4J.name()));
    for (InferenceEngine engine : ServiceLoader.load(InferenceEngine.class)) {
      if (engine.name().equals(name)) {
        return engine;
      }
      found.add(engine.name());
    }
    throw new IllegalArgumentException(
        "there is no engine '%s' on the class path, only %s"
            .formatted(name, String.join(", ", found)));
  }
}
