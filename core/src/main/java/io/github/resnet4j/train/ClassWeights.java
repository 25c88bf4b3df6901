package io.github.resnet4j.train;

import io.github.resnet4j.messages.Suggestion;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The factors of classes in the loss. For one label per image they multiply the loss of an image of
 * the class; for several labels only that of images that have the class (PyTorch's {@code
 * pos_weight}).
 *
 * @param balanced whether factors follow from the numbers of training images, so that rare classes
 *     count as much as frequent ones: for one label per image {@code images / (classes × images of
 *     the class)}, as scikit-learn's {@code class_weight='balanced'}; for several labels {@code
 *     images without the class / images with it}
 * @param factors the factors of named classes, at least 0; they replace balanced ones; other
 *     classes have 1
 */
public record ClassWeights(boolean balanced, Map<String, Double> factors) implements Serializable {
  /** All classes count the same. */
  public static final ClassWeights NONE = new ClassWeights(false, Map.of());

  /** Rare classes count as much as frequent ones. */
  public static final ClassWeights BALANCED = new ClassWeights(true, Map.of());

  /**
   * @throws IllegalArgumentException if a factor is negative
   */
  public ClassWeights {
    factors.forEach((name, factor) -> {
      if (!(factor >= 0 && factor < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "the weight of class '%s' must be at least 0, was %s".formatted(name, factor));
      }
    });
    factors = Collections.unmodifiableMap(new TreeMap<>(factors));
  }

  /**
   * The factor of each class; empty if all are 1.
   *
   * @throws IllegalArgumentException if the data set has no class of a name
   */
  List<Float> of(Dataset data) {
    for (String name : factors.keySet()) {
      if (!data.classes().contains(name)) {
        throw new IllegalArgumentException(
            "class weights: the data set has no class '%s'%s"
                .formatted(name, Suggestion.of(name, data.classes())));
      }
    }
    if (!balanced && factors.isEmpty()) {
      return List.of();
    }
    long[] counts = data.counts(data.train());
    double images = data.train().size();
    boolean single = data.train().getFirst().target() instanceof Target.Label;
    var weights = new ArrayList<Float>();
    for (int k = 0; k < counts.length; k++) {
      double usual = 1;
      if (balanced && counts[k] > 0) {
        usual = single ? images / (counts.length * counts[k]) : (images - counts[k]) / counts[k];
      }
      weights.add(factors.getOrDefault(data.classes().get(k), usual).floatValue());
    }
    return weights;
  }
}
