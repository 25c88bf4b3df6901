package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.Augmentation;
import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class RecipeTest {
  /**
   * Goyal et al., arXiv 1706.02677, sections 2.2 and 5.1: 0.1 · kn / 256 for a batch size of kn, so
   * 3.2 for 8k, and a gradual warm-up of 5 epochs.
   */
  @Test
  void linearScalingMatchesThePaper() {
    Recipe recipe = Recipe.named("torchvision-v1").scaledTo(8192);
    assertEquals(8192, recipe.batch());
    assertEquals(new Schedule(Schedule.Kind.STEPS, 3.2, 90, 5, List.of(30, 60)), recipe.schedule());
    assertEquals(0.05, Recipe.named("torchvision-v1").scaledTo(128).schedule().rate());
  }

  @Test
  void scalingKeepsLongerWarmupsAndLimitsShortOnes() {
    var longer = new Schedule(Schedule.Kind.COSINE, 0.1, 40, 8, List.of());
    assertEquals(8, new Recipe.Builder(longer).build().scaledTo(512).schedule().warmup());
    var few = new Schedule(Schedule.Kind.COSINE, 0.1, 3, 0, List.of());
    assertEquals(2, new Recipe.Builder(few).build().scaledTo(512).schedule().warmup());
    var recipe = Recipe.named("finetune");
    assertThrows(IllegalArgumentException.class, () -> recipe.scaledTo(0));
  }

  @Test
  void defaultRecipeFitsTheImagesOfTheNetwork() {
    assertEquals(Recipe.named("torchvision-v1"), Recipe.defaultFor(Architecture.named("resnet50")));
    assertEquals(Recipe.named("small-images"), Recipe.defaultFor(Architecture.named("resnet20")));
  }

  @Test
  void frozenLayersAndFactorsAreNamedByLayer() {
    var layers = Architecture.named("resnet18").layers();
    Recipe recipe =
        Recipe.named("finetune").toBuilder()
            .frozen(List.of("stem", "bn"))
            .rates(Map.of("bn", 0.5, "layer1", 0.1))
            .build();
    Set<String> frozen = recipe.frozenParameters(layers);
    assertEquals(1 + 20 * 5, frozen.size()); // the stem's convolution; 20 norms with their buffers
    assertTrue(
        frozen.containsAll(List.of("conv1.weight", "bn1.weight", "layer2.0.downsample.1.bias")));
    var factors = recipe.rateFactors(layers);
    assertEquals(0.05, factors.applyAsDouble("layer1.0.bn1.weight"), 1e-12);
    assertEquals(0.1, factors.applyAsDouble("layer1.0.conv1.weight"));
    assertEquals(1, factors.applyAsDouble("fc.weight"));
  }

  @Test
  void stemIsFrozenByNameInEveryFamily() {
    var recipe = Recipe.named("finetune").toBuilder().frozen(List.of("stem")).build();
    var layers = Architecture.named("resnetv2_50").layers();
    assertEquals(Set.of("stem.conv.weight"), recipe.frozenParameters(layers));
    var groups = Architecture.named("resnet50_gn").layers();
    var refusal =
        assertThrows(
            IllegalArgumentException.class, () -> Recipe.requireLayers(groups, List.of("bn")));
    assertEquals(
        "the network has no layer 'bn'; 'resnet4j summary' lists them", refusal.getMessage());
  }

  /** A component that is missing there would let a run be resumed with another value. */
  @Test
  void everyComponentIsComparedWhenResuming() {
    var base = new Recipe.Builder(new Schedule(Schedule.Kind.CONSTANT, 0.1, 9, 1, List.of()));
    var changes = new LinkedHashMap<String, UnaryOperator<Recipe.Builder>>();
    changes.put("batch", b -> b.batch(7));
    changes.put("accumulate", b -> b.accumulate(2));
    changes.put("sampling", b -> b.sampling(Sampling.BALANCED));
    changes.put("patience", b -> b.patience(3));
    changes.put("method", b -> b.method(new Optimizer.Method.Sgd(0.9f, true)));
    changes.put("weightDecay", b -> b.weightDecay(0.123456f));
    changes.put("decayAll", b -> b.decayAll(false));
    changes.put("clip", b -> b.clip(1));
    changes.put("loss", b -> b.loss(new LossChoice.SmoothL1(0.5)));
    changes.put("classWeights", b -> b.classWeights(new ClassWeights(false, Map.of("a", 2.0))));
    changes.put("labelSmoothing", b -> b.labelSmoothing(0.1));
    changes.put("mixing", b -> b.mixing(new Mixing(0.2, 0)));
    changes.put("stochasticDepth", b -> b.stochasticDepth(0.1));
    changes.put("averaging", b -> b.averaging(0.9));
    changes.put("frozen", b -> b.frozen(List.of("layer1")));
    changes.put("unfreezing", b -> b.unfreezing(Map.of("layer1", 2)));
    changes.put("frozenStatistics", b -> b.frozenStatistics(true));
    changes.put("rates", b -> b.rates(Map.of("fc", 2.0)));
    changes.put("precision", b -> b.precision(Precision.BF16));
    changes.put("seed", b -> b.seed(8));
    var parts = Map.of("schedule", schedules(), "augmentation", augmentations());
    assertEquals(
        Arrays.stream(Recipe.class.getRecordComponents())
            .map(RecordComponent::getName)
            .collect(Collectors.toSet()),
        Stream.of(changes.keySet(), parts.keySet())
            .flatMap(Set::stream)
            .collect(Collectors.toSet()));
    parts.forEach((name, all) -> {
      for (int i = 0; i < all.size(); i++) {
        changes.put(name + i, all.get(i));
      }
    });
    Map<String, String> before = base.build().fields();
    changes.forEach((name, change) ->
        assertNotEquals(before, change.apply(base.build().toBuilder()).build().fields(), name));
  }

  private static List<UnaryOperator<Recipe.Builder>> schedules() {
    return Stream.of(
            new Schedule(Schedule.Kind.COSINE, 0.1, 9, 1, List.of()),
            new Schedule(Schedule.Kind.CONSTANT, 0.10000001, 9, 1, List.of()),
            new Schedule(Schedule.Kind.CONSTANT, 0.1, 8, 1, List.of()),
            new Schedule(Schedule.Kind.CONSTANT, 0.1, 9, 2, List.of()),
            new Schedule(Schedule.Kind.CONSTANT, 0.1, 9, 1, List.of(3)))
        .<UnaryOperator<Recipe.Builder>>map(each -> b -> b.schedule(each))
        .toList();
  }

  private static List<UnaryOperator<Recipe.Builder>> augmentations() {
    Augmentation usual =
        new Recipe.Builder(new Schedule(Schedule.Kind.CONSTANT, 0.1, 9, 1, List.of()))
            .build()
            .augmentation();
    return Stream.of(
            new Augmentation(Augmentation.Crop.CENTER, usual.flip(), 0, false, 0, 0),
            new Augmentation(usual.crop(), !usual.flip(), 0, false, 0, 0),
            new Augmentation(usual.crop(), usual.flip(), 0.1, false, 0, 0),
            new Augmentation(usual.crop(), usual.flip(), 0, true, 0, 0),
            new Augmentation(usual.crop(), usual.flip(), 0, false, 0.1, 0),
            new Augmentation(usual.crop(), usual.flip(), 0, false, 0, 0.1))
        .<UnaryOperator<Recipe.Builder>>map(each -> b -> b.augmentation(each))
        .toList();
  }
}
