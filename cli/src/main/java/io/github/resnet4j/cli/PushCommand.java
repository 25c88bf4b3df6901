package io.github.resnet4j.cli;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import io.github.resnet4j.checkpoint.HubUpload;
import io.github.resnet4j.train.ModelCard;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "push",
    mixinStandardHelpOptions = true,
    description = {
      "Uploads the model of a training to Hugging Face.",
      "",
      "Creates the repository if it does not exist, and commits model.safetensors (the best model"
          + " of the run), its model card README.md, config.json and metrics.csv. The token is that"
          + " of HF_TOKEN, or of the file that 'hf auth login' writes. HF_ENDPOINT names another"
          + " server.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j push run1/ user/flowers  # downloads",
      "  resnet4j classify -w hf:user/flowers photo.jpg  # downloads",
    })
final class PushCommand implements Callable<Integer> {
  @Parameters(index = "0", paramLabel = "DIR", description = "Output folder of a training.")
  private Path run = Path.of("");

  @Parameters(index = "1", paramLabel = "OWNER/NAME", description = "Repository.")
  private String repository = "";

  @Option(names = "--private", description = "Create a private repository.")
  private boolean isPrivate;

  @Option(
      names = "--message",
      paramLabel = "TEXT",
      description = "Message of the commit; default: ${DEFAULT-VALUE}.")
  private String message = "Upload model";

  @Override
  public Integer call() throws IOException, InterruptedException {
    Path weights = run.resolve("best.safetensors");
    Path card = run.resolve(ModelCard.FILE);
    for (Path file : new Path[] {weights, card}) {
      if (!Files.isRegularFile(file)) {
        throw new IOException(
            file + ": does not exist; name the output folder of a finished training");
      }
    }
    Path folder = Files.createTempDirectory("resnet4j-push");
    try {
      var files = new LinkedHashMap<String, Path>();
      files.put(ModelCard.FILE, card(card, folder));
      files.put("config.json", config(Model.load(weights), folder));
      files.put("model.safetensors", weights);
      if (Files.exists(run.resolve("metrics.csv"))) {
        files.put("metrics.csv", run.resolve("metrics.csv"));
      }
      String url = new HubUpload(System.getenv()).push(repository, files, message, isPrivate);
      System.out.println(url);
    } finally {
      Files.deleteIfExists(folder.resolve(ModelCard.FILE));
      Files.deleteIfExists(folder.resolve("config.json"));
      Files.deleteIfExists(folder);
    }
    return Main.OK;
  }

  /** The model card, whose commands name the repository instead of the run's file. */
  private Path card(Path card, Path folder) throws IOException {
    String text =
        Files.readString(card)
            .replace("--weights best.safetensors", "--weights hf:" + repository)
            .replace("convert best.safetensors", "convert model.safetensors");
    return Files.writeString(folder.resolve(ModelCard.FILE), text);
  }

  private static Path config(Model model, Path folder) throws IOException {
    var labels = new LinkedHashMap<String, String>();
    for (int k = 0; k < model.labels().size(); k++) {
      labels.put(String.valueOf(k), model.labels().get(k));
    }
    Map<String, Object> config = new LinkedHashMap<>();
    config.put("library_name", "resnet4j");
    config.put("id2label", labels);
    return Files.writeString(folder.resolve("config.json"), JSON.std.asString(config) + "\n");
  }
}
