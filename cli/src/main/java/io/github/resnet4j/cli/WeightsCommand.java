package io.github.resnet4j.cli;

import io.github.resnet4j.PublishedWeights;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.TorchHub;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "weights",
    mixinStandardHelpOptions = true,
    description = {
      "Lists torchvision's published weights and which of them are cached on this machine.",
      "",
      "They are stored where PyTorch stores them: $TORCH_HOME/hub/checkpoints, by default"
          + " ~/.cache/torch/hub/checkpoints.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j weights",
      "  resnet4j weights --download resnet50  # downloads",
      "  resnet4j weights --download resnet50:IMAGENET1K_V1  # downloads",
    })
final class WeightsCommand implements Callable<Integer> {
  @Mixin private FormatOption output = new FormatOption();

  @Option(
      names = "--download",
      paramLabel = "MODEL[:NAME]",
      description = "Download the weights of a network and print the file's path.")
  private @Nullable String download;

  @Override
  public Integer call() throws IOException {
    if (download != null) {
      String[] parts = download.split(":", 2);
      PublishedWeights chosen = published(parts[0], parts.length == 2 ? parts[1] : "DEFAULT");
      try (var progress = new Progress.ForDownloads()) {
        Weights found =
            Weights.find(
                Optional.of(chosen.model()), chosen.name(), System.getenv(), progress.download());
        System.out.println(found.file());
      }
      return Main.OK;
    }
    Path folder = TorchHub.folder(System.getenv());
    var rows = new ArrayList<List<Object>>();
    for (PublishedWeights weights : PublishedWeights.catalogue()) {
      rows.add(
          List.of(
              weights.model(),
              weights.name(),
              weights.isDefault(),
              weights.top1(),
              weights.top5(),
              weights.megabytes(),
              Files.exists(folder.resolve(weights.fileName())),
              output.format == Table.Format.TEXT ? weights.fileName() : weights.url().toString()));
    }
    new Table(
            List.of(
                "model",
                "name",
                "default",
                "top1",
                "top5",
                "MB",
                "cached",
                output.format == Table.Format.TEXT ? "file" : "url"),
            rows,
            List.of("top5", "default", "MB"))
        .print(output.format, System.out);
    if (output.format == Table.Format.TEXT) {
      System.out.println("\ncache: " + folder);
    }
    return Main.OK;
  }

  private static PublishedWeights published(String model, String name) {
    try {
      return PublishedWeights.of(model, name);
    } catch (IllegalArgumentException e) {
      throw new UsageException("--download: " + e.getMessage());
    }
  }
}
