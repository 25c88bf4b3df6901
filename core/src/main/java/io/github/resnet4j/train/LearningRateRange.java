package io.github.resnet4j.train;

import io.github.resnet4j.train.RoundRunner.PlannedStep;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/**
 * A learning-rate range test (arXiv 1506.01186): the loss while the learning rate grows
 * exponentially.
 *
 * @param points one for each step
 */
public record LearningRateRange(List<Point> points) {
  private static final double SMOOTHING = 0.98;

  /** The test ends when the smoothed loss is larger than this multiple of the smallest one. */
  private static final double DIVERGED = 4;

  /** The first points, where the smoothed loss is still uncertain, are not suggested. */
  private static final int SKIPPED = 10;

  /**
   * A step.
   *
   * @param rate the learning rate
   * @param loss the mean loss of the batch
   * @param smoothed the exponential moving average of the losses, without its bias towards 0
   */
  public record Point(double rate, double loss, double smoothed) {}

  public LearningRateRange {
    points = List.copyOf(points);
  }

  /** The points of losses, up to the first that is not finite. */
  static LearningRateRange of(List<Double> rates, List<Double> losses) {
    var points = new ArrayList<Point>();
    double average = 0;
    for (int i = 0; i < losses.size(); i++) {
      average = SMOOTHING * average + (1 - SMOOTHING) * losses.get(i);
      double smoothed = average / (1 - Math.pow(SMOOTHING, i + 1));
      if (!Double.isFinite(smoothed)) {
        break;
      }
      points.add(new Point(rates.get(i), losses.get(i), smoothed));
    }
    return new LearningRateRange(points);
  }

  /**
   * Trains a copy of the trainer's network for some steps; neither its model nor any file changes.
   *
   * @param from the first learning rate
   * @param to the last learning rate
   * @param steps the number of steps
   */
  static LearningRateRange of(Trainer trainer, double from, double to, int steps)
      throws IOException, InterruptedException {
    Recipe recipe = trainer.recipe;
    Dataset data = trainer.data;
    int batch = Math.min(recipe.batch(), data.train().size());
    int microBatch = trainer.microBatch();
    var rates = new ArrayList<Double>();
    var losses = new ArrayList<Double>();
    try (var replica = trainer.replica(microBatch)) {
      var runner = new RoundRunner.OneMachine(replica, data);
      for (int epoch = 0; losses.size() < steps; epoch++) {
        long seed = recipe.seed(epoch);
        List<Integer> order = recipe.sampling().order(data, seed);
        int done = losses.size();
        List<PlannedStep> plan =
            PlannedStep.of(
                order,
                0,
                batch,
                microBatch,
                step -> from * Math.pow(to / from, (double) (done + step) / (steps - 1)));
        for (int i = 0; i < plan.size() && losses.size() < steps; i++) {
          PlannedStep next = i + 1 < plan.size() ? plan.get(i + 1) : null;
          var sum = runner.runRound(List.of(plan.get(i)), next, seed, (_, _) -> {});
          if (sum.read == 0) {
            throw new IOException("none of the images of a batch can be read");
          }
          rates.add((double) plan.get(i).rate());
          losses.add(sum.loss / sum.read);
          LearningRateRange found = of(rates, losses);
          if (found.isDiverged() || found.points.size() < losses.size()) {
            return found;
          }
        }
      }
    }
    return of(rates, losses);
  }

  private boolean isDiverged() {
    double best =
        points.stream().mapToDouble(Point::smoothed).min().orElse(Double.POSITIVE_INFINITY);
    return !points.isEmpty() && points.getLast().smoothed > DIVERGED * best;
  }

  /**
   * The learning rate at which the smoothed loss falls fastest, on a logarithmic axis; empty if
   * there are too few points.
   */
  public OptionalDouble suggestion() {
    int end = points.size() - 1; // the last point may have diverged
    if (end - SKIPPED < 2) {
      return OptionalDouble.empty();
    }
    int steepest = SKIPPED;
    for (int i = SKIPPED; i < end; i++) {
      steepest = slope(i, end) < slope(steepest, end) ? i : steepest;
    }
    return OptionalDouble.of(points.get(steepest).rate());
  }

  /** The slope as numpy's {@code gradient} has it: central differences, one-sided at the ends. */
  private double slope(int i, int end) {
    int before = Math.max(SKIPPED, i - 1);
    int after = Math.min(end - 1, i + 1);
    return (points.get(after).smoothed() - points.get(before).smoothed()) / (after - before);
  }
}
