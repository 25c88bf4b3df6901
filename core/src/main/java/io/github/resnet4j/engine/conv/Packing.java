package io.github.resnet4j.engine.conv;

import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.nn.StateDict;

/**
 * Weights that a step wants in an order of its own.
 *
 * @param <W> how the step finds its way in them
 */
public interface Packing<W> {
  /** The same for steps that can share: layer and order. */
  String key();

  /** Floats. */
  int size();

  /** Writes the weights into an array of zeros, from {@code at} on. */
  W pack(StateDict state, Floats data, int at);
}
