package io.github.resnet4j.cli;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.PublishedWeights;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.figures.CostChart;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "compare",
    mixinStandardHelpOptions = true,
    description = {
      "Compares networks: parameters, multiply-adds, published accuracy, inference time.",
      "",
      "Without MODEL: the networks for which torchvision publishes weights. --output also draws"
          + " bar charts of the costs, and accuracy against cost.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j compare",
      "  resnet4j compare --measure --output comparison",
      "  resnet4j compare resnet18 resnet50 my.pth -i 3x320x320 --format markdown",
    })
final class CompareCommand implements Callable<Integer> {
  private static final double WARM_UP_SECONDS = 1;
  private static final int RUNS = 15;

  @Mixin private NetworkOptions options = new NetworkOptions();

  @Option(
      names = "--measure",
      description = "Also measure the inference time of one image on this machine (median).")
  private boolean measure;

  @Option(
      names = {"-t", "--threads"},
      paramLabel = "N",
      description = "Number of threads; default: all cores.")
  @Range(min = 1, max = 1024)
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = {"-o", "--output"},
      paramLabel = "NAME",
      description = "Draw NAME-cost, NAME-accuracy and NAME-time, each as .png and .svg.")
  @Output
  private @Nullable Path drawing;

  @Mixin private FormatOption output = new FormatOption();

  @Parameters(arity = "0..*", paramLabel = "MODEL", description = NetworkOptions.MODEL)
  private List<String> models = List.of();

  @Override
  public Integer call() throws IOException {
    List<String> chosen = models.isEmpty() ? imagenet() : models;
    var rows = new ArrayList<List<Object>>();
    var entries = new ArrayList<CostChart.Entry>();
    try (var progress = new Progress("compare", " networks", 1)) {
      for (String model : chosen) {
        ResNetSpec spec = options.spec(model);
        Shape image = options.image(spec);
        var shaped = ShapedLayer.of(spec.layers(), image);
        OptionalDouble time =
            measure ? OptionalDouble.of(milliseconds(spec, image)) : OptionalDouble.empty();
        OptionalDouble first = top1(model, false);
        OptionalDouble best = top1(model, true);
        var row =
            new ArrayList<Object>(
                List.of(
                    options.title(model),
                    image.toString(),
                    shaped.parameters(),
                    Table.rounded(shaped.multiplyAdds() / 1e9, 3),
                    percent(first),
                    percent(best)));
        if (measure) {
          row.add(Table.rounded(time.orElseThrow(), 2));
          row.add(Table.rounded(1000 / time.orElseThrow(), 1));
        }
        rows.add(row);
        entries.add(
            new CostChart.Entry(
                options.title(model),
                family(spec),
                shaped.parameters(),
                shaped.multiplyAdds(),
                best,
                time));
        progress.at(rows.size(), chosen.size());
      }
    }
    var columns =
        new ArrayList<>(
            List.of(
                "model", "input_size", "parameters", "multiply_adds_G", "top1_first", "top1_best"));
    if (measure) {
      columns.addAll(List.of("ms", "images_per_second"));
    }
    new Table(columns, rows, List.of("input_size", "top1_first")).print(output.format, System.out);
    if (drawing != null) {
      Path folder = drawing.toAbsolutePath().resolveSibling("");
      for (String written :
          CostChart.write(entries, folder, String.valueOf(drawing.getFileName()))) {
        Main.wrote(drawing.resolveSibling(written + ".png"));
        Main.wrote(drawing.resolveSibling(written + ".svg"));
      }
    }
    return Main.OK;
  }

  private static List<String> imagenet() {
    return Architecture.catalogue().entrySet().stream()
        .map(Map.Entry::getKey)
        .filter(name -> top1(name, false).isPresent())
        .toList();
  }

  /** Returns the top-1 accuracy of the first weights that torchvision published, or of the best. */
  private static OptionalDouble top1(String model, boolean best) {
    var published =
        PublishedWeights.catalogue().stream()
            .filter(weights -> weights.model().equals(model))
            .mapToDouble(PublishedWeights::top1);
    return best ? published.max() : published.findFirst();
  }

  private static Object percent(OptionalDouble top1) {
    return top1.isPresent() ? Table.rounded(top1.getAsDouble(), 3) : "";
  }

  private static String family(ResNetSpec spec) {
    return spec.groups() > 1 ? "ResNeXt" : spec.widthPerGroup() > 64 ? "Wide ResNet" : "ResNet";
  }

  private double milliseconds(ResNetSpec spec, Shape image) {
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    var compile =
        CompileOptions.defaults()
            .withThreads(threads)
            .withAlgorithm(CompileOptions.Algorithm.TUNED);
    try (Session session = network.compile(compile)) {
      Tensor x =
          TorchRandom.manualSeed(1).randn(1, image.channels(), image.height(), image.width());
      return 1e3 * BenchCommand.seconds(session, x, WARM_UP_SECONDS, RUNS)[RUNS / 2];
    }
  }
}
