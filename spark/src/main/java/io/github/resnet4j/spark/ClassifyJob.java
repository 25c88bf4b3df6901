package io.github.resnet4j.spark;

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.count;
import static org.apache.spark.sql.functions.lit;

import io.github.resnet4j.image.ImageDecoder;
import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.AnalysisException;
import org.apache.spark.sql.DataFrameReader;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Observation;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SaveMode;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;

/**
 * Pictures in, a table of what they show out: the job of {@code resnet4j spark-classify}. Its
 * signatures know nothing of Spark, so that a command line without Spark can speak of it.
 *
 * @param input a folder of pictures, or what {@code from} reads
 * @param output a folder that must not exist yet
 * @param from how the input is read: {@code binaryFile} for a folder or pattern of pictures, {@code
 *     image}, or a table: {@code parquet}, {@code orc}, {@code json}, {@code delta}; {@code text}
 *     for paths, one a line
 * @param column that holds the pictures, bytes or paths; empty for the usual one of {@code from}
 * @param to how the output is written: {@code parquet}, {@code orc}, {@code json}, {@code delta}
 * @param overwrite whether an output that exists is replaced
 * @param model as {@link ResNetTransformer#model}
 * @param weights as {@link ResNetTransformer#weights}
 * @param top classes to name
 * @param embedding whether to add embeddings
 * @param batch pictures that run together
 * @param precision what is calculated with
 * @param maxPixels larger pictures are errors
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
  /** Hadoop's patterns know no case: all small or all capital. */
  private static final String PICTURES =
      ImageDecoder.ENDINGS.stream()
          .flatMap(ending -> Stream.of(ending, ending.toUpperCase(Locale.ROOT)))
          .collect(Collectors.joining(",", "*.{", "}"));

  /**
   * What came of it.
   *
   * @param pictures rows of the output
   * @param unreadable those with an error
   */
  public record Outcome(long pictures, long unreadable) {}

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
              .setInputCol(pictures());
      Dataset<Row> said = transformer.transform(read(spark));
      // Paths are worth keeping, pictures are not: they are where they came from.
      Dataset<Row> kept =
          said.schema().apply(pictures()).dataType().equals(DataTypes.StringType)
              ? said
              : said.drop(pictures());
      var observed = new Observation("pictures");
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

  private String pictures() {
    return !column.isEmpty()
        ? column
        : switch (from) {
          case "image" -> "image";
          case "text" -> "path";
          default -> "content";
        };
  }

  private Dataset<Row> read(SparkSession spark) throws IOException {
    DataFrameReader reader = spark.read().format(from);
    return switch (from) {
      case "binaryFile" ->
          (isFolder(spark)
                  ? reader.option("recursiveFileLookup", true).option("pathGlobFilter", PICTURES)
                  : reader)
              .load(input);
      case "image" -> reader.option("dropInvalid", false).load(input);
      case "text" -> reader.load(input).withColumnRenamed("value", "path");
      default -> reader.load(input);
    };
  }

  private boolean isFolder(SparkSession spark) throws IOException {
    var path = new Path(input);
    FileStatus[] found = // null, not an exception, where a pattern matches nothing
        path.getFileSystem(spark.sparkContext().hadoopConfiguration()).globStatus(path);
    return found != null && found.length == 1 && found[0].isDirectory();
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
