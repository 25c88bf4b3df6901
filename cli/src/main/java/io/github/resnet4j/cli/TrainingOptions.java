package io.github.resnet4j.cli;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.figures.TrainingReport;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Evaluation;
import io.github.resnet4j.train.EventFile;
import io.github.resnet4j.train.Mixing;
import io.github.resnet4j.train.Optimizer.Method;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.Schedule;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The options that say what is learnt, from what, and how. */
final class TrainingOptions {
  @Option(
      names = {"-d", "--data"},
      paramLabel = "DIR",
      required = true,
      description =
          "The pictures, a folder for each class; or CIFAR-10's or CIFAR-100's binary files; or"
              + " 'digits', the embedded ones.")
  String data = "";

  @Option(
      names = {"-o", "--output"},
      paramLabel = "DIR",
      required = true,
      description = "Where the files go.")
  private Path output = Path.of("");

  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      description = "A network that 'resnet4j models' lists.")
  private @Nullable String model;

  @Option(
      names = {"-w", "--weights"},
      paramLabel = "WEIGHTS",
      description =
          "What to begin with, as 'classify' takes it: DEFAULT, a name or a file. Its head is"
              + " replaced where the classes differ. By default initial weights.")
  private @Nullable String weights;

  @Option(
      names = "--plain",
      description = "Without shortcuts, to see what they are good for; only without weights.")
  private boolean plain;

  @Option(
      names = "--recipe",
      paramLabel = "NAME",
      description =
          "finetune, paper, cifar, torchvision-v1, torchvision-v2 or small-images; the options"
              + " below overrule it. By default finetune with weights, else torchvision-v1, or"
              + " small-images for a network for small pictures.")
  private @Nullable String recipe;

  @Option(names = "--epochs", paramLabel = "N", description = "How often all pictures are seen.")
  private @Nullable Integer epochs;

  @Option(
      names = {"-b", "--batch"},
      paramLabel = "N",
      description = "Pictures of a step.")
  private @Nullable Integer batch;

  @Option(names = "--lr", paramLabel = "RATE", description = "The highest learning rate.")
  private @Nullable Double rate;

  @Option(
      names = "--scale-rate",
      description =
          "Multiplies the recipe's rate by --batch over the recipe's batch, with at least 5 epochs"
              + " of warm-up (arXiv 1706.02677, section 2).")
  private boolean scaleRate;

  @Option(
      names = "--schedule",
      paramLabel = "KIND",
      description = "How the rate changes: constant, cosine, steps, plateau, one_cycle.")
  private Schedule.@Nullable Kind kind;

  @Option(
      names = "--milestones",
      paramLabel = "EPOCH",
      split = ",",
      description = "For steps: from these epochs on a tenth of the rate.")
  private @Nullable List<Integer> milestones;

  @Option(names = "--warmup", paramLabel = "N", description = "Epochs in which the rate rises.")
  private @Nullable Integer warmup;

  @Option(names = "--optimizer", paramLabel = "NAME", description = "sgd, nesterov or adamw.")
  private @Nullable OptimizerChoice optimizer;

  @Option(names = "--momentum", paramLabel = "M", description = "For sgd and nesterov.")
  private @Nullable Float momentum;

  @Option(
      names = "--weight-decay",
      paramLabel = "D",
      description = "What a step takes away from a weight, before the rate.")
  private @Nullable Float weightDecay;

  @Option(
      names = "--label-smoothing",
      paramLabel = "E",
      description = "The part of a target that is spread over all classes.")
  private @Nullable Double labelSmoothing;

  @Option(
      names = "--accumulate",
      paramLabel = "N",
      description = "In how many parts a step's pictures are learnt from: less memory.")
  private @Nullable Integer accumulate;

  @Option(
      names = "--clip",
      paramLabel = "NORM",
      description = "The longest that all gradients together may be.")
  private @Nullable Double clip;

  @Option(
      names = "--crop",
      paramLabel = "KIND",
      description = "Which part of a picture is learnt from: center, random_resized, pad.")
  private Augmentation.@Nullable Crop crop;

  @Option(names = "--flip", negatable = true, description = "Mirrors half of the pictures, or not.")
  private @Nullable Boolean flip;

  @Option(
      names = "--invert",
      paramLabel = "PART",
      description = "The part of the pictures that become their negative.")
  private @Nullable Double invert;

  @Option(
      names = "--trivial-augment",
      negatable = true,
      description = "Adjusts each picture in one way at random: geometry, colours.")
  private @Nullable Boolean trivial;

  @Option(
      names = "--jitter",
      paramLabel = "PART",
      description = "By how much brightness, contrast and saturation change, 0 to 1.")
  private @Nullable Double jitter;

  @Option(
      names = "--erase",
      paramLabel = "PART",
      description = "The part of the pictures that lose a rectangle.")
  private @Nullable Double erase;

  @Option(
      names = "--mixup",
      paramLabel = "ALPHA",
      description = "Mixes pictures with their neighbours; 0.2 is usual.")
  private @Nullable Double mixup;

  @Option(
      names = "--cutmix",
      paramLabel = "ALPHA",
      description = "Puts a rectangle of a neighbour into each picture; 1 is usual.")
  private @Nullable Double cutmix;

  @Option(
      names = "--stochastic-depth",
      paramLabel = "RATE",
      description = "How often a picture passes the last block by, earlier ones less often; 0.05.")
  private @Nullable Double stochasticDepth;

  @Option(
      names = "--average",
      paramLabel = "KEPT",
      description =
          "The model is an average of the weights, of which each step keeps this part; 0.999.")
  private @Nullable Double averaging;

  @Option(
      names = "--rates",
      paramLabel = "PART=FACTOR",
      split = ",",
      description = "Multiplies the rate for parts, named as for --freeze: layer1=0.1,fc=10.")
  private Map<String, Double> rates = Map.of();

  @Option(
      names = "--freeze-statistics",
      description = "Batch norm uses the statistics that the weights came with.")
  private boolean frozenStatistics;

  @Option(
      names = "--val-split",
      paramLabel = "PART",
      description =
          "Without folders train and val: which part of each class is held out; default"
              + " ${DEFAULT-VALUE}.")
  double split = 0.2;

  @Option(
      names = "--freeze",
      paramLabel = "PART",
      split = ",",
      description = "What stays as it is: stem, layer1 to layer4, or the beginning of a name.")
  private List<String> frozen = List.of();

  @Option(
      names = "--preprocessing",
      paramLabel = "FILE",
      description =
          "How pictures are prepared, as 'classify' takes it; by default as the weights'.")
  private @Nullable Path preprocessingFile;

  @Option(
      names = "--seed",
      paramLabel = "S",
      description = "What all chance follows from; default ${DEFAULT-VALUE}.")
  long seed;

  @Option(
      names = "--save-every",
      paramLabel = "MINUTES",
      description =
          "How much work a killed run may lose, at most an epoch's; default ${DEFAULT-VALUE}.")
  private double saveEvery = 10;

  @Option(names = "--resume", description = "Go on where an earlier run in OUTPUT was stopped.")
  boolean resume;

  @Option(names = "--strict", description = "End at the first picture that cannot be read.")
  private boolean strict;

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "N",
      description = "Threads to compute on; by default all cores.")
  private int threads = Runtime.getRuntime().availableProcessors();

  enum OptimizerChoice {
    SGD,
    NESTEROV,
    ADAMW
  }

  /** The pictures, on a file system of this machine. */
  Dataset localData() throws IOException {
    return isDigits() ? Dataset.digits() : Dataset.of(Path.of(data), split, seed);
  }

  boolean isDigits() {
    return data.equals("digits") && !Files.exists(Path.of(data));
  }

  /** Where a training learns. */
  interface Place {
    void run(Trainer trainer, Classifier start, Recipe recipe)
        throws IOException, InterruptedException;
  }

  /** Trains to the end, and writes the report. */
  int train(Dataset pictures, Place place) throws IOException, InterruptedException {
    if (!resume && Files.exists(output.resolve("state.safetensors"))) {
      throw new IllegalArgumentException(
          output + ": holds a training already; go on with it with --resume, or take another");
    }
    Classifier start = start(pictures.classes());
    Recipe chosen = recipe(start.network().spec());
    System.err.printf(
        "%,d pictures to learn from, %,d held out, %d classes%n  %s%n",
        pictures.train().size(),
        pictures.val().size(),
        pictures.classes().size(),
        String.join("\n  ", chosen.lines()));
    try (var printer = new Printer();
        var events = new EventFile(output, System.currentTimeMillis() / 1000)) {
      var saving = Duration.ofMillis((long) (saveEvery * 60_000));
      var trainer =
          new Trainer(start, pictures, chosen, threads, output, saving, List.of(printer, events));
      place.run(trainer, start, chosen);
      printer.close();
      report(start.network().spec(), pictures, chosen, printer.epochs);
    } catch (ArithmeticException e) { // the loss is no number
      throw new IllegalArgumentException(e.getMessage(), e);
    } catch (OutOfMemoryError e) {
      throw new IllegalArgumentException(
          "%d pictures of %d×%d at once do not fit into the heap of %,d MB: take a smaller --batch, or"
                  .formatted(
                      chosen.batch() / chosen.accumulate(),
                      start.preprocessing().cropHeight(),
                      start.preprocessing().cropWidth(),
                      Runtime.getRuntime().maxMemory() >> 20)
              + " the same in parts with --accumulate, or more memory with"
              + " RESNET4J_JAVA_OPTS=-Xmx…; on Spark, --conf spark.driver.memory=…",
          e);
    }
    return Main.OK;
  }

  private void report(ResNetSpec spec, Dataset pictures, Recipe chosen, List<Trainer.Epoch> epochs)
      throws IOException {
    Classifier best = Classifier.load(output.resolve("best.safetensors"));
    Evaluation found;
    try (Session session = best.network().compile(CompileOptions.defaults().withThreads(threads))) {
      found = Evaluation.of(best, pictures.val(), session, _ -> {}, _ -> {});
    }
    String title = "%s on %s".formatted(model == null ? spec.block() : model, data);
    TrainingReport.write(output, title, chosen.lines(), epochs, found);
    System.err.println("report: " + output.resolve("report.html"));
  }

  /** The network to begin with, for these classes. */
  private Classifier start(List<String> classes) throws IOException {
    var random = TorchRandom.manualSeed(seed);
    ResNet network;
    Preprocessing preprocessing;
    if (weights == null) {
      if (model == null) {
        throw new IllegalArgumentException("name a network with --model, or --weights");
      }
      ResNetSpec spec = withClasses(Architecture.named(model), classes);
      if (plain) {
        spec = spec.toBuilder().shortcut(ResNetSpec.Shortcut.NONE).build();
      }
      network = ResNet.initialize(spec, random);
      preprocessing = Classifier.usualPreprocessing(spec);
    } else {
      if (plain) {
        throw new IllegalArgumentException("--plain: weights know which shortcuts they have");
      }
      try (var progress = new Progress.ForDownloads()) {
        Weights found =
            Weights.find(Optional.ofNullable(model), weights, System.getenv(), progress.download());
        ResNetSpec spec = withClasses(found.requireSpec(), classes);
        try (var checkpoint = Checkpoint.open(found.file())) {
          network = ResNet.loadForTransfer(spec, checkpoint, random).network();
        }
        if (found.labels().filter(labels -> !labels.equals(classes)).isPresent()) {
          network = withNewHead(network, random);
        }
        preprocessing = found.preprocessing().orElseGet(() -> Classifier.usualPreprocessing(spec));
      }
    }
    if (preprocessingFile != null) {
      preprocessing = Preprocessing.fromJson(preprocessingFile);
    }
    return new Classifier(network, preprocessing, classes);
  }

  /** As many classes, but others: what the head knows is of no use. */
  private static ResNet withNewHead(ResNet network, TorchRandom random) {
    StateDict fresh = ResNet.initialize(network.spec(), random).state();
    var entries = new LinkedHashMap<String, Tensor>(network.state().entries());
    entries.replaceAll((name, tensor) -> name.startsWith("fc.") ? fresh.get(name) : tensor);
    return network.withState(new StateDict(entries));
  }

  private static ResNetSpec withClasses(ResNetSpec spec, List<String> classes) {
    return spec.toBuilder().numClasses(classes.size()).includeTop(true).build();
  }

  private Recipe recipe(ResNetSpec spec) {
    String usual =
        weights != null
            ? "finetune"
            : spec.stem() == ResNetSpec.Stem.SMALL_IMAGE ? "small-images" : "torchvision-v1";
    Recipe preset = Recipe.named(recipe == null ? usual : recipe);
    Schedule schedule = preset.schedule();
    int all = or(epochs, schedule.epochs());
    int rising =
        or(
            warmup,
            Math.min(scaleRate ? Math.max(5, schedule.warmup()) : schedule.warmup(), all - 1));
    double usualRate = schedule.rate();
    if (scaleRate) {
      usualRate *= (double) or(batch, preset.batch()) / preset.batch();
    }
    Augmentation augmentation = preset.augmentation();
    return preset.toBuilder()
        .schedule(
            new Schedule(
                or(kind, schedule.kind()),
                or(rate, usualRate),
                all,
                rising,
                or(milestones, schedule.milestones())))
        .batch(or(batch, preset.batch()))
        .accumulate(or(accumulate, preset.accumulate()))
        .method(method(preset.method()))
        .weightDecay(or(weightDecay, preset.weightDecay()))
        .clip(or(clip, preset.clip()))
        .labelSmoothing(or(labelSmoothing, preset.labelSmoothing()))
        .augmentation(
            new Augmentation(
                or(crop, augmentation.crop()),
                or(flip, augmentation.flip()),
                or(invert, augmentation.invert()),
                or(trivial, augmentation.trivial()),
                or(jitter, augmentation.jitter()),
                or(erase, augmentation.erase())))
        .mixing(
            new Mixing(or(mixup, preset.mixing().mixup()), or(cutmix, preset.mixing().cutmix())))
        .stochasticDepth(or(stochasticDepth, preset.stochasticDepth()))
        .averaging(or(averaging, preset.averaging()))
        .frozen(frozen)
        .frozenStatistics(frozenStatistics)
        .rates(rates)
        .seed(seed)
        .build();
  }

  private Method method(Method preset) {
    if (optimizer == OptimizerChoice.ADAMW) {
      return Method.AdamW.USUAL;
    }
    float usual = preset instanceof Method.Sgd(float value, boolean _) ? value : 0.9f;
    boolean ahead = preset instanceof Method.Sgd(float _, boolean nesterov) && nesterov;
    return new Method.Sgd(
        or(momentum, usual), optimizer == null ? ahead : optimizer == OptimizerChoice.NESTEROV);
  }

  private static <T> T or(@Nullable T asked, T preset) {
    return asked == null ? preset : asked;
  }

  /** A bar for the epoch that runs, a line for each that is done. */
  private final class Printer implements Trainer.Listener, AutoCloseable {
    private final List<Trainer.Epoch> epochs = new ArrayList<>();
    private @Nullable Progress bar;

    @Override
    public void begin(long steps, List<Trainer.Epoch> done) {
      epochs.addAll(done);
    }

    @Override
    public void step(Trainer.Step step) {
      Progress shown = bar;
      if (shown == null) {
        shown = new Progress("epoch " + step.epoch(), " pictures", 1);
        bar = shown;
      }
      shown.at(
          step.done(),
          step.all(),
          String.format(
              Locale.ROOT, "loss %.3f, %.1f %% right", step.loss(), 100 * step.accuracy()));
    }

    @Override
    public void epoch(Trainer.Epoch epoch) {
      close();
      epochs.add(epoch);
      String held =
          Double.isNaN(epoch.valLoss())
              ? ""
              : "; held out: loss %.4f, %.2f %% right"
                  .formatted(epoch.valLoss(), 100 * epoch.valAccuracy());
      System.out.printf(
          "epoch %d: loss %.4f, %.2f %% right%s; rate %.4g, %.1f pictures/s (steps alone %.1f,"
              + " loading alone %.1f)%n",
          epoch.number(),
          epoch.trainLoss(),
          100 * epoch.trainAccuracy(),
          held,
          epoch.rate(),
          epoch.imagesPerSecond(),
          epoch.stepImagesPerSecond(),
          epoch.loadImagesPerSecond());
    }

    @Override
    public void unreadable(IOException failure) {
      if (strict) {
        throw new IllegalArgumentException(failure.getMessage(), failure);
      }
      System.err.println("resnet4j: " + failure.getMessage());
    }

    @Override
    public void close() {
      if (bar != null) {
        bar.close();
        bar = null;
      }
    }
  }
}
