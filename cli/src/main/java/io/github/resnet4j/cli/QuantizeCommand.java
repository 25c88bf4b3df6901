package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Quantization;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Workload(Workload.Kind.LONG)
@Command(
    name = "quantize",
    mixinStandardHelpOptions = true,
    description = {
      "Quantizes a network to int8, for --precision int8 (post-training quantization).",
      "",
      "Calibration images set the ranges of the activations; a hundred typical ones are enough."
          + " Then int8 and fp32 are compared on the same images.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j quantize digits.safetensors --calibration-data samples/",
      "  resnet4j quantize int8.safetensors -w my.pth --calibration-data photos/ -n 200",
      "  resnet4j classify -w digits.safetensors --precision int8 samples/digit-6.png",
    })
final class QuantizeCommand implements Callable<Integer> {
  @Mixin private ModelOptions options = new ModelOptions();
  @Mixin private DecodingOptions decoding = new DecodingOptions();

  @Parameters(index = "0", paramLabel = "OUT", description = "New file, .safetensors.")
  @Output(endings = ".safetensors")
  private Path out = Path.of("");

  @Option(
      names = {"-c", "--calibration-data"},
      paramLabel = "PATH",
      required = true,
      arity = "1..*",
      description =
          "Calibration images: files, folders, patterns, or - to read paths from stdin. A .npy"
              + " contains preprocessed images, [N, C, H, W].")
  private List<String> paths = List.of();

  @Option(
      names = {"-n", "--calibration-samples"},
      paramLabel = "N",
      description =
          "Number of calibration images, taken evenly from those found; default"
              + " ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private int images = 128;

  @Option(
      names = "--calibration-method",
      paramLabel = "METHOD",
      description =
          "How the range of activations is chosen: min_max (all values), percentile (99.99 %%),"
              + " entropy (minimizes the KL divergence); default ${DEFAULT-VALUE}.")
  private Calibration.Method method = Calibration.Method.MIN_MAX;

  @Option(
      names = "--float-input",
      description = "Keep the first convolution in fp32; the fully connected layer always is.")
  private boolean floatInput;

  @Option(
      names = "--preprocessing",
      paramLabel = "FILE",
      description = "Preprocessing file, as for 'classify'.")
  private @Nullable Path preprocessingFile;

  @Override
  public Integer call() throws IOException {
    List<Path> images = spread(ImageFiles.find(paths));
    if (images.isEmpty()) {
      throw new IOException("no images in " + String.join(", ", paths));
    }
    Model model = options.loadClassifier(preprocessingFile, null);
    ResNet network = model.network();
    var read = new ArrayList<Tensor>();
    Quantization found;
    var floats = CompileOptions.defaults().withThreads(options.threads);
    try (var calibration = new Calibration(network.compile(floats));
        var progress = new Progress("calibrate", " images", 1)) {
      int done = 0;
      for (Path image : images) {
        try {
          Tensor x = prepared(image, model.preprocessing());
          calibration.observe(x);
          read.add(x);
        } catch (IOException e) {
          System.err.println("resnet4j: " + Reason.of(e));
        }
        progress.at(++done, images.size());
      }
      if (read.isEmpty()) { // the reasons have been printed
        return Main.FAILED;
      }
      found = calibration.quantization(method);
    }
    ResNet quantized = network.withQuantization(floatInput ? found.withFloatInput() : found);
    model.withNetwork(quantized).saveQuantized(out);
    System.err.printf("%s: %,d bytes%n", out, Files.size(out));
    compare(quantized, floats, read);
    return Main.OK;
  }

  private Tensor prepared(Path image, Preprocessing preprocessing) throws IOException {
    if (image.toString().endsWith(".npy")) {
      return Npy.read(image);
    }
    Tensor x = preprocessing.batch(1);
    preprocessing.apply(decoding.decoder().decode(image), x, 0);
    return x;
  }

  /** Takes at most {@code images} of all, evenly spaced. */
  private List<Path> spread(List<Path> all) {
    var some = new ArrayList<Path>();
    for (int i = 0; i < Math.min(images, all.size()); i++) {
      some.add(all.get((int) ((long) i * all.size() / Math.min(images, all.size()))));
    }
    return some;
  }

  /** Compares the logits in both precisions and prints the result. */
  private static void compare(ResNet network, CompileOptions floats, List<Tensor> images) {
    int same = 0;
    int all = 0;
    double difference = 0;
    double length = 0;
    try (Session expected = network.compile(floats);
        Session actual = network.compile(floats.withPrecision(Precision.INT8))) {
      for (Tensor x : images) {
        float[] a = expected.run(x).data();
        float[] b = actual.run(x).data();
        int classes = a.length / x.dim(0);
        for (int n = 0; n < x.dim(0); n++, all++) {
          same += best(a, n * classes, classes) == best(b, n * classes, classes) ? 1 : 0;
        }
        for (int i = 0; i < a.length; i++) {
          difference += (double) (a[i] - b[i]) * (a[i] - b[i]);
          length += (double) a[i] * a[i];
        }
      }
    }
    System.err.printf(
        "int8 compared with fp32: the same top-1 class for %,d of %,d images, relative error of the"
            + " logits %.1f %%%n",
        same, all, 100 * Math.sqrt(difference / length));
  }

  private static int best(float[] logits, int from, int classes) {
    int best = 0;
    for (int i = 1; i < classes; i++) {
      best = logits[from + i] > logits[from + best] ? i : best;
    }
    return best;
  }
}
