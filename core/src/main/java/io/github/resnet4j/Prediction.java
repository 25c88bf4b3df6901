package io.github.resnet4j;

import java.util.Locale;

/**
 * A likely class of an image.
 *
 * @param index the index of the class, counted from 0
 * @param label the name of the class
 * @param probability the softmax probability over all classes, in [0, 1]
 */
public record Prediction(int index, String label, float probability) {

  /** {@code tabby 87.3 %}. */
  @Override
  public String toString() {
    return String.format(Locale.ROOT, "%s %.1f %%", label, 100 * probability);
  }
}
