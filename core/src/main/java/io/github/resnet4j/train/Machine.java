package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.nn.Loss;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Machines.Assignment;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.LocalBatch;
import io.github.resnet4j.train.Machines.MicroBatch;
import io.github.resnet4j.train.Machines.State;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;

/**
 * One of several machines in data-parallel training. Between rounds it keeps only buffers that it
 * reuses. Not thread-safe.
 */
public final class Machine implements AutoCloseable {
  private final Replica replica;
  private final Recipe recipe;

  /**
   * @param start the initial model; its weights are not used
   * @param teacher that of the training, if it has one
   * @param microBatch the largest number of images of a micro-batch: {@link Trainer#microBatch}
   */
  public Machine(
      Model start, Recipe recipe, Optional<Distillation> teacher, int microBatch, int threads) {
    this.recipe = recipe;
    Loss loss = recipe.loss().of(start.task(), List.of());
    this.replica = new Replica(start, recipe, loss, teacher.orElse(null), microBatch, threads);
  }

  /**
   * Executes an assignment.
   *
   * @param images the images of the assignment by index
   */
  public Contribution run(State from, Assignment assignment, IntFunction<Example> images)
      throws InterruptedException {
    boolean stepsLocally = !from.optimizerState().isEmpty();
    from.restore(replica.session());
    if (stepsLocally) {
      State.copy(from.optimizerState(), replica.optimizer().state());
      replica.optimizer().setSteps(from.steps());
    }
    List<MicroBatch> microBatches =
        assignment.batches().stream()
            .flatMap(localBatch -> localBatch.microBatches().stream())
            .toList();
    Contribution sum = Contribution.none();
    int at = 0;
    for (LocalBatch localBatch : assignment.batches()) {
      replica.session().clearGradients();
      int before = sum.read;
      for (MicroBatch microBatch : localBatch.microBatches()) {
        MicroBatch next = ++at < microBatches.size() ? microBatches.get(at) : null;
        replica.accumulate(images, microBatch, next, assignment.seed(), localBatch.size(), sum);
      }
      if (stepsLocally && sum.read > before) {
        replica.optimizer().step(localBatch.rate());
      }
    }
    if (sum.read > 0) {
      ParameterArrays parameters = replica.session().parameters();
      sum.machines = 1;
      sum.arrays.add(stepsLocally ? parameters.weights().clone() : parameters.gradients());
      if (!recipe.frozenStatistics()) {
        replica.session().statistics().forEach(each -> sum.arrays.add(each.clone()));
      }
      if (stepsLocally) {
        replica.optimizer().state().forEach(each -> sum.arrays.add(each.clone()));
      }
    }
    return sum;
  }

  /**
   * Evaluates validation images.
   *
   * @param images the images by index
   * @param first the first index
   * @param end the index after the last
   */
  public Contribution evaluate(State from, IntFunction<Example> images, int first, int end)
      throws InterruptedException {
    from.restore(replica.session());
    return replica.evaluate(images, first, end);
  }

  @Override
  public void close() {
    replica.close();
  }
}
