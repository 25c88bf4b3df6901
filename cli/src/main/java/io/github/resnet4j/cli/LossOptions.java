package io.github.resnet4j.cli;

import io.github.resnet4j.Task;
import io.github.resnet4j.train.ClassWeights;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.LossChoice;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options of a training's loss. */
final class LossOptions {
  @Option(
      names = "--loss",
      paramLabel = "LOSS",
      description =
          "Loss: cross_entropy for one label per image, binary_cross_entropy or focal for several"
              + " labels, mse or smooth_l1 for numbers. Default: the first of these that the images"
              + " permit.")
  private @Nullable LossName loss;

  @Option(
      names = "--focal-alpha",
      paramLabel = "A",
      description = "Alpha of focal loss, the factor of images with the class; default 0.25.")
  @Range(min = 0, max = 1)
  private double focalAlpha = LossChoice.Focal.DEFAULT.alpha();

  @Option(
      names = "--focal-gamma",
      paramLabel = "G",
      description = "Gamma of focal loss; default ${DEFAULT-VALUE}.")
  @Range(min = 0)
  private double focalGamma = LossChoice.Focal.DEFAULT.gamma();

  @Option(
      names = "--smooth-l1-beta",
      paramLabel = "B",
      description =
          "Beta of smooth L1, in standard deviations of the numbers; default ${DEFAULT-VALUE}.")
  @Range(above = 0)
  private double smoothL1Beta = 1;

  @Option(
      names = "--class-weights",
      paramLabel = "CLASS=W",
      split = ",",
      description =
          "Factors of classes in the loss: balanced, for factors that make rare classes count as"
              + " much as frequent ones; or cat=2,dog=0.5.")
  private List<String> weights = List.of();

  enum LossName {
    CROSS_ENTROPY,
    BINARY_CROSS_ENTROPY,
    FOCAL,
    MSE,
    SMOOTH_L1
  }

  /** The loss of a recipe. */
  LossChoice choice() {
    return loss == LossName.FOCAL
        ? new LossChoice.Focal(focalAlpha, focalGamma)
        : loss == LossName.SMOOTH_L1 ? new LossChoice.SmoothL1(smoothL1Beta) : LossChoice.DEFAULT;
  }

  /** Checks that --loss is for the targets of the images. */
  void check(Dataset images) {
    if (loss != null) {
      List<LossName> possible =
          switch (images.task()) {
            case Task.SingleLabel _ -> List.of(LossName.CROSS_ENTROPY);
            case Task.MultiLabel _ -> List.of(LossName.BINARY_CROSS_ENTROPY, LossName.FOCAL);
            case Task.Regression _ -> List.of(LossName.MSE, LossName.SMOOTH_L1);
          };
      if (!possible.contains(loss)) {
        throw new UsageException(
            "--loss %s: these images have %s, for which there is %s"
                .formatted(
                    lower(loss),
                    switch (images.task()) {
                      case Task.SingleLabel _ -> "one label each";
                      case Task.MultiLabel _ -> "several labels";
                      case Task.Regression _ -> "numbers";
                    },
                    String.join(" or ", possible.stream().map(LossOptions::lower).toList())));
      }
    }
  }

  private static String lower(Enum<?> name) {
    return name.name().toLowerCase(Locale.ROOT);
  }

  boolean hasClassWeights() {
    return !weights.isEmpty();
  }

  /** The class weights of a recipe. */
  ClassWeights classWeights() {
    boolean balanced = false;
    var factors = new TreeMap<String, Double>();
    for (String each : weights) {
      int equals = each.lastIndexOf('=');
      try {
        if (each.equals("balanced")) {
          balanced = true;
        } else {
          factors.put(each.substring(0, equals), Double.parseDouble(each.substring(equals + 1)));
        }
      } catch (NumberFormatException | StringIndexOutOfBoundsException e) {
        throw new UsageException(
            "--class-weights must be balanced or CLASS=NUMBER, was '%s'".formatted(each));
      }
    }
    return new ClassWeights(balanced, factors);
  }
}
