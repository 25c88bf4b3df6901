package io.github.resnet4j.spark;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.count;
import static org.apache.spark.sql.functions.lit;

import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.image.ImageDecoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.AnalysisException;
import org.apache.spark.sql.DataFrameReader;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Observation;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SaveMode;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructType;

/**
 * The job of {@code resnet4j spark-classify}: classifies images and writes a table of predictions.
 * Its public signatures contain no Spark types, so the command line can be loaded without Spark.
 *
 * @param input the input path: a folder of images, or any path that {@code from} supports
 * @param output the output folder; it must not exist unless {@code overwrite} is set
 * @param from the input format: {@code binaryFile} for a folder or a glob pattern of images, {@code
 *     image}, a table format such as {@code parquet}, {@code orc}, {@code json} or {@code delta},
 *     or {@code text} for one path per line
 * @param column the column with the images, as bytes or paths; empty for the default of {@code
 *     from}
 * @param to the output format, such as {@code parquet}, {@code orc}, {@code json} or {@code delta}
 * @param overwrite whether an existing output is replaced
 * @param model as {@link ResNetTransformer#model}
 * @param weights as {@link ResNetTransformer#weights}
 * @param top the number of classes per image
 * @param embedding whether to add embeddings
 * @param batch the batch size
 * @param precision the precision of inference, as {@link ResNetTransformer#setPrecision}
 * @param engine the engine and its provider, as {@link ResNetTransformer#setEngine}
 * @param maxPixels the maximum number of pixels of an image; larger images give an error
 */
public record ClassifyJob(
    String input,
    String output,
    String from,
    String column,
    String to,
    boolean overwrite,
    String model,
    String weights,
    int top,
    boolean embedding,
    int batch,
    String precision,
    EngineChoice engine,
    long maxPixels) {
  /** A glob pattern of the image file extensions, case-insensitive: {@code *.{[pP][nN][gG],…}}. */
  private static final String IMAGES =
      ImageDecoder.EXTENSIONS.stream()
          .map(ClassifyJob::inBothCases)
          .collect(Collectors.joining(",", "*.{", "}"));

  /**
   * The result of a job.
   *
   * @param images the number of rows in the output
   * @param unreadable the number of rows with an error
   */
  public record Outcome(long images, long unreadable) {}

  /**
   * Runs the job.
   *
   * @param master the Spark master URL; empty to use Spark's configuration
   * @throws IllegalArgumentException if the input does not exist, the output exists and is not to
   *     be replaced, or the executors do not have the engine
   */
  public Outcome run(String master) {
    try (SparkSession spark = Sessions.open("resnet4j spark-classify", master)) {
      return write(spark);
    } catch (IOException e) { // of closing the session
      throw new UncheckedIOException(e);
    }
  }

  /** Runs the job in a session. */
  Outcome write(SparkSession spark) {
    try {
      var transformer =
          new ResNetTransformer()
              .setModel(model)
              .setWeights(weights)
              .setTopK(top)
              .setEmbedding(embedding)
              .setBatchSize(batch)
              .setPrecision(precision)
              .setEngine(engine.name())
              .setProvider(engine.provider())
              .setMaxPixels(maxPixels)
              .setInputCol(imageColumn());
      if (!engine.equals(EngineChoice.RESNET4J)) {
        // The driver has the jars of the executors: it reports a missing one before any task runs.
        transformer.request(spark, embedding).open().close();
      }
      Dataset<Row> predictions = transformer.transform(read(spark));
      Dataset<Row> table = withoutImages(predictions);
      var observed = new Observation("images");
      table
          .observe(
              observed,
              count(lit(1)).as("all"),
              count(col(transformer.outputColumn() + ".error")).as("unreadable"))
          .write()
          .format(to)
          .mode(overwrite ? SaveMode.Overwrite : SaveMode.ErrorIfExists)
          .save(output);
      Map<String, Object> counts = observed.getAsJava();
      return new Outcome(
          ((Number) counts.getOrDefault("all", 0L)).longValue(),
          ((Number) counts.getOrDefault("unreadable", 0L)).longValue());
    } catch (Exception e) { // Scala throws checked exceptions without declaring them
      throw toRuntimeException(e);
    }
  }

  private String imageColumn() {
    return !column.isEmpty()
        ? column
        : switch (from) {
          case "image" -> "image";
          case "text" -> "path";
          default -> "content";
        };
  }

  /** Reads the input with the format {@code from}. */
  Dataset<Row> read(SparkSession spark) throws IOException {
    DataFrameReader reader = spark.read().format(from);
    return switch (from) {
      case "binaryFile" -> {
        List<FileStatus> found = found(spark);
        boolean folder = found.size() == 1 && found.getFirst().isDirectory();
        if (folder) {
          reader.option("recursiveFileLookup", true).option("pathGlobFilter", IMAGES);
        }
        yield withEmptyFiles(
            reader.load(input),
            found,
            file ->
                RowFactory.create(
                    file.getPath().toString(),
                    new Timestamp(file.getModificationTime()),
                    0L,
                    new byte[0]),
            folder);
      }
      case "image" ->
          withEmptyFiles(
              reader.option("dropInvalid", false).load(input),
              found(spark),
              file ->
                  RowFactory.create(
                      RowFactory.create(file.getPath().toString(), -1, -1, -1, -1, new byte[0])),
              false);
      case "text" -> reader.load(input).withColumnRenamed("value", "path");
      default -> reader.load(input);
    };
  }

  /**
   * Removes the images' data from the results and keeps their paths; for Spark's image source the
   * path is the field {@code origin}.
   */
  Dataset<Row> withoutImages(Dataset<Row> results) {
    String images = imageColumn();
    return switch (results.schema().apply(images).dataType()) {
      case StringType _ -> results;
      case StructType _ when results.schema().getFieldIndex("origin").isEmpty() ->
          results.withColumn("origin", results.col(images).getField("origin")).drop(images);
      default -> results.drop(images);
    };
  }

  /**
   * Adds a row for each empty file, since Spark's sources skip empty files; its error says that the
   * file is empty.
   */
  private Dataset<Row> withEmptyFiles(
      Dataset<Row> files, List<FileStatus> found, Function<FileStatus, Row> row, boolean recursive)
      throws IOException {
    var empty = new ArrayList<Row>();
    for (FileStatus each : found) {
      if (each.isDirectory()) {
        addEmpty(fileSystem(files.sparkSession()), each.getPath(), row, recursive, empty);
      } else if (each.getLen() == 0) {
        empty.add(row.apply(each));
      }
    }
    return empty.isEmpty()
        ? files
        : files.union(files.sparkSession().createDataFrame(empty, files.schema()));
  }

  /** Adds rows for empty files; like Spark, skips names that begin with a dot or an underscore. */
  private static void addEmpty(
      FileSystem system,
      Path folder,
      Function<FileStatus, Row> row,
      boolean recursive,
      List<Row> empty)
      throws IOException {
    for (FileStatus each : system.listStatus(folder)) {
      String name = each.getPath().getName();
      if (name.startsWith(".") || name.startsWith("_")) {
        continue;
      }
      if (!each.isDirectory()) {
        if (each.getLen() == 0 && (!recursive || ImageDecoder.isImageName(name))) {
          empty.add(row.apply(each));
        }
      } else if (recursive) {
        addEmpty(system, each.getPath(), row, true, empty);
      }
    }
  }

  private FileSystem fileSystem(SparkSession spark) throws IOException {
    return new Path(input).getFileSystem(spark.sparkContext().hadoopConfiguration());
  }

  /** The files and folders that match the input path. */
  private List<FileStatus> found(SparkSession spark) throws IOException {
    FileStatus[] found = fileSystem(spark).globStatus(new Path(input));
    return found == null ? List.of() : List.of(found); // null if a pattern matches nothing
  }

  private static String inBothCases(String ending) {
    return ending
        .chars()
        .mapToObj(c -> "[%c%c]".formatted(c, Character.toUpperCase(c)))
        .collect(Collectors.joining());
  }

  /**
   * Converts errors that the user can correct to a one-line message: Spark's analysis errors, and
   * arguments that a task rejects, such as an engine that the executor does not have.
   */
  private static RuntimeException toRuntimeException(Exception e) {
    if (e instanceof AnalysisException) {
      return new IllegalArgumentException(
          String.valueOf(e.getMessage()).lines().findFirst().orElse(e.toString()), e);
    }
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      if (cause instanceof IllegalArgumentException rejected) {
        return rejected;
      }
    }
    return e instanceof RuntimeException known ? known : new IllegalStateException(e);
  }
}
