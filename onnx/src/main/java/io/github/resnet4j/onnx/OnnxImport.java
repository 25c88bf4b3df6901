package io.github.resnet4j.onnx;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.image.Preprocessing;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A residual network from an ONNX file, recognised by its structure: written by PyTorch's exporters
 * or by {@link OnnxExport}, batch norm folded or not. Every operation that the file's output
 * depends on is part of what is read; a file with any other is refused.
 *
 * <pre>{@code
 * Model model = OnnxImport.read(Path.of("model.onnx"));
 * }</pre>
 *
 * @param network with its weights
 * @param preprocessing what makes the network's input: as the file's metadata has it, if this
 *     project wrote it, or from what the graph does before its first convolution
 * @param labels from the metadata
 * @param remarks what of the graph is not in the network, a sentence each
 */
public record OnnxImport(
    ResNet network,
    Optional<Preprocessing> preprocessing,
    Optional<List<String>> labels,
    List<String> remarks) {
  /** What the file does not say. Immutable. */
  public static final class Options {
    private final boolean dropSoftmax;
    private final Optional<Preprocessing> preprocessing;

    private Options(boolean dropSoftmax, Optional<Preprocessing> preprocessing) {
      this.dropSoftmax = dropSoftmax;
      this.preprocessing = preprocessing;
    }

    /** A Softmax at the end is refused; the preprocessing is as the file shows it. */
    public static Options defaults() {
      return new Options(false, Optional.empty());
    }

    /**
     * Leaves out a Softmax, LogSoftmax or Sigmoid at the end, so that the network gives the logits
     * before it.
     */
    public Options withoutSoftmax() {
      return new Options(true, preprocessing);
    }

    /** Says how the input of the graph is made of an image, instead of the file's metadata. */
    public Options withPreprocessing(Preprocessing input) {
      return new Options(dropSoftmax, Optional.of(input));
    }
  }

  public OnnxImport {
    remarks = List.copyOf(remarks);
  }

  /** Reads a model with {@linkplain Options#defaults() default options}. */
  public static Model read(Path file) throws IOException {
    return read(file, Options.defaults());
  }

  /**
   * Reads a model, with {@linkplain Model#usualPreprocessing the usual preprocessing} and numbers
   * as labels where the file does not say them.
   *
   * @throws OnnxException naming the first operation that does not fit into a residual network, or
   *     saying what is wrong with the file
   * @throws IllegalArgumentException as {@link #model}
   * @throws IOException if it cannot be read
   */
  public static Model read(Path file, Options options) throws IOException {
    return of(file, options).model();
  }

  /**
   * Reads a network, and what else the file says.
   *
   * @throws OnnxException as {@link #read}
   * @throws IOException if it cannot be read
   */
  public static OnnxImport of(Path file, Options options) throws IOException {
    return of(OnnxReader.read(file), options, file);
  }

  /**
   * The network of a model that was read.
   *
   * @param file what errors name
   */
  static OnnxImport of(OnnxModel model, Options options, Path file) throws OnnxException {
    try {
      var graph = new OnnxGraph(model);
      var traversal = new GraphTraversal(graph, options.dropSoftmax);
      ResNetSpec spec = GraphSpecification.of(traversal.layers());
      var network = ResNet.of(spec, GraphWeights.of(spec, traversal.layers(), graph));
      var remarks = new ArrayList<String>();
      traversal
          .dropped()
          .ifPresent(node ->
              remarks.add("%s was left out: the network gives logits".formatted(node.describe())));
      return new OnnxImport(
          network,
          preprocessing(traversal.scaling(), options, model.metadata(), spec, remarks),
          labels(model.metadata(), spec),
          remarks);
    } catch (UnsupportedGraphException | IllegalArgumentException | ArithmeticException e) {
      throw new OnnxException(file, "is not a supported residual network: " + e.getMessage(), e);
    }
  }

  /**
   * The network with its preprocessing and labels; {@linkplain Model#usualPreprocessing the usual
   * one} and numbers where the file does not say them.
   *
   * @throws IllegalArgumentException if the file does not say the preprocessing, and the network
   *     does not take three channels, so that there is no usual one
   */
  public Model model() {
    ResNetSpec spec = network.spec();
    if (preprocessing.isEmpty() && spec.inChannels() != 3) {
      throw new IllegalArgumentException(
          "the file does not contain the preprocessing of the network's %d input channels; it must"
                  .formatted(spec.inChannels())
              + " be given");
    }
    return new Model(
        network,
        preprocessing.orElseGet(() -> Model.usualPreprocessing(spec)),
        labels.orElseGet(() -> Model.numbered(spec.numClasses())));
  }

  private static Optional<Preprocessing> preprocessing(
      InputScaling scaling,
      Options options,
      Map<String, String> metadata,
      ResNetSpec spec,
      List<String> remarks)
      throws UnsupportedGraphException {
    Optional<Preprocessing> noted = noted(metadata);
    if (scaling.isIdentity()) {
      return options.preprocessing.or(() -> noted);
    }
    if (options.preprocessing.isEmpty()
        && noted.isPresent()
        && noted.get().channels() == spec.inChannels()
        && scaling.isContainedIn(noted.get())) {
      return noted; // of what the first convolution takes, as OnnxExport writes it
    }
    if (!spec.includeTop()) {
      throw new UnsupportedGraphException(
          "its input is scaled by %s, which cannot be kept for a network without a head"
              .formatted(scaling.describe()));
    }
    Preprocessing usual = noted.orElseGet(() -> Model.usualPreprocessing(spec));
    remarks.add(
        ("the graph's scaling of its input, %s, became part of the preprocessing; the network"
                + " itself takes scaled values")
            .formatted(scaling.describe()));
    return Optional.of(scaling.preprocessing(options.preprocessing, usual));
  }

  private static Optional<Preprocessing> noted(Map<String, String> metadata) {
    String text = metadata.get("preprocessing");
    try {
      return text == null
          ? Optional.empty()
          : Optional.of(Preprocessing.fromFields(JSON.std.mapFrom(text)));
    } catch (IOException | IllegalArgumentException _) {
      return Optional.empty(); // somebody else's note of that name
    }
  }

  private static Optional<List<String>> labels(Map<String, String> metadata, ResNetSpec spec) {
    String text = metadata.get("labels");
    try {
      if (text != null && JSON.std.anyFrom(text) instanceof List<?> list) {
        return Optional.of(list.stream().map(String::valueOf).toList())
            .filter(labels -> spec.includeTop() && labels.size() == spec.numClasses());
      }
    } catch (IOException _) {
      // somebody else's note of that name
    }
    return Optional.empty();
  }
}
