package io.github.resnet4j.train;

import java.io.Serializable;
import java.util.List;

/**
 * The learning rate of each step, as in PyTorch's schedulers.
 *
 * @param kind the kind of schedule
 * @param rate the maximum learning rate
 * @param epochs the number of epochs of the training
 * @param warmup the number of epochs in which the rate increases linearly from a hundredth ({@code
 *     LinearLR})
 * @param milestones for {@link Kind#STEPS}: the epochs at which the rate is divided by 10
 */
public record Schedule(Kind kind, double rate, int epochs, int warmup, List<Integer> milestones)
    implements Serializable {
  private static final double WARMUP_START_FACTOR = 0.01;
  private static final double DECAY_FACTOR = 0.1;
  private static final int PATIENCE = 10;
  private static final double PLATEAU_THRESHOLD = 1e-4;
  private static final double ONE_CYCLE_RISE = 0.3;
  private static final double ONE_CYCLE_START_FACTOR = 1 / 25.0;
  private static final double ONE_CYCLE_END_FACTOR = 1e-4;

  /** The kind of a schedule. */
  public enum Kind {
    /** A constant rate. */
    CONSTANT,
    /** Half a cosine wave down to zero (arXiv 1608.03983), {@code CosineAnnealingLR}. */
    COSINE,
    /** Divided by 10 at every milestone, {@code MultiStepLR}. */
    STEPS,
    /**
     * Divided by 10 whenever the validation loss has not improved for more than 10 epochs, {@code
     * ReduceLROnPlateau}.
     */
    PLATEAU,
    /**
     * From a 25th of the maximum up during the first 30 % of the training and then down to almost
     * zero, updated in each step, {@code OneCycleLR} (arXiv 1708.07120).
     */
    ONE_CYCLE
  }

  /**
   * @throws IllegalArgumentException if the rate or the number of epochs is not positive, or the
   *     warm-up is not shorter than the training
   */
  public Schedule {
    if (!(rate > 0) || epochs < 1 || warmup < 0 || warmup >= epochs) {
      throw new IllegalArgumentException(
          ("a learning rate of %s over %d epochs, %d of them warm-up: rate and"
                      + " epochs must be positive, and the")
                  .formatted(rate, epochs, warmup)
              + " warm-up must be shorter than the training");
    }
    milestones = List.copyOf(milestones);
  }

  /**
   * The learning rate of a step.
   *
   * @param epoch counted from 0
   * @param step the step in the epoch, counted from 0
   * @param steps the number of steps of an epoch
   * @param losses the validation losses of the previous epochs
   */
  public double at(int epoch, int step, int steps, List<Double> losses) {
    if (epoch < warmup) {
      return rate * (WARMUP_START_FACTOR + (1 - WARMUP_START_FACTOR) * epoch / warmup);
    }
    return switch (kind) {
      case CONSTANT -> rate;
      case COSINE ->
          rate * (1 + Math.cos(Math.PI * (epoch - warmup) / (double) (epochs - warmup))) / 2;
      case STEPS -> {
        long passed = milestones.stream().filter(milestone -> milestone <= epoch).count();
        yield rate * Math.pow(DECAY_FACTOR, passed);
      }
      case PLATEAU -> rate * Math.pow(DECAY_FACTOR, plateaus(losses));
      case ONE_CYCLE -> {
        double last = (double) epochs * steps - 1;
        double top = ONE_CYCLE_RISE * epochs * steps - 1;
        double now = (double) epoch * steps + step;
        yield now <= top
            ? cosine(rate * ONE_CYCLE_START_FACTOR, rate, now / top)
            : cosine(
                rate,
                rate * ONE_CYCLE_START_FACTOR * ONE_CYCLE_END_FACTOR,
                (now - top) / (last - top));
      }
    };
  }

  /** Half a cosine wave from one rate to another. */
  private static double cosine(double from, double to, double fraction) {
    return to + (from - to) / 2 * (1 + Math.cos(Math.PI * fraction));
  }

  /** The number of plateaus of the losses. */
  private static int plateaus(List<Double> losses) {
    double best = Double.POSITIVE_INFINITY;
    int bad = 0;
    int plateaus = 0;
    for (double loss : losses) {
      if (loss < best * (1 - PLATEAU_THRESHOLD)) {
        best = loss;
        bad = 0;
      } else if (++bad > PATIENCE) {
        plateaus++;
        bad = 0;
      }
    }
    return plateaus;
  }
}
