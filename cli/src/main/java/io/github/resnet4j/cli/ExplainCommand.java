package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.explain.Explainer;
import io.github.resnet4j.explain.HeatMap;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.figures.HeatMapFigure;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.messages.Suggestion;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "explain",
    mixinStandardHelpOptions = true,
    description = {
      "Explains a prediction with a heat map over the image.",
      "",
      "Writes an image with the network's input, the heat map over it, and the top classes."
          + " gradcam and gradcam++ use the gradients at --layer, eigencam the first principal"
          + " component of its activations; occlusion covers the image piece by piece.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j explain samples/digit-6.png --output six.png",
      "  resnet4j explain cat.jpg -m resnet50 --class tabby -o cat.png  # downloads",
      "  resnet4j explain cat.jpg -w my.pth --method gradcam++ --layer layer3 \\",
      "    --heatmap heat.npy",
    })
final class ExplainCommand implements Callable<Integer> {
  @Mixin private ModelOptions options = new ModelOptions();

  @Option(
      names = "--method",
      paramLabel = "METHOD",
      description = "gradcam, gradcam++, eigencam or occlusion; default ${DEFAULT-VALUE}.")
  private String method = "gradcam";

  @Option(
      names = {"-c", "--class"},
      paramLabel = "K",
      description = "Class to explain, by name or index; default: the predicted class.")
  private @Nullable String chosen;

  @Option(
      names = {"-l", "--layer"},
      paramLabel = "NAME",
      description = "Layer whose activations are used; default: the last stage.")
  private @Nullable String layer;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Output image, .png; default: NAME-METHOD.png in the current folder.")
  @Output(endings = ".png")
  private @Nullable Path output;

  @Option(
      names = "--heatmap",
      paramLabel = "FILE",
      description =
          "Also write the heat map as .npy: values 0 to 1 at the resolution of the network's"
              + " input.")
  @Output(endings = ".npy")
  private @Nullable Path values;

  @Option(
      names = "--top",
      paramLabel = "N",
      description = "Number of classes to print; default ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private int top = 5;

  @Mixin private DecodingOptions decoding = new DecodingOptions();
  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Option(
      names = "--labels",
      paramLabel = "FILE",
      description =
          "Class names: a file with one per line, or imagenet (1,000 classes), or imagenet-22k"
              + " (21,841 classes).")
  private @Nullable Path labels;

  @Parameters(paramLabel = "IMAGE", description = "Image to explain.")
  private Path path = Path.of("");

  @Override
  public Integer call() throws IOException {
    Explainer.Method explainerMethod = method();
    Path file = output == null ? defaultOutput() : output;
    AtomicFile.requireWritable(file);
    Model model = options.loadClasses(preprocessing.file, labels);
    ResNet network = model.network();
    requireLayer(network);
    OptionalInt index = index(model.labels());
    Pixels image = decoding.decoder().decode(path);
    var prepared = model.preprocessing();
    String layerName = layer == null ? network.spec().lastStage() : layer;
    HeatMap map =
        network
            .explainer()
            .explain(
                prepared.apply(image),
                explainerMethod,
                index,
                layerName,
                options.compileOptions(
                    network, explainerMethod == Explainer.Method.OCCLUSION ? 225 : 1));
    options.requireFinite(map.logits(), network);
    List<Prediction> predictions = model.top(map.logits(), top).getFirst();
    String label = model.labels().get(map.index());
    Pixels seen = prepared.crop(prepared.channels() == 1 ? image.toGray() : image);
    String title =
        "Explanation of '%s': %s%s"
            .formatted(
                label,
                method,
                explainerMethod == Explainer.Method.OCCLUSION ? "" : " at " + layerName);
    FigureFile.writePng(HeatMapFigure.draw(seen, map.values(), title, predictions), file);
    if (values != null) {
      Npy.write(values, map.values());
      Main.wrote(values);
    }
    for (Prediction prediction : predictions) {
      System.out.printf(
          Locale.ROOT, "%6.1f %%  %s%n", 100 * prediction.probability(), prediction.label());
    }
    System.err.printf("explanation of '%s': %s%n", label, file);
    return Main.OK;
  }

  private void requireLayer(ResNet network) {
    if (layer != null && network.layers().walk().noneMatch(each -> each.name().equals(layer))) {
      throw FeatureOptions.noLayer(layer, network);
    }
  }

  private Explainer.Method method() {
    return switch (method.toLowerCase(Locale.ROOT)) {
      case "gradcam", "grad-cam" -> Explainer.Method.GRADCAM;
      case "gradcam++", "grad-cam++" -> Explainer.Method.GRADCAM_PLUS_PLUS;
      case "eigencam", "eigen-cam" -> Explainer.Method.EIGENCAM;
      case "occlusion" -> Explainer.Method.OCCLUSION;
      default ->
          throw new UsageException(
              "--method must be gradcam, gradcam++, eigencam or occlusion, was '%s'%s"
                  .formatted(
                      method,
                      Suggestion.of(
                          method, List.of("gradcam", "gradcam++", "eigencam", "occlusion"))));
    };
  }

  private OptionalInt index(List<String> names) {
    if (chosen == null) {
      return OptionalInt.empty();
    }
    int byName = names.indexOf(chosen);
    if (byName >= 0) {
      return OptionalInt.of(byName);
    }
    if (chosen.matches("\\d{1,7}")) {
      if (Integer.parseInt(chosen) >= names.size()) {
        throw new UsageException(
            "--class must be a name or 0 to %d, was %s".formatted(names.size() - 1, chosen));
      }
      return OptionalInt.of(Integer.parseInt(chosen));
    }
    List<String> near =
        names.stream()
            .filter(name -> name.toLowerCase(Locale.ROOT).contains(chosen.toLowerCase(Locale.ROOT)))
            .limit(5)
            .toList();
    throw new UsageException(
        "--class: no class is named '%s'%s"
            .formatted(
                chosen,
                near.isEmpty()
                    ? Suggestion.of(chosen, names)
                    : "; there are " + String.join(", ", near)));
  }

  private Path defaultOutput() {
    String name = String.valueOf(path.getFileName()).replaceFirst("\\.[^.]*$", "");
    return Path.of(name + "-" + method + ".png");
  }
}
