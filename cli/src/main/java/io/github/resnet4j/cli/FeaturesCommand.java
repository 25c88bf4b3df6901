package io.github.resnet4j.cli;

import io.github.resnet4j.Model;
import io.github.resnet4j.Result;
import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.CheckpointWriter;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.embeddings.ParquetFeatures;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Workload(Workload.Kind.PREDICTION)
@Command(
    name = "features",
    mixinStandardHelpOptions = true,
    description = {
      "Extracts features of images: embeddings, or feature maps of a layer.",
      "",
      "Formats: jsonl (one line per image, also on stdout), parquet (columns path, features,"
          + " error), npy (one array, and NAME.paths.txt with one path per row), safetensors"
          + " (the tensor 'features' and the paths; all in memory until it is written).",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j features samples/ > features.jsonl",
      "  resnet4j features photos/ -w resnet50.pth -o embeddings.parquet",
      "  resnet4j features photos/ -w resnet50.pth --layer layer3 -o maps.npy",
    })
final class FeaturesCommand implements Callable<Integer> {
  @Mixin private ModelOptions options = new ModelOptions();

  @Mixin private EngineOptions engine = new EngineOptions();
  @Mixin private FeatureOptions layer = new FeatureOptions();
  @Mixin private OutputStrideOption outputStride = new OutputStrideOption();
  @Mixin private DecodingOptions decoding = new DecodingOptions();

  @Mixin private PreprocessingOption preprocessing = new PreprocessingOption();

  @Option(
      names = {"-f", "--format"},
      paramLabel = "FORMAT",
      description =
          "npy, safetensors, parquet or jsonl; default: by the extension of --output, or jsonl.")
  private @Nullable Format format;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Output file; without it jsonl goes to stdout.")
  @Output
  private @Nullable Path output;

  @Parameters(
      arity = "1..*",
      paramLabel = "PATH",
      description = "Images, folders, patterns such as '*.jpg', or - to read paths from stdin.")
  private List<String> paths = List.of();

  enum Format {
    NPY,
    SAFETENSORS,
    PARQUET,
    JSONL
  }

  /** Writes features in one of the formats. */
  private interface Sink extends AutoCloseable {
    void add(String path, float[] features) throws IOException;

    default void addError(String path, String error) throws IOException {}

    void complete() throws IOException;

    @Override
    default void close() throws IOException {}
  }

  @Override
  public Integer call() throws IOException {
    Format chosen = format();
    List<Path> images = ImageFiles.find(paths);
    if (images.isEmpty()) {
      throw new IOException("no images in " + String.join(", ", paths));
    }
    Model loaded = options.loadModel(preprocessing.file);
    Model model = loaded.withNetwork(outputStride.apply(loaded.network()));
    int[] shape = layer.shape(model);
    int unreadable = 0;
    int done = 0;
    try (var classifier =
            options
                .classifier(model, images.size(), decoding.decoder())
                .engine(engine.choice())
                .of(model);
        Sink sink = sink(chosen, shape);
        var features = layer.features(classifier, images, shape);
        var progress = new Progress("features", " images", 1)) {
      for (var each = features.iterator(); each.hasNext(); ) {
        Result<float[]> result = each.next();
        if (result.value().isPresent()) {
          options.requireFinite(result.value().get(), model.network());
          sink.add(result.name(), result.value().get());
        } else {
          unreadable++;
          String error = Reason.of(result.error().orElseThrow());
          System.err.println("resnet4j: " + error);
          sink.addError(result.name(), error);
        }
        progress.at(++done, images.size());
        if (System.out.checkError()) {
          break;
        }
      }
      if (unreadable == images.size()) {
        return Main.FAILED;
      }
      sink.complete();
    }
    if (output != null) {
      Main.wrote(output);
    }
    return unreadable == 0 ? Main.OK : Main.SOME_UNREADABLE;
  }

  private Format format() {
    if (format != null && (output != null || format == Format.JSONL)) {
      return format;
    }
    if (output == null) {
      if (format != null) {
        throw new UsageException("--format " + format + " needs a file: --output");
      }
      return Format.JSONL;
    }
    String name = output.toString().toUpperCase(Locale.ROOT);
    return Arrays.stream(Format.values())
        .filter(each -> name.endsWith("." + each))
        .findFirst()
        .orElseThrow(() ->
            new UsageException(
                "without --format, --output must end in .npy, .safetensors, .parquet or .jsonl, was"
                    + " '%s'".formatted(output)));
  }

  private Sink sink(Format chosen, int[] shape) throws IOException {
    if (output == null) {
      return new Lines(shape);
    }
    return new Named(
        output,
        switch (chosen) {
          case JSONL -> new LinesOfFile(output, shape);
          case NPY -> new Rows(output, shape);
          case SAFETENSORS -> new Whole(output, shape);
          case PARQUET -> new Columns(output, shape);
        });
  }

  /** Adds the name of the file to errors of writing, such as a full disk. */
  private record Named(Path file, Sink sink) implements Sink {
    private interface Writing {
      void run() throws IOException;
    }

    private void write(Writing writing) throws IOException {
      try {
        writing.run();
      } catch (CheckpointException e) { // names its file
        throw e;
      } catch (IOException e) {
        throw new CheckpointException(file, "cannot be written: " + Reason.withoutFile(e), e);
      }
    }

    @Override
    public void add(String path, float[] features) throws IOException {
      write(() -> sink.add(path, features));
    }

    @Override
    public void addError(String path, String error) throws IOException {
      write(() -> sink.addError(path, error));
    }

    @Override
    public void complete() throws IOException {
      write(sink::complete);
    }

    @Override
    public void close() throws IOException {
      write(sink::close);
    }
  }

  private static String line(String path, float[] features, int[] shape) throws IOException {
    return Table.jsonLine(List.of("path", "shape", "features"), List.of(path, shape, features));
  }

  private static String errorLine(String path, String error) throws IOException {
    return Table.jsonLine(List.of("path", "error"), List.of(path, error));
  }

  /** JSON lines on stdout. */
  private record Lines(int[] shape) implements Sink {
    @Override
    public void add(String path, float[] features) throws IOException {
      System.out.println(line(path, features, shape));
    }

    @Override
    public void addError(String path, String error) throws IOException {
      System.out.println(errorLine(path, error));
    }

    @Override
    public void complete() {}
  }

  /** JSON lines in a file, which gets its name only when it is complete. */
  private static final class LinesOfFile implements Sink {
    private final AtomicFile file;
    private final int[] shape;
    private final Writer out;

    LinesOfFile(Path file, int[] shape) throws IOException {
      this.file = new AtomicFile(file);
      this.shape = shape;
      this.out = new OutputStreamWriter(this.file.open(), StandardCharsets.UTF_8);
    }

    @Override
    public void add(String path, float[] features) throws IOException {
      out.append(line(path, features, shape)).append('\n');
    }

    @Override
    public void addError(String path, String error) throws IOException {
      out.append(errorLine(path, error)).append('\n');
    }

    @Override
    public void complete() throws IOException {
      out.close();
      file.complete();
    }

    @Override
    public void close() throws IOException {
      try (file) {
        out.close();
      }
    }
  }

  /** The rows of a .npy array, and a text file with their paths. */
  private static final class Rows implements Sink {
    private final Path file;
    private final List<String> names = new ArrayList<>();
    private final Npy.Rows rows;

    Rows(Path file, int[] shape) throws IOException {
      this.file = file;
      this.rows = new Npy.Rows(file, shape);
    }

    @Override
    public void add(String path, float[] features) throws IOException {
      rows.add(features);
      names.add(path);
    }

    @Override
    public void complete() throws IOException {
      String name = file.getFileName().toString().replaceFirst("\\.npy$", "");
      AtomicFile.write(
          file.resolveSibling(name + ".paths.txt"),
          out -> {
            for (String each : names) {
              out.write((each + "\n").getBytes(StandardCharsets.UTF_8));
            }
          });
      rows.complete();
    }

    @Override
    public void close() throws IOException {
      rows.close();
    }
  }

  /** A safetensors file with one tensor, written at the end. */
  private record Whole(Path file, int[] shape, List<String> names, List<float[]> rows)
      implements Sink {
    Whole(Path file, int[] shape) {
      this(file, shape, new ArrayList<>(), new ArrayList<>());
    }

    @Override
    public void add(String path, float[] features) {
      names.add(path);
      rows.add(features);
    }

    @Override
    public void complete() throws IOException {
      int[] whole = new int[shape.length + 1];
      whole[0] = rows.size();
      System.arraycopy(shape, 0, whole, 1, shape.length);
      Tensor tensor = Tensor.zeros(whole);
      int at = 0;
      for (float[] row : rows) {
        System.arraycopy(row, 0, tensor.data(), at, row.length);
        at += row.length;
      }
      var tensors = new LinkedHashMap<String, StoredTensor>();
      tensors.put("features", StoredTensor.of(tensor));
      CheckpointWriter.write(file, tensors, Map.of("paths", names));
    }
  }

  /** Rows of a Parquet file. */
  private static final class Columns implements Sink {
    private final ParquetFeatures features;

    Columns(Path file, int[] shape) throws IOException {
      features = new ParquetFeatures(file, Map.of("shape", Arrays.toString(shape)));
    }

    @Override
    public void add(String path, float[] row) throws IOException {
      features.add(path, row);
    }

    @Override
    public void addError(String path, String error) throws IOException {
      features.addError(path, error);
    }

    @Override
    public void complete() throws IOException {
      features.complete();
    }

    @Override
    public void close() throws IOException {
      features.close();
    }
  }
}
