package io.github.resnet4j.cli;

import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.StepTime;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Workload(Workload.Kind.MEASURING)
@Command(
    name = "plan",
    mixinStandardHelpOptions = true,
    description = {
      "Shows the steps that a network is compiled into, and measures the time of each.",
      "",
      "GFLOP/s count the multiplications and additions of direct convolution; a Winograd"
          + " convolution needs fewer and can exceed 100 %% of the peak.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j plan --model resnet50 --batch-size 16",
      "  resnet4j plan -m resnet18 --image-size 512 --seconds 10 -f csv",
    })
final class PlanCommand implements Callable<Integer> {
  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      description =
          "Network name from 'resnet4j models', or a checkpoint; default ${DEFAULT-VALUE}.")
  private String model = "resnet50";

  @Option(
      names = {"-b", "--batch-size"},
      paramLabel = "N",
      description = "Batch size; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 65_536)
  private int batch = 1;

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "N",
      description = "Number of threads; default: all cores.")
  @Range(min = 1, max = 1024)
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = {"-i", "--image-size"},
      paramLabel = "PIXELS",
      description = "Height and width of the images in pixels; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 16_384)
  private int imageSize = 224;

  @Option(
      names = "--algorithm",
      paramLabel = "ALGORITHM",
      description = "auto, tuned or direct, as for 'classify'; default ${DEFAULT-VALUE}.")
  private CompileOptions.Algorithm algorithm = CompileOptions.Algorithm.AUTO;

  @Option(
      names = "--precision",
      paramLabel = "PRECISION",
      description = "fp32, bf16, int8 or auto; default ${DEFAULT-VALUE}.")
  private Precision precision = Precision.FP32;

  @Option(
      names = "--seconds",
      paramLabel = "N",
      description = "Measuring time in seconds, half of it warm-up; default ${DEFAULT-VALUE}.")
  @Range(above = 0)
  private double seconds = 5;

  @Mixin private FormatOption output = new FormatOption();

  @Override
  public Integer call() throws IOException {
    var network = BenchCommand.network(model, precision);
    var options =
        CompileOptions.defaults()
            .withThreads(threads)
            .withAlgorithm(algorithm)
            .withPrecision(precision);
    try (Session session = network.compile(options)) {
      print(session, batch, imageSize, seconds, output.format);
    }
    return Main.OK;
  }

  /** Measures the steps for a batch and prints them, with their percentage of the peak. */
  static void print(Session session, int batch, int input, double seconds, Table.Format format)
      throws IOException {
    List<StepTime> steps = session.measure(batch, input, input, (long) (seconds * 1e9));
    double peak = session.peakFlops(1_500_000_000L);
    var rows = new ArrayList<List<Object>>();
    double total = 0;
    long flops = 0;
    for (StepTime step : steps) {
      rows.add(
          List.of(
              step.name(),
              step.shape(),
              step.algorithm(),
              step.images(),
              Table.rounded(step.seconds() * 1e3, 3),
              Table.rounded(step.flops() / step.seconds() * 1e-9, 0),
              Table.rounded(100 * step.flops() / step.seconds() / peak, 0)));
      total += step.seconds();
      flops += step.flops();
    }
    var columns =
        List.of("step", "output", "algorithm", "images", "ms/image", "GFLOP/s", "% of peak");
    new Table(columns, rows, List.of("images", "GFLOP/s")).print(format, System.out);
    if (format == Table.Format.TEXT) {
      System.out.printf(
          "%nbatch size %d, %d threads: %.2f ms per image, %.1f images/s, %.0f GFLOP/s;"
              + " measured peak of these kernels: %.0f GFLOP/s%n",
          batch,
          session.options().threads(),
          total * 1e3,
          1 / total,
          flops / total * 1e-9,
          peak * 1e-9);
    }
  }
}
