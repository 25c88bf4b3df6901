package io.github.resnet4j.spark;

import io.github.resnet4j.Model;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.image.ImageDecoder;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.MapPartitionsFunction;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.ml.Transformer;
import org.apache.spark.ml.param.BooleanParam;
import org.apache.spark.ml.param.IntParam;
import org.apache.spark.ml.param.LongParam;
import org.apache.spark.ml.param.Param;
import org.apache.spark.ml.param.ParamMap;
import org.apache.spark.ml.util.DefaultParamsReadable;
import org.apache.spark.ml.util.DefaultParamsWritable;
import org.apache.spark.ml.util.Identifiable$;
import org.apache.spark.ml.util.MLReader;
import org.apache.spark.ml.util.MLWriter;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.Metadata;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.util.SerializableConfiguration;
import org.apache.spark.util.TaskCompletionListener;
import org.jspecify.annotations.Nullable;

/**
 * Says what is on the images of a column: a Spark ML {@link Transformer}, for batch jobs, pipelines
 * and streams.
 *
 * <pre>{@code
 * var said = new ResNetTransformer()
 *     .setWeights("hdfs:///models/flowers.safetensors")
 *     .transform(spark.read().format("binaryFile").load("hdfs:///photos"));
 * said.select("path", "prediction.labels", "prediction.error").write().parquet("hdfs:///said");
 * }</pre>
 *
 * <p>It adds a column of {@link #predictionType}: {@code labels} and {@code probabilities}, best
 * first, {@code embedding}, and {@code error}. An image that cannot be read is a row with an error
 * and nothing else, never a failed job. A network without a head has embeddings, but no labels.
 *
 * <p>The weights are broadcast: an executor fetches them once, and packs them once for all of its
 * tasks. Each task computes on as many threads as {@code spark.task.cpus} grants. A partition
 * streams through: memory does not grow with it.
 */
public final class ResNetTransformer extends Transformer implements DefaultParamsWritable {
  private static final long serialVersionUID = 1;

  /** {@code hdfs:}, {@code s3a:}, {@code file:}; neither {@code hf:} nor a drive's letter. */
  private static final Pattern HAS_SCHEME = Pattern.compile("^(?!hf:)[a-z][a-z0-9+.-]+:");

  private static final String FILE = "model.safetensors";

  private final String uid;
  private final Param<String> inputCol;
  private final Param<String> outputCol;
  private final Param<String> model;
  private final Param<String> weights;
  private final IntParam topK;
  private final BooleanParam embedding;
  private final IntParam batchSize;
  private final Param<String> precision;
  private final LongParam maxPixels;

  /** What was given instead of names. */
  private transient @Nullable Model classifier;

  /** Whether the parameters do not say which model it is. */
  private boolean given;

  private transient @Nullable Broadcast<SharedModel.Wire> broadcast;
  private transient List<Object> broadcastNames = List.of();

  /** With the embedded model, five classes, no embedding; column {@code content}. */
  public ResNetTransformer() {
    this(Identifiable$.MODULE$.randomUID("resnet"));
  }

  /** The same under a name of its own, as Spark ML wants it. */
  @SuppressWarnings("this-escape") // Params are made so
  public ResNetTransformer(String uid) {
    this.uid = uid; // before the parameters, which are called by it
    this.inputCol =
        new Param<>(
            this,
            "inputCol",
            "the images: bytes of files (binary), paths (string), or source image's struct");
    this.outputCol = new Param<>(this, "outputCol", "what is said of them, a struct");
    this.model =
        new Param<>(
            this, "model", "a network that 'resnet4j models' lists; empty: as the weights say");
    this.weights =
        new Param<>(
            this,
            "weights",
            "DEFAULT or another published name, hf:owner/name, or a file, on any file system that"
                + " Hadoop knows; empty: the embedded model, handwritten digits");
    this.topK = new IntParam(this, "topK", "classes to name; 0 for none, where embeddings are all");
    this.embedding =
        new BooleanParam(this, "embedding", "whether to add the last stage's mean over all pixels");
    this.batchSize = new IntParam(this, "batchSize", "images that run together");
    this.precision = new Param<>(this, "precision", "fp32, bf16, int8 or auto");
    this.maxPixels = new LongParam(this, "maxPixels", "larger images are errors");
    setDefault(inputCol, "content");
    setDefault(outputCol, "prediction");
    setDefault(model, "");
    setDefault(weights, "");
    setDefault(topK, 5);
    setDefault(embedding, false);
    setDefault(batchSize, 16);
    setDefault(precision, "fp32");
    setDefault(maxPixels, ImageDecoder.DEFAULT_MAX_PIXELS);
  }

  @Override
  public String uid() {
    return uid;
  }

  public Param<String> inputCol() {
    return inputCol;
  }

  public Param<String> outputCol() {
    return outputCol;
  }

  public Param<String> model() {
    return model;
  }

  public Param<String> weights() {
    return weights;
  }

  public IntParam topK() {
    return topK;
  }

  public BooleanParam embedding() {
    return embedding;
  }

  public IntParam batchSize() {
    return batchSize;
  }

  public Param<String> precision() {
    return precision;
  }

  public LongParam maxPixels() {
    return maxPixels;
  }

  public ResNetTransformer setInputCol(String value) {
    set(inputCol, value);
    return this;
  }

  public ResNetTransformer setOutputCol(String value) {
    set(outputCol, value);
    return this;
  }

  public ResNetTransformer setModel(String value) {
    set(model, value);
    return this;
  }

  public ResNetTransformer setWeights(String value) {
    set(weights, value);
    return this;
  }

  public ResNetTransformer setTopK(int value) {
    set(topK, check("topK", value, 0));
    return this;
  }

  public ResNetTransformer setEmbedding(boolean value) {
    set(embedding, value);
    return this;
  }

  public ResNetTransformer setBatchSize(int value) {
    set(batchSize, check("batchSize", value, 1));
    return this;
  }

  /**
   * What is calculated with.
   *
   * @throws IllegalArgumentException listing the precisions there are
   */
  public ResNetTransformer setPrecision(String value) {
    precisionOf(value);
    set(precision, value);
    return this;
  }

  public ResNetTransformer setMaxPixels(long value) {
    set(maxPixels, value);
    return this;
  }

  private static int check(String name, int value, int least) {
    if (value < least) {
      throw new IllegalArgumentException(
          "%s must be at least %d, was %d".formatted(name, least, value));
    }
    return value;
  }

  private static Precision precisionOf(String name) {
    return Arrays.stream(Precision.values())
        .filter(each -> each.name().equals(name.toUpperCase(Locale.ROOT)))
        .findFirst()
        .orElseThrow(() ->
            new IllegalArgumentException(
                "precision must be fp32, bf16, int8 or auto, was '%s'".formatted(name)));
  }

  /** A model that is at hand, instead of {@link #setModel} and {@link #setWeights}. */
  public ResNetTransformer setClassifier(Model value) {
    classifier = value;
    given = true;
    broadcast = null;
    return this;
  }

  /**
   * What is added to each row: {@code struct<labels: array<string>, probabilities: array<float>,
   * embedding: array<float>, error: string>}.
   */
  public static StructType predictionType() {
    return new StructType()
        .add("labels", DataTypes.createArrayType(DataTypes.StringType, false))
        .add("probabilities", DataTypes.createArrayType(DataTypes.FloatType, false))
        .add("embedding", DataTypes.createArrayType(DataTypes.FloatType, false))
        .add("error", DataTypes.StringType);
  }

  /**
   * {@inheritDoc}
   *
   * @throws IllegalArgumentException if there is no such input column, it holds no images, or the
   *     output column is there already
   */
  @Override
  public StructType transformSchema(StructType schema) {
    ImageColumn.of(input(), schema.apply(column(schema)).dataType());
    String output = outputColumn();
    if (schema.getFieldIndex(output).isDefined()) {
      throw new IllegalArgumentException("there is a column '%s' already".formatted(output));
    }
    return schema.add(new StructField(output, predictionType(), false, Metadata.empty()));
  }

  String outputColumn() {
    return (String) getOrDefault(outputCol);
  }

  private String input() {
    return (String) getOrDefault(inputCol);
  }

  private int column(StructType schema) {
    String name = input();
    if (schema.getFieldIndex(name).isEmpty()) {
      throw new IllegalArgumentException(
          "there is no column '%s'; there are %s"
              .formatted(name, String.join(", ", schema.fieldNames())));
    }
    return schema.fieldIndex(name);
  }

  /**
   * {@inheritDoc}
   *
   * @throws IllegalArgumentException as {@link #transformSchema}, or if the network has no head and
   *     {@link #setEmbedding} does not ask for embeddings
   */
  @Override
  public Dataset<Row> transform(Dataset<?> dataset) {
    StructType schema = dataset.schema();
    StructType with = transformSchema(schema);
    SparkSession spark = dataset.sparkSession();
    int column = column(schema);
    ImageColumn kind = ImageColumn.of(input(), schema.apply(column).dataType());
    boolean named =
        schema.getFieldIndex("path").isDefined()
            && schema.apply("path").dataType().equals(DataTypes.StringType);
    int path = named ? schema.fieldIndex("path") : -1;
    TaskModel.Request request = request(spark, (Boolean) getOrDefault(embedding));
    if (!request.embedding() && !request.model().value().hasHead()) {
      throw new IllegalArgumentException(
          "the network has no head (fc.weight), so no classes; ask for its embeddings: --embedding,"
              + " setEmbedding(true)");
    }
    var work = new Work(request, column, kind, path);
    return dataset.toDF().mapPartitions(work, Encoders.row(with));
  }

  TaskModel.Request request(SparkSession spark, boolean embeddings) {
    return new TaskModel.Request(
        broadcast(spark),
        SerializableConfiguration.broadcast(spark.sparkContext()),
        precisionOf(getOrDefault(precision)),
        (Integer) getOrDefault(batchSize),
        (Integer) getOrDefault(topK),
        embeddings,
        (Long) getOrDefault(maxPixels));
  }

  /**
   * What a task does.
   *
   * @param column the image's place in a row
   * @param path the place of its name, or -1
   */
  private record Work(TaskModel.Request request, int column, ImageColumn kind, int path)
      implements MapPartitionsFunction<Row, Row> {
    @Override
    @SuppressWarnings("MustBeClosedChecker") // when the task ends
    public Iterator<Row> call(Iterator<Row> rows) {
      TaskModel network = request.open();
      var results = new ImageRows(rows, row -> image(network, row), request.batch(), network);
      TaskContext.get().addTaskCompletionListener((TaskCompletionListener) _ -> results.close());
      return results;
    }

    private Image image(TaskModel network, Row row) {
      String name = path < 0 ? "the image" : String.valueOf(row.get(path));
      return network.image(kind, name, row.get(column));
    }
  }

  /** The model's bytes, on their way to executors; the same ones for every job. */
  private Broadcast<SharedModel.Wire> broadcast(SparkSession spark) {
    List<Object> names = List.of(getOrDefault(model), getOrDefault(weights));
    if (broadcast == null || !broadcast.isValid() || !names.equals(broadcastNames)) {
      broadcast = SharedModel.Wire.of(classifier(spark)).broadcast(spark);
      broadcastNames = names;
    }
    return broadcast;
  }

  /** The model, by its names, or as it was given. */
  private Model classifier(SparkSession spark) {
    if (classifier != null) {
      return classifier;
    }
    if (given) {
      throw new IllegalStateException(
          "the model that was given to this transformer did not come with it; save() carries it");
    }
    try {
      return find(
          (String) getOrDefault(model),
          (String) getOrDefault(weights),
          spark.sparkContext().hadoopConfiguration());
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }

  /** A model by its names, as the command line takes them, or from a file of Hadoop's. */
  static Model find(String model, String weights, Configuration hadoop) throws IOException {
    if (model.isEmpty() && weights.isEmpty()) {
      return Model.embedded();
    }
    Optional<String> named = model.isEmpty() ? Optional.empty() : Optional.of(model);
    String wanted = weights.isEmpty() ? "DEFAULT" : weights;
    if (!HAS_SCHEME.matcher(wanted).find()) {
      return Model.of(Weights.find(named, wanted, System.getenv(), new Download((_, _, _) -> {})));
    }
    // The ending says which format it is, the name which published weights.
    var folder = Files.createTempDirectory("resnet4j-");
    var file = folder.resolve(new Path(wanted).getName());
    try {
      try (InputStream in = new Path(wanted).getFileSystem(hadoop).open(new Path(wanted))) {
        Files.copy(in, file);
      }
      return Model.of(
          Weights.find(named, file.toString(), System.getenv(), new Download((_, _, _) -> {})));
    } finally {
      Files.deleteIfExists(file); // what is mapped stays readable
      Files.delete(folder);
    }
  }

  /** Parameters, and the model itself in a file beside them: {@link #load} needs nothing else. */
  @Override
  public MLWriter write() {
    MLWriter parameters = DefaultParamsWritable.super.write();
    return new MLWriter() {
      @Override
      public void saveImpl(String path) {
        try {
          parameters.save(path);
          SparkSession spark = sparkSession();
          var file = new Path(path, FILE);
          try (OutputStream out =
              file.getFileSystem(spark.sparkContext().hadoopConfiguration()).create(file)) {
            out.write(broadcast(spark).value().file());
          }
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
      }
    };
  }

  /** Reads what {@link #write} wrote; pipelines look for this. */
  public static MLReader<ResNetTransformer> read() {
    MLReader<ResNetTransformer> parameters = new Parameters().read();
    return new MLReader<>() {
      @Override
      public ResNetTransformer load(String path) {
        return parameters.load(path).setModel("").setWeights(absolute(path, sparkSession()));
      }
    };
  }

  private static String absolute(String path, SparkSession spark) {
    try {
      var file = new Path(path, FILE);
      return file.getFileSystem(spark.sparkContext().hadoopConfiguration())
          .makeQualified(file)
          .toString();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A transformer that was saved. */
  public static ResNetTransformer load(String path) {
    return read().load(path);
  }

  private static final class Parameters implements DefaultParamsReadable<ResNetTransformer> {
    @Override
    public ResNetTransformer load(String path) {
      return read().load(path);
    }
  }

  @Override
  public ResNetTransformer copy(ParamMap extra) {
    ResNetTransformer copy = defaultCopy(extra);
    copy.classifier = classifier;
    copy.given = given;
    copy.broadcast = broadcast;
    copy.broadcastNames = broadcastNames;
    return copy;
  }
}
