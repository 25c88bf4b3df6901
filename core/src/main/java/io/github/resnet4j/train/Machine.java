package io.github.resnet4j.train;

import io.github.resnet4j.Model;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Machines.Assignment;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.Part;
import io.github.resnet4j.train.Machines.Share;
import io.github.resnet4j.train.Machines.State;
import java.util.List;
import java.util.function.IntFunction;

/**
 * One of several machines that learn together. It keeps nothing from round to round but memory that
 * is used again. Not for several threads at once.
 */
public final class Machine implements AutoCloseable {
  private final Learner learner;
  private final Recipe recipe;

  /**
   * @param start what the training began with; its weights do not matter
   * @param part images of a micro-batch, at most: {@link Trainer#microBatch}
   */
  public Machine(Model start, Recipe recipe, int part, int threads) {
    this.recipe = recipe;
    this.learner = new Learner(start.network(), start.preprocessing(), recipe, part, threads);
  }

  /**
   * Does an assignment.
   *
   * @param images by index, those of the assignment
   */
  public Contribution work(State from, Assignment assignment, IntFunction<Example> images)
      throws InterruptedException {
    boolean alone = !from.memory().isEmpty();
    from.restore(learner.session());
    if (alone) {
      State.copy(from.memory(), learner.optimizer().memory());
      learner.optimizer().resumeAfter(from.steps());
    }
    List<Part> parts =
        assignment.shares().stream().flatMap(share -> share.parts().stream()).toList();
    Contribution sum = Contribution.none();
    int at = 0;
    for (Share share : assignment.shares()) {
      learner.session().clearGradients();
      int before = sum.read;
      for (Part part : share.parts()) {
        Part next = ++at < parts.size() ? parts.get(at) : null;
        learner.learn(images, part, next, assignment.seed(), share.size(), sum);
      }
      if (alone && sum.read > before) {
        learner.optimizer().step(share.rate());
      }
    }
    if (sum.read > 0) {
      ParameterArrays parameters = learner.session().parameters();
      sum.machines = 1;
      sum.arrays.add(alone ? parameters.weights().clone() : parameters.gradients());
      if (!recipe.frozenStatistics()) {
        learner.session().statistics().forEach(each -> sum.arrays.add(each.clone()));
      }
      if (alone) {
        learner.optimizer().memory().forEach(each -> sum.arrays.add(each.clone()));
      }
    }
    return sum;
  }

  /**
   * Looks at held-out images.
   *
   * @param images by index
   * @param first of those to look at
   * @param end the one after the last
   */
  public Contribution look(State from, IntFunction<Example> images, int first, int end)
      throws InterruptedException {
    from.restore(learner.session());
    return learner.look(images, first, end);
  }

  @Override
  public void close() {
    learner.close();
  }
}
