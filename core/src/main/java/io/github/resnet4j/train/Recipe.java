package io.github.resnet4j.train;

import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Augmentation.Crop;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How a network is trained.
 *
 * @param schedule the learning rate of each epoch, and how many there are
 * @param batch pictures of a step
 * @param method how weights follow from gradients
 * @param weightDecay what a step takes away from each weight, before the rate
 * @param decayAll whether it applies to batch norm and biases too, as in the paper; else to the
 *     weights of convolutions and head only
 * @param labelSmoothing the part of a target that is spread over all classes (arXiv 1512.00567,
 *     section 7)
 * @param augmentation what is done to pictures
 * @param seed what all chance follows from: order, augmentation, a new head
 */
public record Recipe(
    Schedule schedule,
    int batch,
    Optimizer.Method method,
    float weightDecay,
    boolean decayAll,
    double labelSmoothing,
    Augmentation augmentation,
    long seed) {
  private static final Optimizer.Method MOMENTUM = new Optimizer.Method.Sgd(0.9f, false);
  private static final Augmentation IMAGENET = new Augmentation(Crop.RANDOM_RESIZED, true);

  private static final Map<String, Recipe> NAMED = named();

  /**
   * @throws IllegalArgumentException naming what is out of range
   */
  public Recipe {
    if (batch < 1) {
      throw new IllegalArgumentException("batch must be at least 1, was " + batch);
    }
    if (!(weightDecay >= 0)) {
      throw new IllegalArgumentException("weight decay must not be negative, was " + weightDecay);
    }
    if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
      throw new IllegalArgumentException(
          "label smoothing must be in [0, 1), was " + labelSmoothing);
    }
  }

  private static Map<String, Recipe> named() {
    var all = new LinkedHashMap<String, Recipe>();
    all.put(
        "finetune",
        new Recipe(
            new Schedule(Schedule.Kind.COSINE, 0.01, 10, 1, List.of()),
            32,
            MOMENTUM,
            1e-4f,
            false,
            0,
            IMAGENET,
            0));
    all.put(
        "paper",
        new Recipe(
            new Schedule(Schedule.Kind.STEPS, 0.1, 120, 0, List.of(30, 60, 90)),
            256,
            MOMENTUM,
            1e-4f,
            true,
            0,
            IMAGENET,
            0));
    all.put(
        "torchvision-v1",
        new Recipe(
            new Schedule(Schedule.Kind.STEPS, 0.1, 90, 0, List.of(30, 60)),
            256,
            MOMENTUM,
            1e-4f,
            true,
            0,
            IMAGENET,
            0));
    all.put(
        "small-images",
        new Recipe(
            new Schedule(Schedule.Kind.COSINE, 0.1, 30, 2, List.of()),
            128,
            MOMENTUM,
            1e-4f,
            true,
            0,
            new Augmentation(Crop.PAD, false),
            0));
    return all;
  }

  /** The names of the recipes there are. */
  public static List<String> names() {
    return List.copyOf(NAMED.keySet());
  }

  /**
   * A recipe by name: {@code finetune}; {@code paper} (arXiv 1512.03385, section 3.4, with drops at
   * fixed epochs for its plateaus); {@code torchvision-v1}; {@code small-images}, for pictures of
   * about 32 pixels that must not be mirrored.
   *
   * @throws IllegalArgumentException listing the names there are
   */
  public static Recipe named(String name) {
    Recipe recipe = NAMED.get(name);
    if (recipe == null) {
      throw new IllegalArgumentException(
          "no recipe is named '%s'; there are %s".formatted(name, String.join(", ", names())));
    }
    return recipe;
  }
}
