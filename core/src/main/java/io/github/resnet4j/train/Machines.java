package io.github.resnet4j.train;

import io.github.resnet4j.engine.TrainingSession;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/**
 * Several machines that learn together: synchronous data-parallel SGD (arXiv 1706.02677), or local
 * SGD (arXiv 1805.09767). Who implements this carries a {@link State} to every machine, lets a
 * {@link Machine} there do each {@link Assignment}, and adds up the {@link Contribution}s; all else
 * is the {@link Trainer}'s.
 *
 * <p>What a machine contributes follows from state and assignment alone. So a lost one costs no
 * more than its assignment, which any other may do again.
 */
public interface Machines {
  /** Into how many shares the images of a step are cut. */
  int count();

  /** Images of a micro-batch on each machine: {@link Trainer#microBatch}. */
  int microBatch();

  /**
   * How many steps a machine does alone before weights are averaged; 1 for gradients that are added
   * up at each step.
   */
  int localSteps();

  /**
   * Has the assignments done.
   *
   * @return the sum of the contributions
   * @throws IOException if they cannot be done
   */
  Contribution work(State from, List<Assignment> assignments)
      throws IOException, InterruptedException;

  /**
   * Has the held-out images looked at, with the weights of a state.
   *
   * @param count of the images
   * @return the sum of losses and counts
   */
  Contribution look(State from, int count) throws IOException, InterruptedException;

  /**
   * What a round begins with, in the order of {@link ParameterArrays#weights}. The arrays are the
   * trainer's own: they change when the round is over.
   *
   * @param weights all of them
   * @param statistics batch norm's running ones
   * @param memory what the optimizer remembers; empty where machines have no optimizer
   * @param steps that were done so far
   */
  @SuppressWarnings("ArrayRecordComponent") // it is data for a wire
  record State(float[] weights, List<float[]> statistics, List<float[]> memory, long steps)
      implements Serializable {
    /** As a session is now. */
    static State of(TrainingSession session, List<float[]> memory, long steps) {
      return new State(
          session.parameters().weights(), List.copyOf(session.statistics()), memory, steps);
    }

    /** Makes a session so. */
    void restore(TrainingSession session) {
      copy(List.of(weights), List.of(session.parameters().weights()));
      copy(statistics, session.statistics());
    }

    static void copy(List<float[]> from, List<float[]> to) {
      for (int i = 0; i < to.size(); i++) {
        if (from.get(i).length != to.get(i).length) {
          throw new IllegalArgumentException("the state is of another network");
        }
        System.arraycopy(from.get(i), 0, to.get(i), 0, to.get(i).length);
      }
    }
  }

  /**
   * Images that are learnt from at once.
   *
   * @param images their indices
   * @param done how many images of the epoch are done with them: what chance follows from
   */
  record Part(List<Integer> images, int done) implements Serializable {}

  /**
   * What a machine does of a step.
   *
   * @param size of how many images the gradients are to be the mean: those of the step on all
   *     machines, or those of the share for a machine that steps alone
   * @param rate for a machine that steps alone
   */
  record Share(List<Part> parts, int size, float rate) implements Serializable {}

  /**
   * What a machine does in a round.
   *
   * @param seed of the epoch
   * @param shares one for each step
   */
  record Assignment(long seed, List<Share> shares) implements Serializable {
    /** The indices of all images that it needs. */
    public List<Integer> images() {
      return shares.stream()
          .flatMap(share -> share.parts().stream())
          .flatMap(part -> part.images().stream())
          .toList();
    }
  }

  /** What machines come to; they add up. */
  final class Contribution implements Serializable {
    /** How many machines learnt anything. */
    int machines;

    /** Gradients of one step, or weights, then statistics, then memory, summed over machines. */
    final List<float[]> arrays = new ArrayList<>();

    double loss;
    int read;
    int right;
    double loadSeconds;
    double learnSeconds;
    final List<String> failures = new ArrayList<>();

    private Contribution() {}

    /** Adds another one, whose arrays may become this one's. */
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
      right += other.right;
      loadSeconds += other.loadSeconds;
      learnSeconds += other.learnSeconds;
      failures.addAll(other.failures);
      return this;
    }

    /** Nothing, to which others are added. */
    public static Contribution none() {
      return new Contribution();
    }

    /** The mean over machines of arrays from {@code first} on. */
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
