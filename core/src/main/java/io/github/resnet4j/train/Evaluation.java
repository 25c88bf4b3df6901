package io.github.resnet4j.train;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntConsumer;

/** The quality of a model on images whose targets are known. */
public sealed interface Evaluation
    permits SingleLabelEvaluation, MultiLabelEvaluation, RegressionEvaluation {
  /** The model's labels, or the names of its numbers. */
  List<String> classes();

  /** The number of images. */
  long count();

  /**
   * The value of the task's main {@link Metric}: accuracy, mean average precision, or mean absolute
   * error; NaN without images.
   */
  double score();

  /**
   * Evaluates a model on images, on all cores; unreadable images are skipped. For each image about
   * 60 bytes are kept, and with at most 200 classes their probabilities, of all images at most 256
   * MB; for several labels and numbers the image without its pixels, and its outputs.
   *
   * @param examples the images; their labels are indices into the model's labels. If a model
   *     predicts one class, an image may have several right ones ({@link Target.Labels}), as in
   *     ReaL (arXiv 2006.07159): the most likely one of them counts as the true one
   */
  static Evaluation of(Model model, List<Example> examples) {
    try (var classifier = Classifier.of(model)) {
      return of(classifier, examples);
    }
  }

  /** The same for a classifier. */
  static Evaluation of(Classifier classifier, List<Example> examples) {
    return of(classifier, examples, _ -> {}, _ -> {});
  }

  /**
   * The same with reports of the progress.
   *
   * @param progress receives the number of processed images
   * @param unreadable receives the errors of unreadable images
   * @throws IllegalArgumentException if the network has no head, or the targets of the images are
   *     not those of the model's task
   */
  static Evaluation of(
      Classifier classifier,
      List<Example> examples,
      IntConsumer progress,
      Consumer<IOException> unreadable) {
    Model model = classifier.model().requireHead();
    Evaluation evaluation =
        switch (model.task()) {
          case Task.SingleLabel _ -> SingleLabelEvaluation.empty(model, examples);
          case Task.MultiLabel(List<Float> thresholds) ->
              new MultiLabelEvaluation(model.labels(), thresholds, new ArrayList<>());
          case Task.Regression _ -> new RegressionEvaluation(model.labels(), new ArrayList<>());
        };
    int batchSize = 16;
    for (int i = 0; i < examples.size(); i += batchSize) {
      List<Example> some = examples.subList(i, Math.min(examples.size(), i + batchSize));
      Classifier.Batch batch =
          classifier.prepare(
              some.stream()
                  .map(example -> Image.of(example.name(), _ -> example.source().read()))
                  .toList());
      Tensor outputs = classifier.run(batch.input()).logits().orElseThrow();
      for (int n = 0; n < some.size(); n++) {
        if (batch.errors().get(n).isPresent()) {
          unreadable.accept(batch.errors().get(n).get());
        } else {
          add(evaluation, i + n, some.get(n), model, outputs.row(n));
        }
      }
      progress.accept(i + some.size());
    }
    return evaluation;
  }

  private static void add(Evaluation to, int image, Example example, Model model, float[] outputs) {
    switch (to) {
      case SingleLabelEvaluation single when example.target() instanceof Target.Label(int truth) ->
          single.add(image, truth, model.probabilities(outputs));
      case SingleLabelEvaluation single
          when example.target() instanceof Target.Labels(List<Integer> right) && !right.isEmpty() ->
          single.add(image, right, model.probabilities(outputs));
      case MultiLabelEvaluation several when example.target() instanceof Target.Labels ->
          several
              .outcomes()
              .add(new MultiLabelEvaluation.Outcome(example, model.probabilities(outputs)));
      case RegressionEvaluation numbers when example.target() instanceof Target.Values ->
          numbers.outcomes().add(new RegressionEvaluation.Outcome(example, model.values(outputs)));
      default ->
          throw new IllegalArgumentException(
              "%s: its target, %s, is not of the kind that the model predicts"
                  .formatted(example.name(), example.target()));
    }
  }
}
