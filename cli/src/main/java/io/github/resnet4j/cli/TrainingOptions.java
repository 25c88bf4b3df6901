package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Task;
import io.github.resnet4j.Weights;
import io.github.resnet4j.datasets.Datasets;
import io.github.resnet4j.datasets.ReadOptions;
import io.github.resnet4j.figures.TrainingReport;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Distillation;
import io.github.resnet4j.train.Evaluation;
import io.github.resnet4j.train.EventFile;
import io.github.resnet4j.train.FineTuning;
import io.github.resnet4j.train.Metric;
import io.github.resnet4j.train.ModelCard;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The options of training: network, data, recipe, run, output. */
final class TrainingOptions {
  private static final int FEW_IMAGES = 5;

  @Option(
      names = {"-d", "--data"},
      paramLabel = "DIR",
      required = true,
      description =
          "Training images: a folder with one folder per class; a table (.csv, .tsv, .jsonl) of"
              + " images with a class, several labels or numbers; CIFAR-10's or CIFAR-100's binary"
              + " files; or 'digits', the embedded data set.")
  String data = "";

  @Option(
      names = {"-o", "--output"},
      paramLabel = "DIR",
      required = true,
      description = "Output folder for models, metrics and report.")
  @Output(folder = true)
  Path output = Path.of("");

  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      description = "Network name; 'resnet4j models' lists them.")
  private @Nullable String model;

  @Option(
      names = {"-w", "--weights"},
      paramLabel = "WEIGHTS",
      description =
          "Pretrained weights to fine-tune, as for 'classify': DEFAULT, a name or a file. The"
              + " head is replaced if the classes differ. Default: random initialization.")
  private @Nullable String weights;

  @Option(
      names = "--plain",
      description = "Train without shortcut connections, for comparison; not with --weights.")
  private boolean plain;

  @Mixin private RecipeOptions recipeOptions = new RecipeOptions();

  @Mixin private RunOptions runOptions = new RunOptions();

  @Option(
      names = "--val-split",
      paramLabel = "FRACTION",
      description =
          "Fraction of each class that is held out for validation if there are no folders train and"
              + " val; default ${DEFAULT-VALUE}.")
  @Range(min = 0, below = 1)
  double valSplit = 0.2;

  @Option(
      names = "--preprocessing",
      paramLabel = "FILE",
      description = "Preprocessing file, as for 'classify'; default: that of the weights.")
  private @Nullable Path preprocessingFile;

  @Option(
      names = "--seed",
      paramLabel = "S",
      description = "Random seed; default ${DEFAULT-VALUE}.")
  @Range
  long seed;

  @Option(
      names = "--save-every",
      paramLabel = "MINUTES",
      description =
          "Minutes between two saves of the training state within an epoch; default"
              + " ${DEFAULT-VALUE}.")
  @Range(min = 0)
  private double saveEvery = 10;

  @Option(
      names = "--resume",
      description = "Resume the run in the output folder, with the same options.")
  boolean resume;

  @Option(
      names = "--license",
      paramLabel = "ID",
      description =
          "License of the model, for its model card (README.md): an identifier of Hugging Face such"
              + " as apache-2.0.")
  private @Nullable String license;

  @Option(names = "--strict", description = "Fail at the first image that cannot be read.")
  private boolean strict;

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "N",
      description = "Number of threads; default: all cores.")
  @Range(min = 1, max = 1024)
  private int threads = Runtime.getRuntime().availableProcessors();

  /** The number of parts of the data that were skipped. */
  private int damages;

  /**
   * Reads the data set from a local file system.
   *
   * @param validation the validation images, if they are not part of --data
   */
  Dataset localData(ImageDecoder decoder, int window, @Nullable Path validation)
      throws IOException {
    if (isDigits()) {
      return Dataset.digits();
    }
    var reading =
        ReadOptions.DEFAULT
            .withDecoder(decoder)
            .withSplit(valSplit, seed)
            .withWindow(window)
            .withDamages(this::report);
    return validation == null
        ? Datasets.of(Path.of(data), reading)
        : Datasets.of(Path.of(data), validation, reading);
  }

  private void report(IOException damage) throws IOException {
    if (strict) {
      throw damage;
    }
    damages++;
    if (damages <= TrainingPrinter.NAMED) {
      System.err.println("resnet4j: " + damage.getMessage());
    }
  }

  boolean isDigits() {
    return DataCommand.isDigits(data);
  }

  /** Checks that several machines can do what the options ask for. */
  void requireSeveralMachines(int localSteps) {
    recipeOptions.requireSeveralMachines(localSteps);
  }

  /** Runs a training: in this process, or on Spark. */
  interface Runner {
    Trainer.Result run(Trainer trainer, Model start, Dataset images, Recipe recipe)
        throws IOException, InterruptedException;
  }

  /** Reads the data set. */
  interface DatasetSource {
    Dataset read() throws IOException;
  }

  /**
   * Trains to the end and writes the report. The options that do not depend on the images are
   * checked before the images are read.
   *
   * @param splits whether the validation images are part of --data
   */
  int train(DatasetSource source, boolean splits, Runner runner)
      throws IOException, InterruptedException {
    boolean hasState = Files.exists(output.resolve("state.safetensors"));
    if (hasState && !resume && !runOptions.findLearningRate) {
      throw new IllegalArgumentException(
          output + ": contains a run; continue it with --resume, or choose another --output");
    }
    if (resume && !hasState) {
      System.err.println(output + ": contains no run to resume; starting a new one");
    }
    checkLicense();
    Optional<Weights> pretrained = pretrained();
    ResNetSpec network = pretrained.isPresent() ? pretrained.get().requireSpec() : untrained();
    Recipe chosen = recipeOptions.recipe(network, weights != null, seed);
    recipeOptions.printPrecision(chosen);
    Dataset images = source.read();
    if (damages > TrainingPrinter.NAMED) {
      System.err.printf(
          "resnet4j: %,d more of these; 'resnet4j data inspect' names all%n",
          damages - TrainingPrinter.NAMED);
    }
    recipeOptions.checkLoss(images);
    nameRareClasses(images);
    Model start =
        pretrained.isPresent()
            ? FineTuning.of(pretrained.get(), images).withRecipe(chosen).start()
            : Model.initialize(network, images.classes(), seed).withTask(images.task());
    if (preprocessingFile != null) {
      start = start.withPreprocessing(Preprocessing.fromJson(preprocessingFile));
    }
    var settings = new ArrayList<>(chosen.lines());
    settings.addAll(runOptions.lines());
    String title =
        "%s on %s".formatted(model == null ? start.network().spec().block() : model, data);
    System.err.printf(
        "%s: %,d training images, %,d validation images, %s%n  %s%n",
        title,
        images.train().size(),
        images.val().size(),
        switch (start.task()) {
          case Task.SingleLabel _ -> images.classes().size() + " classes";
          case Task.MultiLabel _ -> images.classes().size() + " classes, several per image";
          case Task.Regression _ -> "numbers: " + String.join(", ", images.classes());
        },
        String.join("\n  ", settings));
    int batchSize = Math.min(chosen.batch(), images.train().size());
    Optional<MlflowRun> tracking = Optional.empty();
    try (var printer = new TrainingPrinter(chosen, Metric.of(start.task()), batchSize, strict);
        var events = new EventFile(output, System.currentTimeMillis() / 1000)) {
      var trainer =
          new Trainer(start, images, chosen)
              .withThreads(threads)
              .withSaveInterval(Duration.ofMillis((long) (saveEvery * 60_000)))
              .withKept(runOptions.keep);
      Optional<Distillation> teacher = runOptions.distillation(images.classes());
      if (teacher.isPresent()) {
        trainer = trainer.withDistillation(teacher.get());
      }
      if (runOptions.findLearningRate) {
        RunOptions.findLearningRate(trainer, output);
        return Main.OK;
      }
      var heldOut = new HeldOut(output, Path.of(data), images, splits);
      tracking =
          MlflowRun.start(
              System.getenv(), output, parameters(title, chosen), RunOptions::printWarning);
      var listeners = new ArrayList<Trainer.Listener>(List.of(heldOut, printer, events));
      tracking.ifPresent(listeners::add);
      trainer = trainer.withListeners(listeners.toArray(Trainer.Listener[]::new));
      Trainer.Result result = runner.run(trainer, start, images, chosen);
      Evaluation best = result.evaluation();
      TrainingReport.write(output, title, settings, printer.epochs(), best);
      card(images, settings, result).write(output);
      printer.printEnd(output, best);
      tracking.ifPresent(run -> run.finish(RunOptions.FILES, output.resolve("best.safetensors")));
    } catch (ArithmeticException e) { // it diverged
      throw new IllegalArgumentException(e.getMessage(), e);
    } catch (OutOfMemoryError e) {
      throw new IllegalArgumentException(
          "out of memory: the Java heap is limited to %,d MB; use more --grad-accum-steps (smaller"
                  .formatted(Runtime.getRuntime().maxMemory() >> 20)
              + " micro-batches), or a larger heap with RESNET4J_JAVA_OPTS=-Xmx…, on Spark with"
              + " --conf spark.driver.memory=… and spark.executor.memory=…",
          e);
    } finally {
      tracking.ifPresent(MlflowRun::close);
    }
    return Main.OK;
  }

  /** The settings for MLflow. */
  private static Map<String, String> parameters(String title, Recipe recipe) {
    var parameters = new LinkedHashMap<String, String>(recipe.fields());
    parameters.put("training", title);
    return parameters;
  }

  private void checkLicense() {
    try {
      Optional.ofNullable(license).ifPresent(ModelCard::requireLicense);
    } catch (IllegalArgumentException e) {
      throw new UsageException("--license: " + e.getMessage());
    }
  }

  private ModelCard card(Dataset images, List<String> settings, Trainer.Result result) {
    return new ModelCard(
        fileName(output.toAbsolutePath().normalize().toString()),
        Optional.ofNullable(license),
        Optional.ofNullable(weights)
            .map(name -> model == null ? fileName(name) : model + " " + fileName(name)),
        fileName(data),
        images.train().size(),
        settings,
        result.best(),
        result.evaluation());
  }

  /** The name of a file without its folders; other names, such as hf:owner/name, as they are. */
  static String fileName(String name) {
    return name.startsWith("hf:") ? name : String.valueOf(Path.of(name).getFileName());
  }

  private static void nameRareClasses(Dataset images) {
    if (images.task() instanceof Task.Regression) {
      return;
    }
    long[] counts = images.counts(images.train());
    var none = new ArrayList<String>();
    var few = new ArrayList<String>();
    for (int label = 0; label < counts.length; label++) {
      String name = images.classes().get(label);
      if (counts[label] == 0) {
        none.add(name);
      } else if (counts[label] < FEW_IMAGES) {
        few.add("%s (%d)".formatted(name, counts[label]));
      }
    }
    if (!none.isEmpty()) {
      System.err.printf(
          "resnet4j: no training image has the class %s; the model will not learn it%n",
          new NameList(none));
    }
    if (!few.isEmpty()) {
      System.err.printf(
          "resnet4j: classes with fewer than %d training images: %s%n",
          FEW_IMAGES, new NameList(few));
    }
  }

  /** Starts or resumes the training, depending on --resume. */
  Trainer.Result run(Trainer trainer) throws IOException, InterruptedException {
    return resume ? trainer.resume(output) : trainer.run(output);
  }

  /** Returns the pretrained weights of --weights, if given. */
  private Optional<Weights> pretrained() throws IOException {
    if (weights == null) {
      return Optional.empty();
    }
    if (plain) {
      throw new UsageException("--plain and --weights cannot be combined");
    }
    return Optional.of(ModelOptions.find(ModelOptions.named(model), weights));
  }

  private ResNetSpec untrained() {
    if (model == null) {
      throw new UsageException("name a network with --model, or --weights");
    }
    ResNetSpec spec = NetworkOptions.named("--model: ", model);
    return plain ? spec.toBuilder().shortcut(ResNetSpec.Shortcut.NONE).build() : spec;
  }
}
