package io.github.resnet4j.train;

import java.io.Serializable;
import java.util.List;

/**
 * The learning rate of each step, as PyTorch's schedulers have it.
 *
 * @param kind how it changes
 * @param rate the highest
 * @param epochs of the whole training
 * @param warmup epochs in which it rises from a hundredth, in equal steps ({@code LinearLR})
 * @param milestones for {@link Kind#STEPS}: epochs from which on it is a tenth of what it was
 */
public record Schedule(Kind kind, double rate, int epochs, int warmup, List<Integer> milestones)
    implements Serializable {
  private static final double WARMUP_START = 0.01;
  private static final double DROP = 0.1;
  private static final int PATIENCE = 10;
  private static final double BETTER = 1e-4;
  private static final double RISING = 0.3;
  private static final double FIRST = 1 / 25.0;
  private static final double LAST = 1e-4;

  /** How a rate changes. */
  public enum Kind {
    /** It does not. */
    CONSTANT,
    /** Half a wave down to zero (arXiv 1608.03983), {@code CosineAnnealingLR}. */
    COSINE,
    /** To a tenth at every milestone, {@code MultiStepLR}. */
    STEPS,
    /**
     * To a tenth whenever the held-out loss has not become better for more than 10 epochs, {@code
     * ReduceLROnPlateau}.
     */
    PLATEAU,
    /**
     * From a 25th up during three tenths of the training and down to almost nothing, anew at each
     * step, {@code OneCycleLR} (arXiv 1708.07120).
     */
    ONE_CYCLE
  }

  /**
   * @throws IllegalArgumentException if the rate or the epochs are not positive, or the warm-up is
   *     not shorter than the training
   */
  public Schedule {
    if (!(rate > 0) || epochs < 1 || warmup < 0 || warmup >= epochs) {
      throw new IllegalArgumentException(
          "a rate of %s over %d epochs, %d of them warm-up: rate and epochs must be positive, the"
                  .formatted(rate, epochs, warmup)
              + " warm-up shorter");
    }
    milestones = List.copyOf(milestones);
  }

  /**
   * The rate of a step.
   *
   * @param epoch counted from 0
   * @param step of the epoch, counted from 0
   * @param steps that an epoch has
   * @param losses the held-out losses of the epochs before
   */
  public double at(int epoch, int step, int steps, List<Double> losses) {
    if (epoch < warmup) {
      return rate * (WARMUP_START + (1 - WARMUP_START) * epoch / warmup);
    }
    return switch (kind) {
      case CONSTANT -> rate;
      case COSINE ->
          rate * (1 + Math.cos(Math.PI * (epoch - warmup) / (double) (epochs - warmup))) / 2;
      case STEPS -> {
        long passed = milestones.stream().filter(milestone -> milestone <= epoch).count();
        yield rate * Math.pow(DROP, passed);
      }
      case PLATEAU -> rate * Math.pow(DROP, plateaus(losses));
      case ONE_CYCLE -> {
        double last = (double) epochs * steps - 1;
        double top = RISING * epochs * steps - 1;
        double now = (double) epoch * steps + step;
        yield now <= top
            ? between(rate * FIRST, rate, now / top)
            : between(rate, rate * FIRST * LAST, (now - top) / (last - top));
      }
    };
  }

  /** Half a wave from one rate to another. */
  private static double between(double from, double to, double part) {
    return to + (from - to) / 2 * (1 + Math.cos(Math.PI * part));
  }

  /** How often losses stayed as they were. */
  private static int plateaus(List<Double> losses) {
    double best = Double.POSITIVE_INFINITY;
    int bad = 0;
    int plateaus = 0;
    for (double loss : losses) {
      if (loss < best * (1 - BETTER)) {
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
