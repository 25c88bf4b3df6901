package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The text of model cards; huggingface_hub reads those of the command in tools/parity. */
class ModelCardTest {
  private static ModelCard card(Model model, Evaluation evaluation) {
    return new ModelCard(
        "run \"1\": *best*",
        Optional.of("apache-2.0"),
        Optional.empty(),
        "photos: 2",
        20,
        List.of("batch size: 8"),
        model,
        evaluation);
  }

  @Test
  void resultsAndNamesAreQuoted() {
    Model model = Model.initialize(Architecture.named("resnet8"), List.of("cat | dog", "bird"), 0);
    var evaluation =
        new SingleLabelEvaluation(
            model.labels(), new long[][] {{3, 1}, {0, 4}}, new long[] {4, 4}, List.of(), List.of());
    String text = card(model, evaluation).toMarkdown();
    assertTrue(text.startsWith("---\nlicense: \"apache-2.0\"\nlibrary_name: resnet4j\n"), text);
    assertTrue(text.contains("- name: \"run \\\"1\\\": *best*\"\n"), text);
    assertTrue(
        text.contains("    - type: accuracy\n      name: \"accuracy\"\n      value: 0.87500"));
    assertTrue(text.contains("\n- cat \\| dog\n"), text);
    assertTrue(text.contains("| accuracy | 0.87500 |"), text);
    assertEquals(2, text.lines().filter(line -> line.equals("---")).count());
  }

  @Test
  void withoutValidationImagesThereAreNoResults() {
    Model model = Model.initialize(Architecture.named("resnet8"), List.of("a", "b"), 0);
    String text = card(model, SingleLabelEvaluation.empty(model, List.of())).toMarkdown();
    assertTrue(!text.contains("model-index") && text.contains("no validation images"), text);
    Dataset numbers =
        new Dataset(
            List.of("age"),
            List.of(new Dataset.Example("x", new Target.Values(List.of(1f)), () -> null)),
            List.of());
    Model regression = Model.initialize(Architecture.named("resnet8"), List.of("age"), 0);
    text =
        card(
                regression.withTask(numbers.task()),
                new RegressionEvaluation(regression.labels(), new ArrayList<>()))
            .toMarkdown();
    assertTrue(text.contains("- image-regression\n") && !text.contains("pipeline_tag"), text);
  }

  @Test
  void licensesAreIdentifiers() {
    assertThrows(IllegalArgumentException.class, () -> ModelCard.requireLicense("MIT License"));
  }
}
