package io.github.resnet4j.engine.conv;

import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.nn.StateDict;

/**
 * An order of weights that a step requires, and how to create it.
 *
 * @param <W> describes the packed weights
 */
public interface Packing<W> {
  /** Identifies layer and order: equal keys share the packed weights. */
  String key();

  /** The number of floats. */
  int size();

  /** Writes the weights into an array of zeros, from {@code at} on. */
  W pack(StateDict state, Floats data, int at);
}
