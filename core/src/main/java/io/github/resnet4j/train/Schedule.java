package io.github.resnet4j.train;

import java.util.List;

/**
 * The learning rate of each epoch, as PyTorch's schedulers have it.
 *
 * @param kind how it falls
 * @param rate the highest
 * @param epochs of the whole training
 * @param warmup epochs in which it rises from a hundredth, in equal steps ({@code LinearLR})
 * @param milestones for {@link Kind#STEPS}: epochs from which on it is a tenth of what it was
 */
public record Schedule(Kind kind, double rate, int epochs, int warmup, List<Integer> milestones) {
  private static final double WARMUP_START = 0.01;
  private static final double DROP = 0.1;

  /** How a rate falls. */
  public enum Kind {
    /** It does not. */
    CONSTANT,
    /** Half a wave down to zero (arXiv 1608.03983), {@code CosineAnnealingLR}. */
    COSINE,
    /** To a tenth at every milestone, {@code MultiStepLR}. */
    STEPS
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

  /** The rate of an epoch, counted from 0. */
  public double at(int epoch) {
    if (epoch < warmup) {
      return rate * (WARMUP_START + (1 - WARMUP_START) * epoch / warmup);
    }
    return switch (kind) {
      case CONSTANT -> rate;
      case COSINE ->
          rate * (1 + Math.cos(Math.PI * (epoch - warmup) / (double) (epochs - warmup))) / 2;
      case STEPS ->
          rate
              * Math.pow(DROP, milestones.stream().filter(milestone -> milestone <= epoch).count());
    };
  }
}
