package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.Task;
import io.github.resnet4j.Weights;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;

/**
 * Fine-tunes a pretrained model: trains it further on images of other classes. If the classes
 * differ, the head (the last layer) is replaced by a new one with random weights; all other weights
 * and the preprocessing are those of the pretrained model.
 *
 * <pre>{@code
 * var data = Dataset.of(Path.of("photos"));
 * var result = FineTuning.of("resnet50", data).run(Path.of("run1"));
 * System.out.println(result.evaluation().score()); // the accuracy
 * }</pre>
 *
 * Immutable. For settings beyond the recipe, see {@link #trainer}.
 */
public final class FineTuning {
  private final Model base;
  private final Dataset data;
  private final Recipe recipe;

  private FineTuning(Model base, Dataset data, Recipe recipe) {
    this.base = base;
    this.data = data;
    this.recipe = recipe;
  }

  /**
   * Starts from weights by name, which are downloaded if they are not in the cache.
   *
   * @param weights a network, for its default published weights; a file; or {@code hf:owner/name}
   * @throws IllegalArgumentException if there are no weights of this name
   * @throws IOException if the weights cannot be read
   */
  public static FineTuning of(String weights, Dataset data) throws IOException {
    return of(Weights.find(weights), data);
  }

  /**
   * Starts from given weights. If they have no labels and the number of classes is that of the data
   * set, the classes are assumed to be the same, and the head is kept.
   *
   * @throws IOException if the weights cannot be read
   */
  public static FineTuning of(Weights weights, Dataset data) throws IOException {
    Model base = Model.of(weights);
    boolean unnamed = weights.labels().isEmpty();
    return of(
        unnamed && base.labels().size() == data.classes().size()
            ? base.withLabels(data.classes())
            : base,
        data);
  }

  /** Starts from a model; its head is kept only if its labels are the classes of the data set. */
  public static FineTuning of(Model base, Dataset data) {
    return new FineTuning(base, data, Recipe.named("finetune"));
  }

  /** The same with another recipe; the default is {@code Recipe.named("finetune")}. */
  public FineTuning withRecipe(Recipe other) {
    return new FineTuning(base, data, other);
  }

  /**
   * The same in another precision, see {@link Recipe}: {@link Precision#BF16} needs half the memory
   * for activations, and is faster on processors with fast bfloat16 instructions.
   *
   * @throws IllegalArgumentException if it is not fp32, bf16 or auto
   */
  public FineTuning withPrecision(Precision precision) {
    return withRecipe(recipe.toBuilder().precision(precision).build());
  }

  /**
   * The model before training: the weights of the pretrained one, and a new head if the classes or
   * the kinds of targets differ, initialized with the recipe's seed.
   */
  public Model start() {
    ResNet network = base.network();
    Task task = data.task();
    boolean same =
        base.labels().equals(data.classes()) && base.task().getClass() == task.getClass();
    return new Model(
        same
            ? network
            : network.withNewHead(data.classes().size(), TorchRandom.manualSeed(recipe.seed())),
        base.preprocessing(),
        data.classes(),
        same ? base.task() : task);
  }

  /** The trainer of the {@link #start} model, for other settings: threads, listeners, resuming. */
  public Trainer trainer() {
    return new Trainer(start(), data, recipe);
  }

  /**
   * Trains until the last epoch.
   *
   * @param output the output folder, see {@link Trainer}
   * @throws IOException as {@link Trainer#run}
   */
  public Trainer.Result run(Path output) throws IOException, InterruptedException {
    return trainer().run(output);
  }

  /** {@code FineTuning[Model[resnet50, …], Dataset[10 classes, …]]}. */
  @Override
  public String toString() {
    return "FineTuning[%s, %s]".formatted(base, data);
  }
}
