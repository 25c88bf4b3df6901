package io.github.resnet4j;

import java.util.Locale;

/**
 * One of an image's likely classes.
 *
 * @param index the class, counted from 0
 * @param label its name
 * @param probability softmax over all classes, in [0, 1]
 */
public record Prediction(int index, String label, float probability) {

  /** {@code tabby 87.3 %}. */
  @Override
  public String toString() {
    return String.format(Locale.ROOT, "%s %.1f %%", label, 100 * probability);
  }
}
