package io.github.resnet4j.train;

import io.github.resnet4j.engine.TrainingSession;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/**
 * Data-parallel training on several machines: synchronous SGD (arXiv 1706.02677) or local SGD
 * (arXiv 1805.09767). An implementation sends a {@link State} to every machine, lets a {@link
 * Machine} there execute each {@link Assignment}, and adds up the {@link Contribution}s; the {@link
 * Trainer} does everything else.
 *
 * <p>The contribution of a machine is derived from state and assignment only, so a lost assignment
 * can be executed again by any other machine.
 */
public interface Machines {
  /** The number of machines among which each batch is divided. */
  int count();

  /** The micro-batch size on each machine: {@link Trainer#microBatch}. */
  int microBatch();

  /**
   * The number of steps that a machine takes before weights are averaged; 1 if gradients are added
   * up at each step.
   */
  int localSteps();

  /**
   * Executes the assignments of a round.
   *
   * @return the sum of the contributions
   * @throws IOException if an assignment cannot be executed
   */
  Contribution runRound(State from, List<Assignment> assignments)
      throws IOException, InterruptedException;

  /**
   * Evaluates the validation images with the weights of a state.
   *
   * @param count the number of images
   * @return the sum of losses and counts
   */
  Contribution evaluate(State from, int count) throws IOException, InterruptedException;

  /**
   * The state at the start of a round, in the order of {@link
   * io.github.resnet4j.engine.ParameterArrays#weights}. The arrays are those of the trainer: they
   * change after the round.
   *
   * @param weights the weights
   * @param statistics the running statistics of batch norm
   * @param optimizerState the arrays of the optimizer; empty if machines have no optimizer
   * @param steps the number of completed steps
   */
  @SuppressWarnings("ArrayRecordComponent") // it is transferred between machines
  record State(float[] weights, List<float[]> statistics, List<float[]> optimizerState, long steps)
      implements Serializable {
    /** The current state of a session. */
    static State of(TrainingSession session, List<float[]> optimizerState, long steps) {
      return new State(
          session.parameters().weights(), List.copyOf(session.statistics()), optimizerState, steps);
    }

    /** Copies this state to a session. */
    void restore(TrainingSession session) {
      copy(List.of(weights), List.of(session.parameters().weights()));
      copy(statistics, session.statistics());
    }

    static void copy(List<float[]> from, List<float[]> to) {
      for (int i = 0; i < to.size(); i++) {
        if (from.get(i).length != to.get(i).length) {
          throw new IllegalArgumentException("the state belongs to another network");
        }
        System.arraycopy(from.get(i), 0, to.get(i), 0, to.get(i).length);
      }
    }
  }

  /**
   * Images whose gradients are computed together.
   *
   * @param images the indices of the images
   * @param done the number of images of the epoch including these, from which randomness is derived
   */
  record MicroBatch(List<Integer> images, int done) implements Serializable {}

  /**
   * A machine's part of a batch.
   *
   * @param size the number of images over which the gradients are averaged: those of the batch on
   *     all machines, or with local SGD those of the local batch
   * @param rate the learning rate, for local SGD
   */
  record LocalBatch(List<MicroBatch> microBatches, int size, float rate) implements Serializable {}

  /**
   * The work of a machine in a round.
   *
   * @param seed the random seed of the epoch
   * @param batches one for each step
   */
  record Assignment(long seed, List<LocalBatch> batches) implements Serializable {
    /** The indices of all required images. */
    public List<Integer> images() {
      return batches.stream()
          .flatMap(localBatch -> localBatch.microBatches().stream())
          .flatMap(microBatch -> microBatch.images().stream())
          .toList();
    }
  }

  /** The result of one or more assignments. */
  final class Contribution implements Serializable {
    /** The number of machines that processed images. */
    int machines;

    /**
     * Gradients of one step, or weights, then statistics, then optimizer state, summed over
     * machines.
     */
    final List<float[]> arrays = new ArrayList<>();

    double loss;
    int read;
    int correct;
    double loadSeconds;
    double computeSeconds;
    final List<String> failures = new ArrayList<>();

    /** Validation images with several labels or numbers; only on one machine. */
    final transient List<Scored> scored = new ArrayList<>();

    /** The network's outputs for an image. */
    @SuppressWarnings("ArrayRecordComponent") // one of many
    record Scored(Dataset.Example example, float[] outputs) {}

    private Contribution() {}

    /** Adds another contribution; may take over its arrays. */
    public Contribution add(Contribution other) {
      if (arrays.isEmpty()) {
        arrays.addAll(other.arrays);
      } else if (!other.arrays.isEmpty()) {
        for (int i = 0; i < arrays.size(); i++) {
          float[] sum = arrays.get(i);
          float[] more = other.arrays.get(i);
          for (int k = 0; k < sum.length; k++) {
            sum[k] += more[k];
          }
        }
      }
      machines += other.machines;
      loss += other.loss;
      read += other.read;
      correct += other.correct;
      loadSeconds += other.loadSeconds;
      computeSeconds += other.computeSeconds;
      failures.addAll(other.failures);
      return this;
    }

    /** The zero, to which others are added. */
    public static Contribution none() {
      return new Contribution();
    }

    /** Computes the means over machines of the arrays from {@code first} on. */
    void average(int first, List<float[]> to) {
      for (int i = 0; i < to.size(); i++) {
        float[] sum = arrays.get(first + i);
        float[] mean = to.get(i);
        for (int k = 0; k < mean.length; k++) {
          mean[k] = sum[k] / machines;
        }
      }
    }
  }
}
