package io.github.resnet4j.train;

import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.train.Machines.Assignment;
import io.github.resnet4j.train.Machines.Contribution;
import io.github.resnet4j.train.Machines.LocalBatch;
import io.github.resnet4j.train.Machines.MicroBatch;
import io.github.resnet4j.train.Machines.State;
import java.io.IOException;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntToDoubleFunction;
import org.jspecify.annotations.Nullable;

/** Executes the steps of a training: on this machine, or on several. */
interface RoundRunner {
  /**
   * A step of an epoch.
   *
   * @param first the number of images of the epoch before it
   * @param size the batch size
   * @param microBatches its micro-batches
   */
  record PlannedStep(int first, int size, float rate, List<MicroBatch> microBatches) {
    /**
     * The steps of an epoch from the image {@code done} on, where a step starts. Micro-batches are
     * as equal as possible, so that none is much smaller than the others, on which batch norm
     * depends.
     *
     * @param order the indices of the images
     * @param batch the batch size
     * @param microBatch the largest number of images of a micro-batch
     * @param rate the learning rate of each step of the epoch, counted from 0
     */
    static List<PlannedStep> of(
        List<Integer> order, int done, int batch, int microBatch, IntToDoubleFunction rate) {
      return new AbstractList<>() { // created when asked for: there may be millions
        @Override
        public int size() {
          return Math.ceilDiv(order.size() - done, batch);
        }

        @Override
        public PlannedStep get(int i) {
          int first = done + i * batch;
          int size = Math.min(order.size() - first, batch);
          int count = Math.ceilDiv(size, microBatch);
          var microBatches = new ArrayList<MicroBatch>();
          for (int k = 0; k < count; k++) {
            int from = first + (int) ((long) size * k / count);
            int to = first + (int) ((long) size * (k + 1) / count);
            microBatches.add(new MicroBatch(List.copyOf(order.subList(from, to)), to));
          }
          return new PlannedStep(
              first, size, (float) rate.applyAsDouble(first / batch), microBatches);
        }
      };
    }
  }

  /** Throws an exception if a training diverges. */
  interface DivergenceCheck {
    /**
     * @param sum the losses so far in a step
     * @param rate the learning rate of the step
     */
    void check(Contribution sum, float rate);
  }

  /** The number of steps of a round. */
  int stepsPerRound();

  /** The number of machines. */
  int machines();

  /**
   * Executes the steps of a round.
   *
   * @param next the step after them, whose first images may be loaded meanwhile
   * @param seed the random seed of the epoch
   */
  Contribution runRound(
      List<PlannedStep> steps, @Nullable PlannedStep next, long seed, DivergenceCheck check)
      throws IOException, InterruptedException;

  /** Losses and counts of validation images, with the current weights. */
  Contribution evaluate(int count) throws IOException, InterruptedException;

  /** This machine only: a round is one step. */
  record OneMachine(Replica replica, Dataset data) implements RoundRunner {
    @Override
    public int stepsPerRound() {
      return 1;
    }

    @Override
    public int machines() {
      return 1;
    }

    @Override
    public Contribution runRound(
        List<PlannedStep> steps, @Nullable PlannedStep next, long seed, DivergenceCheck check)
        throws InterruptedException {
      PlannedStep step = steps.getFirst();
      var sum = Contribution.none();
      replica.session().clearGradients();
      for (int i = 0; i < step.microBatches.size(); i++) {
        MicroBatch following =
            i + 1 < step.microBatches.size()
                ? step.microBatches.get(i + 1)
                : next == null ? null : next.microBatches.getFirst();
        replica.accumulate(
            data.train()::get, step.microBatches.get(i), following, seed, step.size, sum);
        check.check(sum, step.rate);
      }
      if (sum.read > 0) {
        long begin = System.nanoTime();
        replica.optimizer().step(step.rate);
        sum.computeSeconds += (System.nanoTime() - begin) / 1e9;
      }
      return sum;
    }

    @Override
    public Contribution evaluate(int count) throws InterruptedException {
      return replica.evaluate(data.val()::get, 0, count);
    }
  }

  /**
   * Several machines, each of which processes a part of every batch.
   *
   * @param replica has the weights and the optimizer
   * @param maxMicroBatches the maximum number of micro-batches of a machine's local batch
   * @param averagesStatistics whether batch norm's statistics are averaged over the machines
   */
  record SeveralMachines(
      Machines others, Replica replica, int maxMicroBatches, boolean averagesStatistics)
      implements RoundRunner {
    @Override
    public int stepsPerRound() {
      return others.localSteps();
    }

    @Override
    public int machines() {
      return others.count();
    }

    private boolean isLocalSgd() {
      return others.localSteps() > 1;
    }

    @Override
    public Contribution runRound(
        List<PlannedStep> steps, @Nullable PlannedStep next, long seed, DivergenceCheck check)
        throws IOException, InterruptedException {
      Optimizer optimizer = replica.optimizer();
      var state =
          State.of(
              replica.session(), isLocalSgd() ? optimizer.state() : List.of(), optimizer.steps());
      Contribution sum = others.runRound(state, assignments(steps, seed));
      check.check(sum, steps.getLast().rate);
      if (sum.machines > 0) {
        apply(sum, steps);
      }
      return sum;
    }

    /** The work of each machine. */
    private List<Assignment> assignments(List<PlannedStep> steps, long seed) {
      var assignments = new ArrayList<Assignment>();
      for (int machine = 0; machine < others.count(); machine++) {
        var batches = new ArrayList<LocalBatch>();
        for (PlannedStep step : steps) {
          int from = Math.min(step.microBatches.size(), machine * maxMicroBatches);
          int end = Math.min(step.microBatches.size(), from + maxMicroBatches);
          List<MicroBatch> microBatches = List.copyOf(step.microBatches.subList(from, end));
          int own = microBatches.stream().mapToInt(microBatch -> microBatch.images().size()).sum();
          if (own > 0) {
            batches.add(new LocalBatch(microBatches, isLocalSgd() ? own : step.size, step.rate));
          }
        }
        if (!batches.isEmpty()) {
          assignments.add(new Assignment(seed, List.copyOf(batches)));
        }
      }
      return assignments;
    }

    /** Averages the weights of the machines, or takes a step with the sum of their gradients. */
    private void apply(Contribution sum, List<PlannedStep> steps) {
      TrainingSession session = replica.session();
      Optimizer optimizer = replica.optimizer();
      int at = 1;
      if (averagesStatistics) {
        sum.average(at, session.statistics());
        session.countBatches(steps.size());
        at += session.statistics().size();
      }
      if (isLocalSgd()) {
        sum.average(0, List.of(session.parameters().weights()));
        sum.average(at, optimizer.state());
        optimizer.setSteps(optimizer.steps() + steps.size());
      } else {
        session.parameters().setGradients(sum.arrays.getFirst());
        optimizer.step(steps.getFirst().rate);
      }
    }

    @Override
    public Contribution evaluate(int count) throws IOException, InterruptedException {
      return others.evaluate(
          State.of(replica.session(), List.of(), replica.optimizer().steps()), count);
    }
  }
}
