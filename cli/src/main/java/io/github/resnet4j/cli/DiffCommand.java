package io.github.resnet4j.cli;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.inspect.Difference;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "diff",
    mixinStandardHelpOptions = true,
    description = {
      "Compares the weights of two checkpoints and, with --input, the outputs of their layers;"
          + " or the parameters of two networks by name.",
      "",
      "With --expected, compares a checkpoint's activations with those of another program: a"
          + " .safetensors with one tensor per layer, by its name, as a PyTorch hook collects"
          + " them. The exit code is 0 if nothing differs by more than --tolerance, 4 if"
          + " something does.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j diff resnet50 resnet50d",
      "  resnet4j diff before.pth after.safetensors",
      "  resnet4j diff a.pth b.pth --input x.npy --all",
      "  resnet4j diff a.pth --input x.npy --expected python.safetensors",
    })
final class DiffCommand implements Callable<Integer> {
  private static final int DIFFERENT = 4;

  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      description = "Network of both checkpoints, if it is not recognized correctly.")
  private @Nullable String model;

  @Option(
      names = {"-i", "--input"},
      paramLabel = "FILE",
      description = "[N, C, H, W] as .npy, or an image: also compare the layers' outputs.")
  private @Nullable Path input;

  @Option(
      names = "--expected",
      paramLabel = "FILE",
      description = "Activations to compare with, instead of a second checkpoint.")
  private @Nullable Path expected;

  @Option(
      names = "--tolerance",
      paramLabel = "RATIO",
      description =
          "Relative difference up to which two tensors count as equal; default ${DEFAULT-VALUE},"
              + " the rounding error of float32.")
  @Range(min = 0)
  private double tolerance = 1e-5;

  @Option(names = "--all", description = "Also list tensors that are equal.")
  private boolean all;

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "N",
      description = "Number of threads; default: all cores.")
  @Range(min = 1, max = 1024)
  private int threads = Runtime.getRuntime().availableProcessors();

  @Mixin private FormatOption format = new FormatOption();
  @Mixin private DecodingOptions decoding = new DecodingOptions();

  @Parameters(index = "0", paramLabel = "A", description = "Checkpoint, or network name.")
  private Path first = Path.of("");

  @Parameters(
      index = "1",
      arity = "0..1",
      paramLabel = "B",
      description = "Second checkpoint or network name.")
  private @Nullable Path second;

  @Override
  public Integer call() throws IOException {
    if ((second == null) == (expected == null)) {
      throw new UsageException(
          "name a second checkpoint, or --expected activations with an --input");
    }
    if (expected != null && input == null) {
      throw new UsageException("--expected needs the --input that it was made from");
    }
    var rows = new ArrayList<List<Object>>();
    int different = 0;
    if (isNetwork(first) && second != null && isNetwork(second)) {
      if (input != null) {
        throw new UsageException("--input needs checkpoints: networks have no weights");
      }
      different += list("structure", structure(first, second), rows);
    } else if (second != null) {
      try (var a = Checkpoint.open(first);
          var b = Checkpoint.open(second)) {
        different += list("weights", Difference.ofWeights(a, b), rows);
      }
    }
    if (input != null) {
      different += list("activations", activations(input), rows);
    }
    if (!rows.isEmpty() || !format.isForPeople()) {
      new Table(
              List.of("kind", "name", "first", "second", "relative", "max_abs"),
              rows,
              List.of("max_abs", "kind"))
          .print(format.format, System.out);
    }
    System.err.println(
        different == 0
            ? "no relative difference above " + tolerance
            : "%,d differ by more than the relative tolerance %s".formatted(different, tolerance));
    return different == 0 ? Main.OK : DIFFERENT;
  }

  private static boolean isNetwork(Path name) {
    return Architecture.catalogue().containsKey(name.toString()) && !Files.exists(name);
  }

  /** Compares the parameters of two networks, in the order of the first one. */
  private static List<Difference> structure(Path first, Path second) {
    Map<String, List<Integer>> a = shapes(Architecture.named(first.toString()));
    Map<String, List<Integer>> b = shapes(Architecture.named(second.toString()));
    var names = new LinkedHashSet<>(a.keySet());
    names.addAll(b.keySet());
    return names.stream().map(name -> Difference.ofShapes(name, a.get(name), b.get(name))).toList();
  }

  private static Map<String, List<Integer>> shapes(ResNetSpec spec) {
    var shapes = new LinkedHashMap<String, List<Integer>>();
    spec.layers().parameters().forEach(each -> shapes.put(each.name(), each.shape()));
    return shapes;
  }

  private List<Difference> activations(Path from) throws IOException {
    Weights weights = weights(first);
    ResNet one = load(weights);
    Tensor x = read(from, weights);
    if (second != null) {
      return Difference.ofActivations(one, load(weights(second)), x, threads);
    }
    var tensors = new LinkedHashMap<String, Tensor>();
    if (expected != null) {
      try (var checkpoint = Checkpoint.open(expected)) {
        for (var entry : checkpoint.tensors().entrySet()) {
          StoredTensor tensor = entry.getValue();
          tensors.put(entry.getKey(), tensor.toTensor());
        }
      }
    }
    return Difference.ofActivations(one, tensors, x, threads);
  }

  private Weights weights(Path file) throws IOException {
    return ModelOptions.find(ModelOptions.named(model), file.toString());
  }

  private static ResNet load(Weights weights) throws IOException {
    try (var checkpoint = Checkpoint.open(weights.file())) {
      return ResNet.load(weights.requireSpec(), checkpoint);
    }
  }

  private Tensor read(Path file, Weights weights) throws IOException {
    if (file.toString().endsWith(".npy")) {
      return Npy.read(file);
    }
    Preprocessing preprocessing =
        weights.preprocessing().isPresent()
            ? weights.preprocessing().get()
            : Model.usualPreprocessing(weights.requireSpec());
    return preprocessing.apply(decoding.decoder().decode(file));
  }

  /** Adds rows; returns how many tensors differ. */
  private int list(String kind, List<Difference> differences, List<List<Object>> rows) {
    int different = 0;
    for (Difference difference : differences) {
      boolean same = difference.relative().orElse(Double.MAX_VALUE) <= tolerance;
      different += same ? 0 : 1;
      if (all || !same) {
        rows.add(
            List.of(
                kind,
                difference.name(),
                difference.first(),
                difference.second(),
                difference.relative().isPresent()
                    ? number(difference.relative().getAsDouble())
                    : "",
                difference.largest().isPresent()
                    ? number(difference.largest().getAsDouble())
                    : ""));
      }
    }
    return different;
  }

  private Object number(double value) {
    return format.isForPeople() || Double.isInfinite(value)
        ? String.format(Locale.ROOT, "%.2e", value)
        : (Object) value;
  }
}
