package io.github.resnet4j.cli;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.Result;
import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.embeddings.ImageIndex;
import io.github.resnet4j.embeddings.ImageIndex.Neighbour;
import io.github.resnet4j.figures.ContactSheet;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.nn.Layer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.zip.CRC32;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
    name = "similar",
    mixinStandardHelpOptions = true,
    description = {
      "Finds the most similar images in a folder, by cosine similarity of embeddings.",
      "",
      "The embeddings are stored in an index, so that the next search only processes new and"
          + " changed images.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j similar samples/digit-6.png samples/",
      "  resnet4j similar cat.jpg photos/ --top 10 --output sheet.png",
      "  resnet4j similar cat.jpg photos/ -w my.pth --index photos.index --format csv",
    })
final class SimilarCommand implements Callable<Integer> {
  /** The number of images after which the index is saved. */
  private static final int COMMIT = 1024;

  // A strong reference: a logger that is garbage collected loses its level. Lucene's warning about
  // vectors at its start matters for searches of millions only.
  private static final Logger LUCENE = Logger.getLogger("org.apache.lucene");

  @Mixin private ModelOptions options = new ModelOptions();
  @Mixin private FeatureOptions layer = new FeatureOptions();
  @Mixin private DecodingOptions decoding = new DecodingOptions();
  @Mixin private FormatOption format = new FormatOption();

  @Option(
      names = "--top",
      paramLabel = "N",
      description = "Number of images to find; default ${DEFAULT-VALUE}.")
  @Range(min = 1, max = 10_000)
  private int top = 10;

  @Option(
      names = "--index",
      paramLabel = "DIR",
      description = "Folder of the index; default: one in the user's cache for each DIR and model.")
  @Output(folder = true)
  private @Nullable Path index;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Also draw the query and the images found on a contact sheet, .png.")
  @Output(endings = ".png")
  private @Nullable Path output;

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Parameters(index = "0", paramLabel = "QUERY", description = "Query image.")
  private Path query = Path.of("");

  @Parameters(index = "1", paramLabel = "DIR", description = "Folder to search.")
  private Path folder = Path.of("");

  @Override
  public Integer call() throws IOException {
    if (!Files.isDirectory(folder)) {
      throw new IOException(folder + ": does not exist, or is not a folder");
    }
    LUCENE.setLevel(Level.SEVERE);
    Model model = options.loadModel(preprocessing.file);
    int[] shape = layer.shape(model);
    List<Path> images = ImageFiles.find(List.of(folder.toString()));
    if (images.isEmpty()) {
      throw new IOException("no images in " + folder);
    }
    String fingerprint = fingerprint(model);
    int unreadable;
    List<Neighbour> found;
    Path indexFolder = index == null ? cacheFolder(fingerprint) : index;
    try (var imageIndex = new ImageIndex(indexFolder, fingerprint);
        var classifier = options.classifier(model, images.size(), decoding.decoder()).of(model)) {
      float[] queryFeatures;
      try (var features = layer.features(classifier, List.of(query), shape)) {
        queryFeatures = features.findFirst().orElseThrow().orElseThrow();
      }
      options.requireFinite(queryFeatures, model.network());
      if (imageIndex.wasDamaged()) {
        System.err.printf("resnet4j: %s: the index is damaged; rebuilding it%n", indexFolder);
      }
      unreadable = update(imageIndex, images, classifier, shape);
      found = imageIndex.nearest(queryFeatures, top);
    }
    var rows = new ArrayList<List<Object>>();
    for (Neighbour neighbour : found) {
      rows.add(
          List.of(
              rows.size() + 1,
              String.format(Locale.ROOT, "%.4f", neighbour.cosine()),
              folder.resolve(neighbour.path())));
    }
    new Table(List.of("rank", "cosine", "path"), rows).print(format.format, System.out);
    if (output != null) {
      FigureFile.writePng(ContactSheet.drawQuery(sheet(found)), output);
      Main.wrote(output);
    }
    return unreadable == 0 ? Main.OK : Main.SOME_UNREADABLE;
  }

  /** Updates the index to the folder; returns the number of images that could not be read. */
  private int update(ImageIndex imageIndex, List<Path> images, Classifier classifier, int[] shape)
      throws IOException {
    Map<String, String> versions = imageIndex.versions();
    var removed = new HashSet<>(versions.keySet());
    var changed = new ArrayList<Path>();
    for (Path image : images) {
      String name = folder.relativize(image).toString();
      removed.remove(name);
      if (!version(image).equals(versions.get(name))) {
        changed.add(image);
      }
    }
    for (String name : removed) {
      imageIndex.remove(name);
    }
    int unreadable = 0;
    int done = 0;
    try (var features = layer.features(classifier, changed, shape);
        var progress = new Progress("index", " images", 1)) {
      for (var each = features.iterator(); each.hasNext(); ) {
        Result<float[]> result = each.next();
        Path image = changed.get(done);
        String error =
            result.value().isPresent()
                ? put(imageIndex, image, result.value().get())
                : Reason.of(result.error().orElseThrow());
        if (error != null) {
          unreadable++;
          imageIndex.remove(folder.relativize(image).toString());
          System.err.println("resnet4j: " + error);
        }
        if (++done % COMMIT == 0) {
          imageIndex.commit();
        }
        progress.at(done, changed.size());
      }
    }
    imageIndex.commit();
    System.err.printf(
        "%,d images, %,d new or changed, %,d removed%n",
        images.size(), changed.size(), removed.size());
    return unreadable;
  }

  private @Nullable String put(ImageIndex imageIndex, Path image, float[] embedding)
      throws IOException {
    try {
      imageIndex.put(folder.relativize(image).toString(), version(image), embedding);
      return null;
    } catch (IllegalArgumentException e) {
      return image + ": " + e.getMessage();
    }
  }

  private static String version(Path image) throws IOException {
    return Files.size(image) + " " + Files.getLastModifiedTime(image).toMillis();
  }

  /**
   * Identifies the model: network, preprocessing, layer, and a checksum of the weights of its first
   * and last convolution.
   */
  private String fingerprint(Model model) {
    ResNet network = model.network();
    var crc = new CRC32();
    List<Layer.Conv2d> convolutions =
        network
            .layers()
            .walk()
            .filter(Layer.Conv2d.class::isInstance)
            .map(Layer.Conv2d.class::cast)
            .toList();
    for (Layer.Conv2d each : List.of(convolutions.getFirst(), convolutions.getLast())) {
      for (float weight : network.state().get(each.weight().name()).data()) {
        int bits = Float.floatToRawIntBits(weight);
        crc.update(bits);
        crc.update(bits >> 8);
        crc.update(bits >> 16);
        crc.update(bits >> 24);
      }
    }
    return "%s; %s; %s; %08x"
            .formatted(network.spec(), model.preprocessing(), layer.describe(), crc.getValue())
        + (decoding.decoder().exifOrientation() ? "; upright" : "");
  }

  private Path cacheFolder(String model) throws IOException {
    String home = System.getenv("XDG_CACHE_HOME");
    Path cache =
        home == null || home.isBlank()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(home);
    var crc = new CRC32();
    crc.update((folder.toRealPath() + "\n" + model).getBytes(StandardCharsets.UTF_8));
    Path indexFolder = cache.resolve("resnet4j").resolve("index-%08x".formatted(crc.getValue()));
    try {
      AtomicFile.requireWritableFolder(indexFolder);
    } catch (IOException e) {
      throw new IOException(
          "the index %s; choose another folder with --index".formatted(Reason.of(e)), e);
    }
    return indexFolder;
  }

  private List<ContactSheet.Entry> sheet(List<Neighbour> found) throws IOException {
    var entries = new ArrayList<ContactSheet.Entry>();
    entries.add(
        new ContactSheet.Entry(
            decoding.decoder().decode(query), "query", String.valueOf(query.getFileName())));
    for (Neighbour neighbour : found) {
      entries.add(
          new ContactSheet.Entry(
              decoding.decoder().decode(folder.resolve(neighbour.path())),
              String.format(Locale.ROOT, "%.3f", neighbour.cosine()),
              neighbour.path()));
    }
    return entries;
  }
}
