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
 * Imports residual networks from ONNX files, as PyTorch's exporters and {@link OnnxExport} write
 * them, with or without folded batch norm. The network is recognized by the structure of the graph;
 * a file with any other operation that its output depends on is rejected.
 *
 * <pre>{@code
 * Model imported = OnnxImport.read(Path.of("model.onnx"));
 * }</pre>
 *
 * @param network the network with its weights
 * @param preprocessing the preprocessing, from the metadata that {@link OnnxExport} writes or from
 *     the operations before the first convolution; empty if the file contains neither
 * @param labels the class names from the metadata, if present
 * @param remarks one sentence for each part of the graph that is not in the network
 */
public record OnnxImport(
    ResNet network,
    Optional<Preprocessing> preprocessing,
    Optional<List<String>> labels,
    List<String> remarks) {
  /** The options of an import. Immutable. */
  public static final class Options {
    private final boolean dropSoftmax;
    private final Optional<Preprocessing> preprocessing;

    private Options(boolean dropSoftmax, Optional<Preprocessing> preprocessing) {
      this.dropSoftmax = dropSoftmax;
      this.preprocessing = preprocessing;
    }

    /**
     * The default options: a Softmax at the end is rejected; the preprocessing is taken from the
     * file.
     */
    public static Options defaults() {
      return new Options(false, Optional.empty());
    }

    /**
     * Omits a Softmax, LogSoftmax or Sigmoid at the end, so that the output of the network is
     * logits.
     */
    public Options withoutSoftmax() {
      return new Options(true, preprocessing);
    }

    /** Specifies the preprocessing for the input of the graph, instead of the file's metadata. */
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
   * Reads a model. If the file does not contain the preprocessing or the labels, they are
   * {@linkplain Model#usualPreprocessing the default preprocessing} and numbers.
   *
   * @throws OnnxException if the file is not valid, or not a supported residual network; the
   *     message names the first unsupported operation
   * @throws IllegalArgumentException under the same condition as in {@link #model}
   * @throws IOException if it cannot be read
   */
  public static Model read(Path file, Options options) throws IOException {
    return of(file, options).model();
  }

  /**
   * Reads a network with its preprocessing, labels and remarks.
   *
   * @throws OnnxException under the same conditions as in {@link #read}
   * @throws IOException if it cannot be read
   */
  public static OnnxImport of(Path file, Options options) throws IOException {
    return of(OnnxReader.read(file), options, file);
  }

  /**
   * Converts an ONNX model.
   *
   * @param file the file for error messages
   */
  static OnnxImport of(OnnxModel model, Options options, Path file) throws OnnxException {
    try {
      var graph = new OnnxGraph(model);
      var traversal = new GraphTraversal(graph, options.dropSoftmax);
      ResNetSpec spec = GraphSpecification.of(traversal.layers());
      var network = ResNet.of(spec, GraphWeights.of(spec, traversal.layers(), graph));
      var remarks = new ArrayList<String>();
      traversal
          .omitted()
          .ifPresent(end ->
              remarks.add(
                  "%s was omitted; the output of the network is %s"
                      .formatted(end.node().describe(), end.output())));
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
   * Returns the network with its preprocessing and labels; if the file does not contain them, with
   * {@linkplain Model#usualPreprocessing the default preprocessing} and numbers.
   *
   * @throws IllegalArgumentException if the file does not contain the preprocessing and the network
   *     does not have three input channels, so that there is no default
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
    Optional<Preprocessing> fromMetadata = fromMetadata(metadata);
    if (scaling.isIdentity()) {
      return options.preprocessing.or(() -> fromMetadata);
    }
    if (options.preprocessing.isEmpty()
        && fromMetadata.isPresent()
        && fromMetadata.get().channels() == spec.inChannels()
        && scaling.isContainedIn(fromMetadata.get())) {
      return fromMetadata; // it already contains the scaling, as OnnxExport writes it
    }
    if (!spec.includeTop()) {
      throw new UnsupportedGraphException(
          "its input is scaled by %s, which cannot be kept for a network without a head"
              .formatted(scaling.describe()));
    }
    Preprocessing usual = fromMetadata.orElseGet(() -> Model.usualPreprocessing(spec));
    remarks.add(
        ("the scaling of the graph's input, %s, is now part of the preprocessing; the input of the"
                + " network is scaled values")
            .formatted(scaling.describe()));
    return Optional.of(scaling.preprocessing(options.preprocessing, usual));
  }

  private static Optional<Preprocessing> fromMetadata(Map<String, String> metadata) {
    String text = metadata.get("preprocessing");
    try {
      return text == null
          ? Optional.empty()
          : Optional.of(Preprocessing.fromFields(JSON.std.mapFrom(text)));
    } catch (IOException | IllegalArgumentException _) {
      return Optional.empty(); // metadata of another program
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
      // metadata of another program
    }
    return Optional.empty();
  }
}
