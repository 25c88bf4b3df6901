package io.github.resnet4j.cli;

import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.engine.InferenceSession;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Workload(Workload.Kind.MEASURING)
@Command(
    name = "bench",
    mixinStandardHelpOptions = true,
    description = {
      "Measures inference speed: images per second, median of many runs.",
      "",
      "The weights are random; they do not influence the time. Other load on the machine does.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j bench --model resnet50 --batch-size 1,16",
      "  resnet4j bench -m resnet18,resnet50 --threads 1,2 -i 128,224,512 -f csv",
      "  resnet4j bench -m resnet50 --layers",
      "  resnet4j bench -m resnet18 -r 10000 --percentiles --garbage",
    })
final class BenchCommand implements Callable<Integer> {
  @Option(
      names = {"-m", "--model"},
      paramLabel = "NAME",
      split = ",",
      description = "Networks from 'resnet4j models', or checkpoints; default ${DEFAULT-VALUE}.")
  private List<String> models = List.of("resnet50");

  @Option(
      names = {"-b", "--batch-size"},
      paramLabel = "N",
      split = ",",
      description = "Batch sizes; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 65_536)
  private List<Integer> batches = List.of(1);

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "N",
      split = ",",
      description = "Numbers of threads; default: all cores.")
  @Range(min = 1, max = 1024)
  private List<Integer> threads = List.of(Runtime.getRuntime().availableProcessors());

  @Option(
      names = {"-i", "--image-size"},
      paramLabel = "PIXELS",
      split = ",",
      description = "Height and width of the images in pixels; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 16_384)
  private List<Integer> imageSizes = List.of(224);

  @Option(
      names = "--precision",
      paramLabel = "PRECISION",
      description = "fp32, bf16, int8 or auto; default ${DEFAULT-VALUE}.")
  private Precision precision = Precision.FP32;

  @Option(
      names = "--algorithm",
      paramLabel = "ALGORITHM",
      description = "auto, tuned or direct, as for 'classify'; default ${DEFAULT-VALUE}.")
  private CompileOptions.Algorithm algorithm = CompileOptions.Algorithm.TUNED;

  @Option(
      names = {"-r", "--repetitions"},
      paramLabel = "N",
      description = "Number of measured runs; default ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private int repetitions = 20;

  @Option(
      names = "--warmup",
      paramLabel = "SECONDS",
      description = "Warm-up time in seconds; default ${DEFAULT-VALUE}.")
  @Range(min = 0)
  private double warmUp = 5;

  @Option(
      names = "--layers",
      description =
          "Show the time of every step and its percentage of the machine's measured peak.")
  private boolean layers;

  @Option(
      names = "--percentiles",
      description =
          "Also show the 90th, 99th and 99.9th percentile and the maximum of the runs' times, and"
              + " the 99th percentile divided by the median. They need many runs: --repetitions"
              + " 10000.")
  private boolean percentiles;

  @Option(
      names = "--garbage",
      description =
          "Run a thread beside that allocates 1 GB per second, so that the garbage collector"
              + " interrupts the measured runs.")
  private boolean garbage;

  @Mixin private FormatOption output = new FormatOption();

  @Mixin private EngineOptions engine = new EngineOptions();

  @Override
  public Integer call() throws IOException {
    if (layers && !engine.choice().equals(EngineChoice.RESNET4J)) {
      throw new UsageException("--layers shows the steps of resnet4j's own engine only");
    }
    var rows = new ArrayList<List<Object>>();
    for (String model : models) {
      NetworkOptions.find("--model: ", model); // report errors before measuring
    }
    for (String model : models) {
      var network = network(model, precision);
      for (int count : threads) {
        var options =
            CompileOptions.defaults()
                .withThreads(count)
                .withAlgorithm(algorithm)
                .withPrecision(precision)
                .withEngine(engine.choice());
        try (InferenceSession session = network.open(options);
            var _ = garbage ? new GarbageProducer() : null) {
          for (int size : imageSizes) {
            for (int batch : batches) {
              if (layers && session instanceof Session own) {
                PlanCommand.print(own, batch, size, warmUp, output.format);
              } else {
                rows.add(measure(model, network, session, batch, size));
              }
            }
          }
        }
      }
    }
    if (!layers) {
      var columns =
          new ArrayList<>(
              List.of(
                  "model",
                  "batch size",
                  "threads",
                  "image size",
                  "precision",
                  "images/s",
                  "median ms",
                  "fastest ms"));
      if (percentiles) {
        columns.addAll(List.of("p90 ms", "p99 ms", "p99.9 ms", "max ms", "p99 / median"));
      }
      new Table(columns, rows, List.of("fastest ms", "precision")).print(output.format, System.out);
    }
    return Main.OK;
  }

  /** A network with random weights; for int8, calibrated with random images. */
  static ResNet network(String model, Precision precision) throws IOException {
    var network =
        ResNet.initialize(NetworkOptions.find("--model: ", model), TorchRandom.manualSeed(0));
    if (precision != Precision.INT8) {
      return network;
    }
    try (var calibration = new Calibration(network.compile(CompileOptions.defaults()))) {
      calibration.observe(TorchRandom.manualSeed(1).randn(1, network.spec().inChannels(), 64, 64));
      return network.withQuantization(calibration.quantization(Calibration.Method.MIN_MAX));
    }
  }

  /**
   * The times of runs in seconds, the fastest first.
   *
   * @param warmUp seconds to run before measuring
   */
  static double[] seconds(InferenceSession session, Tensor x, double warmUp, int runs) {
    Tensor y = session.run(x);
    long warm = System.nanoTime() + (long) (warmUp * 1e9);
    while (System.nanoTime() < warm) {
      session.run(x, y);
    }
    double[] seconds = new double[runs];
    for (int i = 0; i < runs; i++) {
      long start = System.nanoTime();
      session.run(x, y);
      seconds[i] = (System.nanoTime() - start) * 1e-9;
    }
    Arrays.sort(seconds);
    return seconds;
  }

  private List<Object> measure(
      String model, ResNet network, InferenceSession session, int batch, int input) {
    Tensor x = TorchRandom.manualSeed(1).randn(batch, network.spec().inChannels(), input, input);
    double[] seconds = seconds(session, x, warmUp, repetitions);
    double median = seconds[repetitions / 2];
    System.err.printf(
        "%s, batch size %d, %dx%d, %d threads, %s kernels: %.1f images/s%n",
        model, batch, input, input, session.options().threads(), session.kernels(), batch / median);
    var row =
        new ArrayList<Object>(
            List.of(
                model,
                batch,
                session.options().threads(),
                input,
                session.precision().name().toLowerCase(Locale.ROOT),
                Table.rounded(batch / median, 1),
                Table.rounded(median * 1e3, 2),
                Table.rounded(seconds[0] * 1e3, 2)));
    if (percentiles) {
      for (double part : new double[] {0.9, 0.99, 0.999, 1}) {
        row.add(Table.rounded(percentile(seconds, part) * 1e3, 2));
      }
      row.add(Table.rounded(percentile(seconds, 0.99) / median, 2));
    }
    return row;
  }

  /** The smallest time that at least this part of the runs did not exceed. */
  static double percentile(double[] sorted, double part) {
    return sorted[Math.max(0, (int) Math.ceil(part * sorted.length) - 1)];
  }
}
