package io.github.resnet4j.spark;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.count;
import static org.apache.spark.sql.functions.lit;

import io.github.resnet4j.image.ImageDecoder;
import java.io.IOException;
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
 * Images in, a table of what they show out: the job of {@code resnet4j spark-classify}. Its
 * signatures know nothing of Spark, so that a command line without Spark can speak of it.
 *
 * @param input a folder of images, or what {@code from} reads
 * @param output a folder that must not exist yet
 * @param from how the input is read: {@code binaryFile} for a folder or pattern of images, {@code
 *     image}, or a table: {@code parquet}, {@code orc}, {@code json}, {@code delta}; {@code text}
 *     for paths, one a line
 * @param column that holds the images, bytes or paths; empty for the usual one of {@code from}
 * @param to how the output is written: {@code parquet}, {@code orc}, {@code json}, {@code delta}
 * @param overwrite whether an output that exists is replaced
 * @param model as {@link ResNetTransformer#model}
 * @param weights as {@link ResNetTransformer#weights}
 * @param top classes to name
 * @param embedding whether to add embeddings
 * @param batch images that run together
 * @param precision what is calculated with
 * @param maxPixels larger images are errors
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
    long maxPixels) {
  /** The images' endings, each letter in both cases: {@code *.{[pP][nN][gG],…}}. */
  private static final String IMAGES =
      ImageDecoder.EXTENSIONS.stream()
          .map(ClassifyJob::inBothCases)
          .collect(Collectors.joining(",", "*.{", "}"));

  /**
   * What came of it.
   *
   * @param images rows of the output
   * @param unreadable those with an error
   */
  public record Outcome(long images, long unreadable) {}

  /**
   * Runs to the end.
   *
   * @param master where, as {@code spark-submit --master} says it; empty if Spark knows already
   * @throws IllegalArgumentException if the input is not there, or the output is
   */
  public Outcome run(String master) {
    try (SparkSession spark = Sessions.open("resnet4j spark-classify", master)) {
      var transformer =
          new ResNetTransformer()
              .setModel(model)
              .setWeights(weights)
              .setTopK(top)
              .setEmbedding(embedding)
              .setBatchSize(batch)
              .setPrecision(precision)
              .setMaxPixels(maxPixels)
              .setInputCol(images());
      Dataset<Row> said = transformer.transform(read(spark));
      Dataset<Row> kept = withoutImages(said);
      var observed = new Observation("images");
      kept.observe(
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
    } catch (Exception e) { // Scala throws checked ones undeclared
      throw mistake(e);
    }
  }

  private String images() {
    return !column.isEmpty()
        ? column
        : switch (from) {
          case "image" -> "image";
          case "text" -> "path";
          default -> "content";
        };
  }

  /** The rows with their images, as {@code from} names them. */
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
   * The answers without the images' data, with the paths they came from: Spark's images know theirs
   * as {@code origin}.
   */
  Dataset<Row> withoutImages(Dataset<Row> answers) {
    String images = images();
    return switch (answers.schema().apply(images).dataType()) {
      case StringType _ -> answers;
      case StructType _ when answers.schema().getFieldIndex("origin").isEmpty() ->
          answers.withColumn("origin", answers.col(images).getField("origin")).drop(images);
      default -> answers.drop(images);
    };
  }

  /**
   * Spark passes over files of zero bytes; here each is a row, whose error says that it is empty.
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

  /** By Spark's rules: what begins with a dot or an underscore is hidden. */
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

  /** The files and folders that the input names. */
  private List<FileStatus> found(SparkSession spark) throws IOException {
    FileStatus[] found = fileSystem(spark).globStatus(new Path(input));
    return found == null ? List.of() : List.of(found); // null where a pattern matches nothing
  }

  private static String inBothCases(String ending) {
    return ending
        .chars()
        .mapToObj(c -> "[%c%c]".formatted(c, Character.toUpperCase(c)))
        .collect(Collectors.joining());
  }

  /** What a user did wrong, in one line; anything else as it is. */
  private static RuntimeException mistake(Exception e) {
    if (e instanceof AnalysisException) {
      return new IllegalArgumentException(
          String.valueOf(e.getMessage()).lines().findFirst().orElse(e.toString()), e);
    }
    return e instanceof RuntimeException known ? known : new IllegalStateException(e);
  }
}
