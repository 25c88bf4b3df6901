package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
}
