package io.github.resnet4j.cli;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Mixing;
import io.github.resnet4j.train.Optimizer.Method;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.Sampling;
import io.github.resnet4j.train.Schedule;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The options that a {@link Recipe} consists of. */
final class RecipeOptions {
  @Option(
      names = "--recipe",
      paramLabel = "NAME",
      description =
          "finetune, paper, cifar, torchvision-v1, torchvision-v2 or small-images; other options"
              + " override its settings. Default: finetune with --weights; else torchvision-v1,"
              + " or small-images for a network for small images.")
  private @Nullable String recipe;

  @Option(
      names = "--epochs",
      paramLabel = "N",
      description = "Number of epochs; with --resume, a larger one extends the run.")
  @Range(min = 1)
  private @Nullable Integer epochs;

  @Option(
      names = {"-b", "--batch-size"},
      paramLabel = "N",
      description = "Batch size.")
  @Range(min = 1)
  private @Nullable Integer batchSize;

  @Option(names = "--lr", paramLabel = "RATE", description = "Maximum learning rate.")
  @Range(above = 0)
  private @Nullable Double learningRate;

  @Option(
      names = "--scale-lr",
      description =
          "Linear scaling: multiplies the recipe's learning rate by --batch-size over the recipe's"
              + " batch size, with at least 5 warm-up epochs (arXiv 1706.02677).")
  private boolean scaleLearningRate;

  @Option(
      names = "--lr-scheduler",
      paramLabel = "KIND",
      description = "Learning-rate schedule: constant, cosine, steps, plateau, one_cycle.")
  private Schedule.@Nullable Kind scheduler;

  @Option(
      names = "--lr-milestones",
      paramLabel = "EPOCH",
      split = ",",
      description =
          "For --lr-scheduler steps: the epochs after which the learning rate is divided by 10.")
  @Range(min = 1)
  private @Nullable List<Integer> milestones;

  @Option(
      names = "--lr-warmup-epochs",
      paramLabel = "N",
      description = "Number of linear warm-up epochs.")
  @Range(min = 0)
  private @Nullable Integer warmupEpochs;

  @Option(names = "--optimizer", paramLabel = "NAME", description = "sgd, nesterov or adamw.")
  private @Nullable OptimizerChoice optimizer;

  @Option(names = "--momentum", paramLabel = "M", description = "Momentum of sgd and nesterov.")
  @Range(min = 0, below = 1)
  private @Nullable Float momentum;

  @Option(
      names = "--weight-decay",
      paramLabel = "DECAY",
      description = "Weight decay (L2 penalty; decoupled for adamw).")
  @Range(min = 0)
  private @Nullable Float weightDecay;

  @Option(
      names = "--sampling",
      paramLabel = "SAMPLING",
      description =
          "Training images of an epoch: uniform, each image once; or drawn with replacement:"
              + " balanced, all classes equally often; weighted, each image as often as the"
              + " table's column sample_weight says. Default: uniform.")
  private Sampling sampling = Sampling.UNIFORM;

  @Option(
      names = "--patience",
      paramLabel = "N",
      description =
          "Early stopping: end the training after N epochs without a better validation score."
              + " Default: train all epochs.")
  @Range(min = 1)
  private @Nullable Integer patience;

  @Mixin private LossOptions lossOptions = new LossOptions();

  @Option(
      names = "--label-smoothing",
      paramLabel = "E",
      description = "Label smoothing, 0 to 1; 0.1 is usual.")
  @Range(min = 0, below = 1)
  private @Nullable Double labelSmoothing;

  @Option(
      names = "--grad-accum-steps",
      paramLabel = "N",
      description =
          "Gradient accumulation steps: each batch is computed in N micro-batches, which need"
              + " less memory; batch norm computes its statistics per micro-batch. Default: as"
              + " few as the memory allows.")
  @Range(min = 1)
  private @Nullable Integer gradAccumSteps;

  @Option(
      names = "--clip-grad-norm",
      paramLabel = "NORM",
      description = "Maximum gradient norm (gradient clipping).")
  @Range(min = 0)
  private @Nullable Double clipGradNorm;

  @Option(
      names = "--crop",
      paramLabel = "CROP",
      description =
          "Training crop: center, random_resized (RandomResizedCrop), pad (pad and random crop).")
  private Augmentation.@Nullable Crop crop;

  @Option(names = "--hflip", negatable = true, description = "Random horizontal flip.")
  private @Nullable Boolean hflip;

  @Option(
      names = "--random-invert",
      paramLabel = "P",
      description = "Probability of inverting an image (RandomInvert).")
  @Range(min = 0, max = 1)
  private @Nullable Double randomInvert;

  @Option(
      names = "--trivial-augment",
      negatable = true,
      description = "TrivialAugment: one random adjustment of geometry or color for each image.")
  private @Nullable Boolean trivialAugment;

  @Option(
      names = "--color-jitter",
      paramLabel = "STRENGTH",
      description = "Color jitter: maximum change of brightness, contrast and saturation, 0 to 1.")
  @Range(min = 0, max = 1)
  private @Nullable Double colorJitter;

  @Option(names = "--random-erase", paramLabel = "P", description = "Random-erasing probability.")
  @Range(min = 0, max = 1)
  private @Nullable Double randomErase;

  @Option(names = "--mixup", paramLabel = "ALPHA", description = "Mixup alpha; 0.2 is usual.")
  @Range(min = 0)
  private @Nullable Double mixup;

  @Option(names = "--cutmix", paramLabel = "ALPHA", description = "CutMix alpha; 1 is usual.")
  @Range(min = 0)
  private @Nullable Double cutmix;

  @Option(
      names = "--drop-path",
      paramLabel = "RATE",
      description =
          "Drop-path rate (stochastic depth) of the last block, smaller for earlier ones; 0.05 is"
              + " usual.")
  @Range(min = 0, below = 1)
  private @Nullable Double dropPath;

  @Option(
      names = "--ema-decay",
      paramLabel = "DECAY",
      description =
          "Decay of an exponential moving average (EMA) of the weights, which becomes the model;"
              + " 0.999 is usual.")
  @Range(min = 0, below = 1)
  private @Nullable Double emaDecay;

  @Option(
      names = "--lr-factors",
      paramLabel = "LAYER=FACTOR",
      split = ",",
      description = "Learning-rate factors for layers, named as for --freeze: layer1=0.1,fc=10.")
  @Range(min = 0)
  private Map<String, Double> learningRateFactors = Map.of();

  @Option(
      names = "--precision",
      paramLabel = "PRECISION",
      description =
          "fp32; bf16: activations and their gradients in bfloat16, with half the memory, while"
              + " weights, optimizer and statistics stay fp32; or auto: bf16 if this processor"
              + " computes it faster. Default: fp32.")
  private TrainingPrecision precision = TrainingPrecision.FP32;

  @Option(names = "--freeze-bn-stats", description = "Freeze the running statistics of batch norm.")
  private boolean freezeBatchNormStatistics;

  @Option(
      names = "--freeze",
      paramLabel = "LAYER",
      split = ",",
      description =
          "Layers to freeze: stem, layer1 to layer4, bn (weights and biases of every batch norm),"
              + " or a prefix of parameter names.")
  private List<String> frozenLayers = List.of();

  @Option(
      names = "--unfreeze",
      paramLabel = "LAYER=EPOCH",
      split = ",",
      description =
          "Gradual unfreezing: layers, named as for --freeze, that are frozen before an epoch,"
              + " counted from 1: layer4=2,layer3=4.")
  @Range(min = 1)
  private Map<String, Integer> unfreeze = Map.of();

  /** The precisions of training. */
  enum TrainingPrecision {
    FP32,
    BF16,
    AUTO
  }

  enum OptimizerChoice {
    SGD,
    NESTEROV,
    ADAMW
  }

  /**
   * The recipe.
   *
   * @param spec the network
   * @param isPretrained whether it has weights
   * @param seed the random seed
   * @throws UsageException if the network has no layer of a name
   */
  Recipe recipe(ResNetSpec spec, boolean isPretrained, long seed) {
    requireLayers(spec);
    Recipe preset = preset(spec, isPretrained);
    if (scaleLearningRate) {
      preset = preset.scaledTo(or(batchSize, preset.batch()));
    }
    Schedule schedule = preset.schedule();
    int totalEpochs = or(epochs, schedule.epochs());
    Augmentation augmentation = preset.augmentation();
    return preset.toBuilder()
        .schedule(
            new Schedule(
                or(scheduler, schedule.kind()),
                or(learningRate, schedule.rate()),
                totalEpochs,
                or(warmupEpochs, Math.min(schedule.warmup(), totalEpochs - 1)),
                or(milestones, schedule.milestones())))
        .batch(or(batchSize, preset.batch()))
        .accumulate(or(gradAccumSteps, preset.accumulate()))
        .sampling(sampling)
        .patience(or(patience, preset.patience()))
        .method(method(preset.method()))
        .weightDecay(or(weightDecay, preset.weightDecay()))
        .clip(or(clipGradNorm, preset.clip()))
        .loss(lossOptions.choice())
        .classWeights(lossOptions.classWeights())
        .labelSmoothing(or(labelSmoothing, preset.labelSmoothing()))
        .augmentation(
            new Augmentation(
                or(crop, augmentation.crop()),
                or(hflip, augmentation.flip()),
                or(randomInvert, augmentation.invert()),
                or(trivialAugment, augmentation.trivial()),
                or(colorJitter, augmentation.jitter()),
                or(randomErase, augmentation.erase())))
        .mixing(
            new Mixing(or(mixup, preset.mixing().mixup()), or(cutmix, preset.mixing().cutmix())))
        .stochasticDepth(or(dropPath, preset.stochasticDepth()))
        .averaging(or(emaDecay, preset.averaging()))
        .frozen(frozenLayers)
        .unfreezing(unfreeze)
        .frozenStatistics(freezeBatchNormStatistics)
        .rates(learningRateFactors)
        .precision(Precision.valueOf(precision.name()))
        .seed(seed)
        .build()
        .withKnownPrecision();
  }

  private Recipe preset(ResNetSpec spec, boolean isPretrained) {
    if (recipe == null) {
      return isPretrained ? Recipe.named("finetune") : Recipe.defaultFor(spec);
    }
    try {
      return Recipe.named(recipe);
    } catch (IllegalArgumentException e) {
      throw new UsageException("--recipe: " + e.getMessage());
    }
  }

  private Method method(Method preset) {
    if (optimizer == OptimizerChoice.ADAMW) {
      return Method.AdamW.DEFAULT;
    }
    float usual = preset instanceof Method.Sgd(float value, boolean _) ? value : 0.9f;
    boolean usesNesterov = preset instanceof Method.Sgd(float _, boolean nesterov) && nesterov;
    return new Method.Sgd(
        or(momentum, usual),
        optimizer == null ? usesNesterov : optimizer == OptimizerChoice.NESTEROV);
  }

  private void requireLayers(ResNetSpec spec) {
    String option = "--freeze: ";
    try {
      Recipe.requireLayers(spec.layers(), frozenLayers);
      option = "--unfreeze: ";
      Recipe.requireLayers(spec.layers(), unfreeze.keySet());
      option = "--lr-factors: ";
      Recipe.requireLayers(spec.layers(), learningRateFactors.keySet());
    } catch (IllegalArgumentException e) {
      throw new UsageException(option + e.getMessage());
    }
  }

  /** Prints the precision that --precision auto chose. */
  void printPrecision(Recipe chosen) {
    if (precision == TrainingPrecision.AUTO) {
      System.err.printf(
          "--precision auto: this processor trains faster in %s%n",
          chosen.precision().name().toLowerCase(Locale.ROOT));
    }
  }

  /** Checks that the loss is for the targets of the images. */
  void checkLoss(Dataset images) {
    lossOptions.check(images);
  }

  /** Checks that several machines can do what the options ask for. */
  void requireSeveralMachines(int localSteps) {
    if (lossOptions.hasClassWeights()) {
      throw new UsageException(
          "--class-weights: spark-train has none; use --sampling balanced, or 'train'");
    }
    if (localSteps > 1 && !unfreeze.isEmpty()) {
      throw new UsageException("--unfreeze: needs --local-steps 1");
    }
  }

  private static <T> T or(@Nullable T value, T preset) {
    return value == null ? preset : value;
  }
}
