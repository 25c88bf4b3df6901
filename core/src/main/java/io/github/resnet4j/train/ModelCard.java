package io.github.resnet4j.train;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.checkpoint.AtomicFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * The description of a trained model in Hugging Face's format: Markdown with a head in YAML, see <a
 * href="https://huggingface.co/docs/hub/model-cards">Model Cards</a>.
 *
 * @param name the name of the model
 * @param license the license's identifier on Hugging Face, such as {@code apache-2.0}, if known
 * @param base the pretrained weights that were fine-tuned, if there were any
 * @param dataset the name of the data set
 * @param images the number of training images
 * @param recipe the settings of the training, one per line
 * @param model the model
 * @param evaluation its evaluation on the validation images; may be empty
 */
public record ModelCard(
    String name,
    Optional<String> license,
    Optional<String> base,
    String dataset,
    int images,
    List<String> recipe,
    Model model,
    Evaluation evaluation) {
  /** The file's name in a repository on Hugging Face. */
  public static final String FILE = "README.md";

  private static final int MAX_LABELS = 50;

  /**
   * @throws IllegalArgumentException if the license is not an identifier
   */
  public ModelCard {
    license.ifPresent(ModelCard::requireLicense);
    recipe = List.copyOf(recipe);
  }

  /**
   * Checks the form of a license's identifier.
   *
   * @throws IllegalArgumentException if it is not one
   */
  public static void requireLicense(String id) {
    if (!id.matches("[a-z0-9][a-z0-9.+-]*")) {
      throw new IllegalArgumentException(
          "'%s' is not the identifier of a license, such as apache-2.0, mit or other"
              .formatted(id));
    }
  }

  /**
   * A value of the evaluation.
   *
   * @param type the name on Hugging Face
   * @param name the name for people
   */
  private record Result(String type, String name, double value) {}

  private List<Result> results() {
    if (evaluation.count() == 0) {
      return List.of();
    }
    return switch (evaluation) {
      case SingleLabelEvaluation single when single.classes().size() > 5 ->
          List.of(
              new Result("accuracy", "top-1 accuracy", single.accuracy()),
              new Result("accuracy", "top-5 accuracy", single.top5Accuracy()));
      case SingleLabelEvaluation single ->
          List.of(new Result("accuracy", "accuracy", single.accuracy()));
      case MultiLabelEvaluation several ->
          List.of(new Result("mean_average_precision", "mAP", several.score()));
      case RegressionEvaluation numbers ->
          List.of(new Result("mae", "mean absolute error", numbers.score()));
    };
  }

  private String task() {
    return model.task() instanceof Task.Regression ? "image-regression" : "image-classification";
  }

  /** Writes {@code README.md} into a folder. */
  public void write(Path folder) throws IOException {
    byte[] bytes = toMarkdown().getBytes(StandardCharsets.UTF_8);
    AtomicFile.write(folder.resolve(FILE), out -> out.write(bytes));
  }

  /** The whole text. */
  public String toMarkdown() {
    return head() + body();
  }

  private String head() {
    var head = new StringBuilder("---\n");
    license.ifPresent(id -> head.append("license: ").append(quoted(id)).append('\n'));
    head.append("library_name: resnet4j\n");
    if (!(model.task() instanceof Task.Regression)) { // Hugging Face has no such pipeline
      head.append("pipeline_tag: image-classification\n");
    }
    head.append("tags:\n- resnet4j\n- resnet\n- %s\n".formatted(task()));
    head.append("datasets:\n- %s\n".formatted(quoted(dataset)));
    List<Result> results = results();
    if (results.isEmpty()) {
      return head.append("---\n").toString();
    }
    head.append("metrics:\n");
    results.stream()
        .map(Result::type)
        .distinct()
        .forEach(type -> head.append("- ").append(type).append('\n'));
    head.append("model-index:\n- name: %s\n  results:\n".formatted(quoted(name)));
    head.append("  - task:\n      type: %s\n".formatted(task()));
    head.append("    dataset:\n      name: %1$s\n      type: %1$s\n".formatted(quoted(dataset)));
    head.append("      split: validation\n    metrics:\n");
    for (Result result : results) {
      head.append("    - type: %s\n      name: %s\n".formatted(result.type, quoted(result.name)));
      head.append("      value: ").append(number(result.value)).append('\n');
    }
    return head.append("---\n").toString();
  }

  private String body() {
    var body = new StringBuilder("\n# ").append(text(name)).append("\n\n");
    body.append(
        "A residual network of %s, trained with resnet4j on %d images of %s%s.\n"
            .formatted(
                String.format(Locale.ROOT, "%,d parameters", parameters()),
                images,
                text(dataset),
                base.map(weights -> ", starting from " + text(weights)).orElse("")));
    body.append(
        "It takes images of %d×%d pixels and predicts %s:\n\n"
            .formatted(
                model.preprocessing().cropWidth(),
                model.preprocessing().cropHeight(),
                switch (model.task()) {
                  case Task.SingleLabel _ -> "one of %d classes".formatted(model.labels().size());
                  case Task.MultiLabel _ -> "any of %d classes".formatted(model.labels().size());
                  case Task.Regression _ -> "numbers";
                }));
    model.labels().stream()
        .limit(MAX_LABELS)
        .forEach(label -> body.append("- ").append(text(label)).append('\n'));
    if (model.labels().size() > MAX_LABELS) {
      body.append("- and %d more\n".formatted(model.labels().size() - MAX_LABELS));
    }
    body.append("\n## Results\n\n");
    if (results().isEmpty()) {
      body.append("There were no validation images.\n");
    } else {
      body.append("On %d validation images:\n\n".formatted(evaluation.count()));
      body.append("| metric | value |\n| --- | --- |\n");
      results()
          .forEach(
              result -> body.append("| %s | %s |\n".formatted(result.name, number(result.value))));
    }
    body.append("\n## Use\n\n```sh\nresnet4j classify --weights best.safetensors photo.jpg\n");
    body.append("resnet4j convert best.safetensors model.pth  # for PyTorch\n```\n");
    body.append("\n## Training\n\n");
    recipe.forEach(line -> body.append("- ").append(text(line)).append('\n'));
    return body.toString();
  }

  private long parameters() {
    return model.network().layers().parameters().stream().mapToLong(each -> each.size()).sum();
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, "%.5g", value);
  }

  /** A text in JSON, which is one in YAML, too. */
  private static String quoted(String text) {
    try {
      return JSON.std.asString(text);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A text without characters that Markdown gives a meaning. */
  private static String text(String text) {
    return text.replaceAll("\\s+", " ").replaceAll("([\\\\`*_\\[\\]<>#|])", "\\\\$1");
  }
}
