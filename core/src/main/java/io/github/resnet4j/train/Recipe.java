package io.github.resnet4j.train;

import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Stem;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Augmentation.Crop;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Parameter;
import java.io.Serializable;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * How a network is trained. Named recipes are presets, whose fields {@link #toBuilder} replaces.
 *
 * @param schedule the learning rate of each step, and the number of epochs
 * @param batch the batch size: the number of images per update of the weights
 * @param accumulate the gradient accumulation steps: the number of micro-batches, computed one
 *     after the other, into which a batch is divided. They reduce the memory; batch norm sees each
 *     micro-batch separately. 0 for as few as the memory allows
 * @param sampling which training images an epoch has
 * @param patience the number of epochs without a better score after which the training stops; 0 to
 *     train all epochs
 * @param method the optimizer
 * @param weightDecay the weight decay (L2 penalty; decoupled for AdamW)
 * @param decayAll whether weight decay applies to all parameters, including batch norm and biases,
 *     as in the paper; else only to the weights of convolutions and head
 * @param clip the maximum norm of all gradients together, or 0 for no limit
 * @param loss the loss; the default follows from the targets of the images
 * @param classWeights the factors of classes in the loss
 * @param labelSmoothing label smoothing: the fraction of a target that is spread over all classes
 *     (arXiv 1512.00567, section 7), or for several labels over having a class and not having it
 * @param augmentation the augmentation of each image
 * @param mixing mixup and CutMix within a micro-batch
 * @param stochasticDepth the drop-path rate: the probability that the last block's main branch is
 *     dropped, proportionally smaller for earlier blocks (arXiv 1603.09382)
 * @param averaging the decay of the exponential moving average (EMA) of the weights, such as 0.999,
 *     which then is the result; 0 for no averaging
 * @param frozen layers that are not trained: {@code stem}, {@code bn} for the weights and biases of
 *     every batch norm, {@code layer1} or another prefix of parameter names
 * @param unfreezing layers that are frozen at first, named as for {@code frozen}, and the epoch,
 *     counted from 1, from which they are trained (gradual unfreezing, arXiv 1801.06146)
 * @param frozenStatistics whether batch norm uses its running statistics and does not update them
 * @param rates factors of the learning rate for layers, named as for {@code frozen}
 * @param precision fp32; bf16, in which activations and their gradients are stored in bfloat16,
 *     with half the memory, while weights, optimizer, statistics and loss stay floats; or auto,
 *     which {@link #withKnownPrecision} decides
 * @param seed the random seed, from which order, augmentation and mixing are derived
 */
public record Recipe(
    Schedule schedule,
    int batch,
    int accumulate,
    Sampling sampling,
    int patience,
    Optimizer.Method method,
    float weightDecay,
    boolean decayAll,
    double clip,
    LossChoice loss,
    ClassWeights classWeights,
    double labelSmoothing,
    Augmentation augmentation,
    Mixing mixing,
    double stochasticDepth,
    double averaging,
    List<String> frozen,
    Map<String, Integer> unfreezing,
    boolean frozenStatistics,
    Map<String, Double> rates,
    Precision precision,
    long seed)
    implements Serializable {
  private static final Optimizer.Method MOMENTUM = new Optimizer.Method.Sgd(0.9f, false);
  private static final Augmentation IMAGENET = Augmentation.of(Crop.RANDOM_RESIZED, true);

  private static final List<String> STEM = List.of("conv1.", "bn1.", "stem.");

  private static final String OFF = "none";

  /** The field of {@link #patience}, which may differ when a training is resumed. */
  static final String PATIENCE = "early-stopping patience (epochs)";

  /** The number of warm-up epochs in arXiv 1706.02677. */
  private static final int WARMUP = 5;

  private static final Map<String, Recipe> NAMED = named();

  /**
   * @throws IllegalArgumentException naming the field that is out of range
   */
  public Recipe {
    check(batch >= 1, "the batch size", batch, "at least 1");
    check(
        accumulate >= 0 && accumulate <= batch,
        "gradient accumulation steps",
        accumulate,
        "1 to the batch size, or 0 for as few as the memory allows");
    check(patience >= 0, "the patience", patience, "at least 0");
    check(weightDecay >= 0, "the weight decay", weightDecay, "at least 0");
    check(clip >= 0, "the maximum gradient norm", clip, "at least 0");
    check(
        labelSmoothing >= 0 && labelSmoothing < 1, "label smoothing", labelSmoothing, "in [0, 1)");
    check(
        stochasticDepth >= 0 && stochasticDepth < 1,
        "the drop-path rate",
        stochasticDepth,
        "in [0, 1)");
    check(averaging >= 0 && averaging < 1, "the decay of the average", averaging, "in [0, 1)");
    check(
        rates.values().stream().allMatch(factor -> factor >= 0),
        "learning-rate factors",
        rates,
        "at least 0");
    check(
        precision == Precision.FP32 || precision == Precision.BF16 || precision == Precision.AUTO,
        "the precision of training",
        words(precision),
        "fp32, bf16 or auto");
    check(
        unfreezing.values().stream().allMatch(epoch -> epoch >= 1),
        "the epochs of unfreezing",
        unfreezing,
        "at least 1");
    frozen = List.copyOf(frozen);
    unfreezing = Collections.unmodifiableMap(new TreeMap<>(unfreezing));
    rates = Collections.unmodifiableMap(new TreeMap<>(rates));
  }

  private static void check(boolean legal, String what, Object value, String legalValues) {
    if (!legal) {
      throw new IllegalArgumentException(
          "%s must be %s, was %s".formatted(what, legalValues, value));
    }
  }

  private static Map<String, Recipe> named() {
    var all = new LinkedHashMap<String, Recipe>();
    all.put(
        "finetune",
        new Builder(new Schedule(Schedule.Kind.COSINE, 0.01, 10, 1, List.of()))
            .batch(32)
            .decayAll(false)
            .build());
    all.put(
        "paper", new Builder(new Schedule(Schedule.Kind.PLATEAU, 0.1, 120, 0, List.of())).build());
    all.put(
        "cifar",
        new Builder(new Schedule(Schedule.Kind.STEPS, 0.1, 164, 0, List.of(82, 123)))
            .batch(128)
            .augmentation(Augmentation.of(Crop.PAD, true))
            .build());
    all.put(
        "torchvision-v1",
        new Builder(new Schedule(Schedule.Kind.STEPS, 0.1, 90, 0, List.of(30, 60))).build());
    all.put(
        "torchvision-v2",
        new Builder(new Schedule(Schedule.Kind.COSINE, 0.5, 600, 5, List.of()))
            .batch(1024)
            .weightDecay(2e-5f)
            .decayAll(false)
            .labelSmoothing(0.1)
            .augmentation(new Augmentation(Crop.RANDOM_RESIZED, true, 0, true, 0, 0.1))
            .mixing(new Mixing(0.2, 1))
            .averaging(0.99998)
            .build());
    all.put(
        "small-images",
        new Builder(new Schedule(Schedule.Kind.ONE_CYCLE, 0.1, 30, 0, List.of()))
            .batch(64)
            .weightDecay(5e-4f)
            .augmentation(Augmentation.of(Crop.PAD, false))
            .build());
    return all;
  }

  /** The names of all recipes. */
  public static List<String> names() {
    return List.copyOf(NAMED.keySet());
  }

  /**
   * A recipe by name.
   *
   * <ul>
   *   <li>{@code finetune}: fine-tuning of trained weights;
   *   <li>{@code paper}: ImageNet's (arXiv 1512.03385, section 3.4), the learning rate is divided
   *       by 10 at each plateau;
   *   <li>{@code cifar}: CIFAR's (section 4.2): its 64,000 steps with 128 of 50,000 images are 164
   *       epochs, its drops at 32,000 and 48,000 steps are after 82 and 123 epochs;
   *   <li>{@code torchvision-v1}, {@code torchvision-v2}: those of torchvision's {@code
   *       IMAGENET1K_V1} and {@code V2} weights, on one machine;
   *   <li>{@code small-images}: for few images of about 32 pixels that must not be flipped.
   * </ul>
   *
   * @throws IllegalArgumentException listing the names of all recipes
   */
  public static Recipe named(String name) {
    Recipe recipe = NAMED.get(name);
    if (recipe == null) {
      throw new IllegalArgumentException(
          "no recipe is named '%s'%s; there are %s"
              .formatted(name, Suggestion.of(name, names()), String.join(", ", names())));
    }
    return recipe;
  }

  /**
   * The recipe for training a network from random weights: {@code small-images} for a network for
   * small images, else {@code torchvision-v1}.
   */
  public static Recipe defaultFor(ResNetSpec network) {
    return named(network.stem() instanceof Stem.SmallImage ? "small-images" : "torchvision-v1");
  }

  /**
   * This recipe for another batch size, by the linear scaling rule: the learning rate is multiplied
   * by the ratio of the batch sizes, with at least 5 warm-up epochs, or all but one if there are
   * fewer (Goyal et al., arXiv 1706.02677, sections 2.1 and 2.2).
   *
   * @throws IllegalArgumentException if the batch size is less than 1
   */
  public Recipe scaledTo(int otherBatch) {
    double rate = schedule.rate() * otherBatch / batch;
    int warmup = Math.min(Math.max(WARMUP, schedule.warmup()), schedule.epochs() - 1);
    return toBuilder()
        .batch(otherBatch)
        .schedule(
            new Schedule(schedule.kind(), rate, schedule.epochs(), warmup, schedule.milestones()))
        .build();
  }

  /**
   * This recipe with bf16 or fp32 instead of auto: bf16 if a short measurement shows that this
   * processor multiplies bfloat16 faster than floats.
   */
  public Recipe withKnownPrecision() {
    return precision == Precision.AUTO
        ? toBuilder().precision(TrainingSession.fastestPrecision()).build()
        : this;
  }

  /** The names of the parameters of a layer, named as for {@link #frozen}. */
  static Set<String> parameters(Layer network, String layer) {
    Layer part = network;
    Predicate<String> belongs = name -> name.equals(layer) || name.startsWith(layer + ".");
    if (layer.equals("stem")) {
      belongs = name -> STEM.stream().anyMatch(name::startsWith);
    } else if (layer.equals("bn")) {
      var norms = network.walk().filter(Layer.BatchNorm2d.class::isInstance).toList();
      part = new Layer.Sequential("", norms);
      belongs = _ -> true;
    }
    return part.parameters().stream()
        .map(Parameter::name)
        .filter(belongs)
        .collect(Collectors.toSet());
  }

  /**
   * Checks that a network has layers with these names, see {@link #frozen}.
   *
   * @throws IllegalArgumentException naming the first missing layer
   */
  public static void requireLayers(Layer network, Collection<String> wanted) {
    for (String layer : wanted) {
      if (parameters(network, layer).isEmpty()) {
        var known =
            network.walk().map(Layer::name).collect(Collectors.toCollection(ArrayList::new));
        known.add("stem");
        if (!parameters(network, "bn").isEmpty()) {
          known.add("bn");
        }
        throw new IllegalArgumentException(
            "the network has no layer '%s'%s; 'resnet4j summary' lists them"
                .formatted(layer, Suggestion.of(layer, known)));
      }
    }
  }

  /** The random seed of an epoch, counted from 0. */
  long seed(int epoch) {
    return seed * 31 + epoch;
  }

  /** The names of the parameters that are frozen. */
  Set<String> frozenParameters(Layer network) {
    return frozen.stream()
        .flatMap(layer -> parameters(network, layer).stream())
        .collect(Collectors.toSet());
  }

  /**
   * The epoch, counted from 1, from which a parameter is trained. A parameter that belongs to
   * several layers with an epoch is trained from the last of them on.
   */
  ToIntFunction<String> firstEpochs(Layer network) {
    var epochs = new HashMap<String, Integer>();
    unfreezing.forEach((layer, epoch) ->
        parameters(network, layer).forEach(name -> epochs.merge(name, epoch, Math::max)));
    return name -> epochs.getOrDefault(name, 1);
  }

  /** The factor of the learning rate for each parameter. */
  ToDoubleFunction<String> rateFactors(Layer network) {
    var factors = new HashMap<String, Double>();
    rates.forEach((layer, factor) ->
        parameters(network, layer).forEach(name -> factors.merge(name, factor, (a, b) -> a * b)));
    return name -> factors.getOrDefault(name, 1.0);
  }

  /** All settings by the field's terms, for people. */
  public SequencedMap<String, String> fields() {
    var fields = new LinkedHashMap<String, String>();
    fields.put("epochs", String.valueOf(schedule.epochs()));
    fields.put("batch size", String.valueOf(batch));
    fields.put("gradient accumulation steps", accumulate == 0 ? "auto" : "" + accumulate);
    fields.put("sampling", sampling == Sampling.UNIFORM ? OFF : words(sampling));
    fields.put(PATIENCE, number(patience));
    fields.put("learning rate", number(schedule.rate()));
    fields.put("learning-rate schedule", words(schedule.kind()));
    fields.put("warm-up epochs", number(schedule.warmup()));
    fields.put("milestones (epochs)", list(schedule.milestones()));
    switch (method) {
      case Optimizer.Method.Sgd(float momentum, boolean nesterov) -> {
        fields.put("optimizer", nesterov ? "SGD with Nesterov momentum" : "SGD");
        fields.put("momentum", number(momentum));
      }
      case Optimizer.Method.AdamW(float beta1, float beta2, float epsilon) -> {
        fields.put("optimizer", "AdamW");
        fields.put("betas", number(beta1) + ", " + number(beta2));
        fields.put("epsilon", number(epsilon));
      }
    }
    fields.put("weight decay", number(weightDecay));
    fields.put("weight decay applies to", decayAll ? "all parameters" : "convolutions and head");
    fields.put("maximum gradient norm", number(clip));
    fields.put(
        "loss",
        switch (loss) {
          case LossChoice.Default _ -> OFF; // as in states of earlier versions
          case LossChoice.Focal(double alpha, double gamma) ->
              "focal, alpha %s, gamma %s".formatted(number(alpha), number(gamma));
          case LossChoice.SmoothL1(double beta) -> "smooth L1, beta " + number(beta);
        });
    fields.put(
        "class weights",
        Stream.concat(
                classWeights.balanced() ? Stream.of("balanced") : Stream.empty(),
                classWeights.factors().entrySet().stream()
                    .map(each -> each.getKey() + "=" + each.getValue()))
            .reduce((a, b) -> a + ", " + b)
            .orElse(OFF));
    fields.put("label smoothing", number(labelSmoothing));
    fields.put("crop", words(augmentation.crop()));
    fields.put("horizontal flip", augmentation.flip() ? "yes" : OFF);
    fields.put("inversion probability", number(augmentation.invert()));
    fields.put("TrivialAugment", augmentation.trivial() ? "yes" : OFF);
    fields.put("color jitter", number(augmentation.jitter()));
    fields.put("random-erasing probability", number(augmentation.erase()));
    fields.put("mixup alpha", number(mixing.mixup()));
    fields.put("cutmix alpha", number(mixing.cutmix()));
    fields.put("drop-path rate", number(stochasticDepth));
    fields.put("weight averaging (EMA) decay", number(averaging));
    fields.put("frozen layers", list(frozen));
    fields.put(
        "unfrozen layers (from epoch)",
        list(unfreezing.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).toList()));
    fields.put("batch-norm statistics", frozenStatistics ? "frozen" : "trained");
    fields.put(
        "learning-rate factors",
        list(rates.entrySet().stream().map(e -> e.getKey() + "=" + number(e.getValue())).toList()));
    // In states of earlier versions, which had no other precision, the field is missing.
    fields.put("precision", precision == Precision.FP32 ? OFF : words(precision));
    fields.put("random seed", String.valueOf(seed));
    return fields;
  }

  /** The settings that are not off, one line each, for people. */
  public List<String> lines() {
    return fields().entrySet().stream()
        .filter(field -> !field.getValue().equals(OFF))
        .map(field -> field.getKey() + ": " + field.getValue())
        .toList();
  }

  private static String number(double value) {
    return value == 0 ? OFF : new BigDecimal(String.valueOf(value)).stripTrailingZeros().toString();
  }

  static String number(float value) {
    return number(Double.parseDouble(String.valueOf(value)));
  }

  private static String list(List<?> values) {
    return values.isEmpty()
        ? OFF
        : values.stream().map(String::valueOf).collect(Collectors.joining(", "));
  }

  private static String words(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT).replace('_', ' ');
  }

  /** A builder that starts from this recipe. */
  public Builder toBuilder() {
    var builder = new Builder(schedule);
    builder.batch = batch;
    builder.accumulate = accumulate;
    builder.sampling = sampling;
    builder.patience = patience;
    builder.method = method;
    builder.weightDecay = weightDecay;
    builder.decayAll = decayAll;
    builder.clip = clip;
    builder.loss = loss;
    builder.classWeights = classWeights;
    builder.labelSmoothing = labelSmoothing;
    builder.augmentation = augmentation;
    builder.mixing = mixing;
    builder.stochasticDepth = stochasticDepth;
    builder.averaging = averaging;
    builder.frozen = frozen;
    builder.unfreezing = unfreezing;
    builder.frozenStatistics = frozenStatistics;
    builder.rates = rates;
    builder.precision = precision;
    builder.seed = seed;
    return builder;
  }

  /**
   * Sets the fields of a {@link Recipe}; each has the record's meaning. The defaults are SGD with
   * momentum 0.9, batch size 256, weight decay 1e-4 on all parameters, and ImageNet's crops.
   */
  public static final class Builder {
    private Schedule schedule;
    private int batch = 256;
    private int accumulate;
    private Sampling sampling = Sampling.UNIFORM;
    private int patience;
    private Optimizer.Method method = MOMENTUM;
    private float weightDecay = 1e-4f;
    private boolean decayAll = true;
    private double clip;
    private LossChoice loss = LossChoice.DEFAULT;
    private ClassWeights classWeights = ClassWeights.NONE;
    private double labelSmoothing;
    private Augmentation augmentation = IMAGENET;
    private Mixing mixing = Mixing.NONE;
    private double stochasticDepth;
    private double averaging;
    private List<String> frozen = List.of();
    private Map<String, Integer> unfreezing = Map.of();
    private boolean frozenStatistics;
    private Map<String, Double> rates = Map.of();
    private Precision precision = Precision.FP32;
    private long seed;

    public Builder(Schedule schedule) {
      this.schedule = schedule;
    }

    public Builder schedule(Schedule value) {
      schedule = value;
      return this;
    }

    public Builder batch(int value) {
      batch = value;
      return this;
    }

    public Builder accumulate(int value) {
      accumulate = value;
      return this;
    }

    public Builder sampling(Sampling value) {
      sampling = value;
      return this;
    }

    public Builder patience(int value) {
      patience = value;
      return this;
    }

    public Builder method(Optimizer.Method value) {
      method = value;
      return this;
    }

    public Builder weightDecay(float value) {
      weightDecay = value;
      return this;
    }

    public Builder decayAll(boolean value) {
      decayAll = value;
      return this;
    }

    public Builder clip(double value) {
      clip = value;
      return this;
    }

    public Builder loss(LossChoice value) {
      loss = value;
      return this;
    }

    public Builder classWeights(ClassWeights value) {
      classWeights = value;
      return this;
    }

    public Builder labelSmoothing(double value) {
      labelSmoothing = value;
      return this;
    }

    public Builder augmentation(Augmentation value) {
      augmentation = value;
      return this;
    }

    public Builder mixing(Mixing value) {
      mixing = value;
      return this;
    }

    public Builder stochasticDepth(double value) {
      stochasticDepth = value;
      return this;
    }

    public Builder averaging(double value) {
      averaging = value;
      return this;
    }

    public Builder frozen(List<String> value) {
      frozen = value;
      return this;
    }

    public Builder unfreezing(Map<String, Integer> value) {
      unfreezing = value;
      return this;
    }

    public Builder frozenStatistics(boolean value) {
      frozenStatistics = value;
      return this;
    }

    public Builder rates(Map<String, Double> value) {
      rates = value;
      return this;
    }

    public Builder precision(Precision value) {
      precision = value;
      return this;
    }

    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /**
     * @throws IllegalArgumentException naming the field that is out of range
     */
    public Recipe build() {
      return new Recipe(
          schedule,
          batch,
          accumulate,
          sampling,
          patience,
          method,
          weightDecay,
          decayAll,
          clip,
          loss,
          classWeights,
          labelSmoothing,
          augmentation,
          mixing,
          stochasticDepth,
          averaging,
          frozen,
          unfreezing,
          frozenStatistics,
          rates,
          precision,
          seed);
    }
  }
}
