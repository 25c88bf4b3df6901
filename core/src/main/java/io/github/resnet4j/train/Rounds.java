package io.github.resnet4j.train;

import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.train.Machines.Assignment;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.Part;
import io.github.resnet4j.train.Machines.Share;
import io.github.resnet4j.train.Machines.State;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Who does the steps of a training: this machine, or several together. */
interface Rounds {
  /**
   * A step of an epoch.
   *
   * @param first how many images of the epoch come before it
   * @param size its images
   * @param parts its micro-batches
   */
  record PlannedStep(int first, int size, float rate, List<Part> parts) {}

  /** Fails where a training diverges. */
  interface Check {
    /**
     * @param sum of what was learnt so far in a step
     * @param rate of the step
     */
    void check(Contribution sum, float rate);
  }

  /** Steps of a round. */
  int steps();

  /** How many machines take part. */
  int machines();

  /**
   * Does the steps of a round.
   *
   * @param next the step after them, whose first images may be read meanwhile
   * @param seed of the epoch
   */
  Contribution learn(List<PlannedStep> steps, @Nullable PlannedStep next, long seed, Check check)
      throws IOException, InterruptedException;

  /** Losses and counts of so many validation images, with the weights as they are. */
  Contribution look(int count) throws IOException, InterruptedException;

  /** This machine alone: a round is a step. */
  record OneMachine(Learner learner, Dataset data) implements Rounds {
    @Override
    public int steps() {
      return 1;
    }

    @Override
    public int machines() {
      return 1;
    }

    @Override
    public Contribution learn(
        List<PlannedStep> steps, @Nullable PlannedStep next, long seed, Check check)
        throws InterruptedException {
      PlannedStep step = steps.getFirst();
      var sum = Contribution.none();
      learner.session().clearGradients();
      for (int i = 0; i < step.parts.size(); i++) {
        Part following =
            i + 1 < step.parts.size()
                ? step.parts.get(i + 1)
                : next == null ? null : next.parts.getFirst();
        learner.learn(data.train()::get, step.parts.get(i), following, seed, step.size, sum);
        check.check(sum, step.rate);
      }
      if (sum.read > 0) {
        long begin = System.nanoTime();
        learner.optimizer().step(step.rate);
        sum.learnSeconds += (System.nanoTime() - begin) / 1e9;
      }
      return sum;
    }

    @Override
    public Contribution look(int count) throws InterruptedException {
      return learner.look(data.val()::get, 0, count);
    }
  }

  /**
   * Several machines, each of which takes its share of every step.
   *
   * @param learner has the weights and the optimizer
   * @param partsOfShare micro-batches of a machine's share of a step, at most
   * @param averagesStatistics whether batch norm's statistics become the mean of the machines'
   */
  record SeveralMachines(
      Machines others, Learner learner, int partsOfShare, boolean averagesStatistics)
      implements Rounds {
    @Override
    public int steps() {
      return others.localSteps();
    }

    @Override
    public int machines() {
      return others.count();
    }

    private boolean stepsAlone() {
      return others.localSteps() > 1;
    }

    @Override
    public Contribution learn(
        List<PlannedStep> steps, @Nullable PlannedStep next, long seed, Check check)
        throws IOException, InterruptedException {
      Optimizer optimizer = learner.optimizer();
      var state =
          State.of(
              learner.session(), stepsAlone() ? optimizer.memory() : List.of(), optimizer.steps());
      Contribution sum = others.work(state, assignments(steps, seed));
      check.check(sum, steps.getLast().rate);
      if (sum.machines > 0) {
        apply(sum, steps);
      }
      return sum;
    }

    /** What each machine has to do. */
    private List<Assignment> assignments(List<PlannedStep> steps, long seed) {
      var assignments = new ArrayList<Assignment>();
      for (int machine = 0; machine < others.count(); machine++) {
        var shares = new ArrayList<Share>();
        for (PlannedStep step : steps) {
          int from = Math.min(step.parts.size(), machine * partsOfShare);
          int end = Math.min(step.parts.size(), from + partsOfShare);
          List<Part> parts = List.copyOf(step.parts.subList(from, end));
          int own = parts.stream().mapToInt(part -> part.images().size()).sum();
          if (own > 0) {
            shares.add(new Share(parts, stepsAlone() ? own : step.size, step.rate));
          }
        }
        if (!shares.isEmpty()) {
          assignments.add(new Assignment(seed, List.copyOf(shares)));
        }
      }
      return assignments;
    }

    /** Averages what the machines have, or makes a step with their gradients. */
    private void apply(Contribution sum, List<PlannedStep> steps) {
      TrainingSession session = learner.session();
      Optimizer optimizer = learner.optimizer();
      int at = 1;
      if (averagesStatistics) {
        sum.average(at, session.statistics());
        session.countBatches(steps.size());
        at += session.statistics().size();
      }
      if (stepsAlone()) {
        sum.average(0, List.of(session.parameters().weights()));
        sum.average(at, optimizer.memory());
        optimizer.resumeAfter(optimizer.steps() + steps.size());
      } else {
        session.parameters().setGradients(sum.arrays.getFirst());
        optimizer.step(steps.getFirst().rate);
      }
    }

    @Override
    public Contribution look(int count) throws IOException, InterruptedException {
      return others.look(
          State.of(learner.session(), List.of(), learner.optimizer().steps()), count);
    }
  }
}
