package io.github.resnet4j.spark;

import io.github.resnet4j.Model;
import io.github.resnet4j.Weights;
import io.github.resnet4j.checkpoint.Download;
import io.github.resnet4j.engine.EngineChoice;
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
 * Classifies the images in a column: a Spark ML {@link Transformer} for batch jobs, pipelines and
 * streams.
 *
 * <pre>{@code
 * var predictions = new ResNetTransformer()
 *     .setWeights("hdfs:///models/flowers.safetensors")
 *     .transform(spark.read().format("binaryFile").load("hdfs:///photos"));
 * predictions.select("path", "prediction.labels", "prediction.error").write().parquet("hdfs:///out");
 * }</pre>
 *
 * <p>It adds a column of type {@link #predictionType}: {@code labels} and {@code probabilities},
 * the most probable first, {@code embedding}, and {@code error}. An image that cannot be read gives
 * a row with only an error; it does not fail the job. A network without a head gives embeddings
 * only.
 *
 * <p>The weights are broadcast: each executor receives them once and packs them once for all of its
 * tasks. A task uses {@code spark.task.cpus} threads. A partition is processed as a stream, so
 * memory use does not depend on its size.
 */
public final class ResNetTransformer extends Transformer implements DefaultParamsWritable {
  private static final long serialVersionUID = 1;

  /** {@code hdfs:}, {@code s3a:}, {@code file:}; but neither {@code hf:} nor a drive letter. */
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
  private final Param<String> engine;
  private final Param<String> provider;
  private final LongParam maxPixels;

  /** The model set by {@link #setLoadedModel}. */
  private transient @Nullable Model classifier;

  /** Whether {@link #setLoadedModel} was called, so the parameters do not specify the model. */
  private boolean hasLoadedModel;

  private transient @Nullable Broadcast<SharedModel.Broadcastable> broadcast;
  private transient List<Object> broadcastNames = List.of();

  /**
   * Creates a transformer for the embedded model, with five classes, no embedding, and input column
   * {@code content}.
   */
  public ResNetTransformer() {
    this(Identifiable$.MODULE$.randomUID("resnet"));
  }

  /** Creates a transformer with a uid, as Spark ML requires. */
  @SuppressWarnings("this-escape") // Spark ML's Params need it
  public ResNetTransformer(String uid) {
    this.uid = uid; // the parameters use it
    this.inputCol =
        new Param<>(
            this,
            "inputCol",
            "column with the images: bytes of files (binary), paths (string) or structs of source"
                + " image");
    this.outputCol = new Param<>(this, "outputCol", "column for the predictions, a struct");
    this.model =
        new Param<>(
            this,
            "model",
            "name of a network listed by 'resnet4j models'; empty: determined by the weights");
    this.weights =
        new Param<>(
            this,
            "weights",
            "DEFAULT or another name of published weights, hf:owner/name, or a file on any file"
                + " system that Hadoop supports; empty: the embedded model for handwritten digits");
    this.topK = new IntParam(this, "topK", "number of classes to return; 0 for embeddings only");
    this.embedding =
        new BooleanParam(
            this,
            "embedding",
            "whether to return the embedding, the last stage averaged over all pixels");
    this.batchSize = new IntParam(this, "batchSize", "batch size");
    this.precision =
        new Param<>(this, "precision", "precision of inference: fp32, bf16, int8 or auto");
    this.engine = new Param<>(this, "engine", "engine: resnet4j or onnxruntime");
    this.provider =
        new Param<>(
            this,
            "provider",
            "provider of the engine onnxruntime: cpu, cuda, tensorrt, coreml, directml or"
                + " openvino");
    this.maxPixels =
        new LongParam(this, "maxPixels", "maximum number of pixels; larger images give an error");
    setDefault(inputCol, "content");
    setDefault(outputCol, "prediction");
    setDefault(model, "");
    setDefault(weights, "");
    setDefault(topK, 5);
    setDefault(embedding, false);
    setDefault(batchSize, 16);
    setDefault(precision, "fp32");
    setDefault(engine, EngineChoice.RESNET4J.name());
    setDefault(provider, EngineChoice.RESNET4J.provider());
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

  public Param<String> engine() {
    return engine;
  }

  public Param<String> provider() {
    return provider;
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
   * Sets the precision of inference: fp32, bf16, int8 or auto.
   *
   * @throws IllegalArgumentException if there is no such precision; the message lists them
   */
  public ResNetTransformer setPrecision(String value) {
    precisionOf(value);
    set(precision, value);
    return this;
  }

  /**
   * Sets the engine: {@code resnet4j}, or {@code onnxruntime}. The executors need the jars of an
   * engine: {@code resnet4j-onnxruntime} and ONNX Runtime's own. A task fails where one is missing;
   * the error names it.
   */
  public ResNetTransformer setEngine(String value) {
    set(engine, value);
    return this;
  }

  /** Sets the provider of the engine: {@code cpu}, {@code cuda}, see {@link EngineChoice}. */
  public ResNetTransformer setProvider(String value) {
    set(provider, value);
    return this;
  }

  public ResNetTransformer setMaxPixels(long value) {
    set(maxPixels, value);
    return this;
  }

  private static int check(String name, int value, int min) {
    if (value < min) {
      throw new IllegalArgumentException(
          "%s must be at least %d, was %d".formatted(name, min, value));
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

  /** Sets a loaded model, instead of {@link #setModel} and {@link #setWeights}. */
  public ResNetTransformer setLoadedModel(Model value) {
    classifier = value;
    hasLoadedModel = true;
    broadcast = null;
    return this;
  }

  /**
   * The type of the column that is added: {@code struct<labels: array<string>, probabilities:
   * array<float>, embedding: array<float>, error: string>}.
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
   * @throws IllegalArgumentException if the input column does not exist or has no images, or the
   *     output column exists already
   */
  @Override
  public StructType transformSchema(StructType schema) {
    ImageColumn.of(input(), schema.apply(column(schema)).dataType());
    String output = outputColumn();
    if (schema.getFieldIndex(output).isDefined()) {
      throw new IllegalArgumentException(
          "the column '%s' exists already; choose another output column".formatted(output));
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
          "there is no column '%s'; the columns are %s"
              .formatted(name, String.join(", ", schema.fieldNames())));
    }
    return schema.fieldIndex(name);
  }

  /**
   * {@inheritDoc}
   *
   * @throws IllegalArgumentException like {@link #transformSchema}, or if the network has no head
   *     and {@link #setEmbedding} is not set
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
          "the network has no head (fc.weight) and therefore no classes; request embeddings with"
              + " --embedding or setEmbedding(true)");
    }
    var function = new PartitionFunction(request, column, kind, path);
    return dataset.toDF().mapPartitions(function, Encoders.row(with));
  }

  TaskModel.Request request(SparkSession spark, boolean embeddings) {
    var choice = new EngineChoice(getOrDefault(engine), getOrDefault(provider));
    return new TaskModel.Request(
        broadcast(spark),
        SerializableConfiguration.broadcast(spark.sparkContext()),
        precisionOf(getOrDefault(precision)),
        choice.name(),
        choice.provider(),
        (Integer) getOrDefault(batchSize),
        (Integer) getOrDefault(topK),
        embeddings,
        (Long) getOrDefault(maxPixels));
  }

  /**
   * The function that processes a partition.
   *
   * @param column the index of the image column
   * @param path the index of the path column, or -1
   */
  private record PartitionFunction(
      TaskModel.Request request, int column, ImageColumn kind, int path)
      implements MapPartitionsFunction<Row, Row> {
    @Override
    @SuppressWarnings("MustBeClosedChecker") // closed when the task ends
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

  /** The broadcast of the model; all jobs share it. */
  private Broadcast<SharedModel.Broadcastable> broadcast(SparkSession spark) {
    List<Object> names = List.of(getOrDefault(model), getOrDefault(weights));
    if (broadcast == null || !broadcast.isValid() || !names.equals(broadcastNames)) {
      broadcast = SharedModel.Broadcastable.of(classifier(spark)).broadcast(spark);
      broadcastNames = names;
    }
    return broadcast;
  }

  /** The loaded model, or the one specified by the parameters. */
  private Model classifier(SparkSession spark) {
    if (classifier != null) {
      return classifier;
    }
    if (hasLoadedModel) {
      throw new IllegalStateException(
          "the model set with setLoadedModel was not serialized with this transformer; use save()");
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

  /** Loads a model by name, like the command line, or from a file on a Hadoop file system. */
  static Model find(String model, String weights, Configuration hadoop) throws IOException {
    if (model.isEmpty() && weights.isEmpty()) {
      return Model.embedded();
    }
    Optional<String> named = model.isEmpty() ? Optional.empty() : Optional.of(model);
    String source = weights.isEmpty() ? "DEFAULT" : weights;
    if (!HAS_SCHEME.matcher(source).find()) {
      return Model.of(Weights.find(named, source, System.getenv(), new Download((_, _, _) -> {})));
    }
    // Keep the file name: its extension gives the format, and published weights are recognized by
    // it.
    var folder = Files.createTempDirectory("resnet4j-");
    var file = folder.resolve(new Path(source).getName());
    try {
      try (InputStream in = new Path(source).getFileSystem(hadoop).open(new Path(source))) {
        Files.copy(in, file);
      }
      return Model.of(
          Weights.find(named, file.toString(), System.getenv(), new Download((_, _, _) -> {})));
    } finally {
      Files.deleteIfExists(file); // mapped memory stays valid
      Files.delete(folder);
    }
  }

  /** Writes the parameters and the model; {@link #load} needs no other files. */
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

  /** Returns a reader for saved transformers; Spark ML's pipelines call it. */
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

  /** Loads a saved transformer. */
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
    copy.hasLoadedModel = hasLoadedModel;
    copy.broadcast = broadcast;
    copy.broadcastNames = broadcastNames;
    return copy;
  }
}
