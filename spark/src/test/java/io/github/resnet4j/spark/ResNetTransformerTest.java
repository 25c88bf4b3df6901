package io.github.resnet4j.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import org.apache.spark.SparkException;
import org.apache.spark.ml.Pipeline;
import org.apache.spark.ml.PipelineModel;
import org.apache.spark.ml.PipelineStage;
import org.apache.spark.ml.feature.SQLTransformer;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.streaming.StreamingQueryException;
import org.apache.spark.sql.streaming.Trigger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Predictions on Spark equal those without Spark. */
class ResNetTransformerTest {
  private static final Path SAMPLES = Path.of("../samples");

  @TempDir Path home;
  private SparkSession spark;

  @BeforeEach
  void begin() {
    spark = LocalSpark.get();
  }

  /** A folder with the sample digits and two files that are not images. */
  private Path images() throws IOException {
    Path folder = Files.createDirectories(home.resolve("images"));
    try (Stream<Path> samples = Files.list(SAMPLES)) {
      for (Path file : samples.filter(f -> f.toString().endsWith(".png")).toList()) {
        Files.copy(file, folder.resolve(file.getFileName()));
      }
    }
    byte[] whole = Files.readAllBytes(SAMPLES.resolve("digit-6.png"));
    Files.write(folder.resolve("truncated.png"), java.util.Arrays.copyOf(whole, whole.length / 2));
    Files.write(folder.resolve("text.png"), "not an image".getBytes("UTF-8"));
    return folder;
  }

  private static List<Prediction> expected(Model classifier, Path file, int top)
      throws IOException {
    try (var alone = Classifier.builder().threads(1).of(classifier)) {
      return alone.classify(file, top);
    }
  }

  private Dataset<Row> binary(Path folder) {
    return spark.read().format("binaryFile").load(folder.toString());
  }

  private static void check(Row answer, List<Prediction> expected) {
    assertNull(answer.getAs("error"));
    assertEquals(
        expected.stream().map(Prediction::label).toList(),
        answer.getList(answer.fieldIndex("labels")));
    List<Float> probabilities = answer.getList(answer.fieldIndex("probabilities"));
    for (int i = 0; i < expected.size(); i++) {
      // Other batch sizes may use other algorithms for a layer, which round differently.
      assertEquals(expected.get(i).probability(), probabilities.get(i), 1e-5);
    }
  }

  @Test
  void predictionsEqualThoseWithoutSpark() throws IOException {
    Path folder = images();
    List<Row> rows = new ResNetTransformer().setTopK(3).transform(binary(folder)).collectAsList();
    assertEquals(Files.list(folder).count(), rows.size());
    int errors = 0;
    for (Row row : rows) {
      Path file = Path.of(java.net.URI.create(row.getAs("path")));
      Row answer = row.getAs("prediction");
      if (file.endsWith("truncated.png") || file.endsWith("text.png")) {
        errors++;
        assertTrue(answer.<String>getAs("error").contains(file.getFileName().toString()));
        assertNull(answer.getAs("labels"));
      } else {
        check(answer, expected(Model.embedded(), file, 3));
      }
    }
    assertEquals(2, errors);
  }

  @Test
  void readsPathsImagesAndBytes() throws IOException {
    Path folder = images();
    Path table = home.resolve("table");
    binary(folder).withColumnRenamed("content", "jpeg").write().parquet(table.toString());
    var transformer = new ResNetTransformer();
    Map<String, String> fromBytes =
        best(transformer.setInputCol("jpeg").transform(spark.read().parquet(table.toString())));
    Map<String, String> fromPaths =
        best(
            transformer
                .setInputCol("path")
                .transform(spark.read().parquet(table.toString()).select("path")));
    Map<String, String> fromImages =
        best(
            transformer
                .setInputCol("image")
                .transform(
                    spark
                        .read()
                        .format("image")
                        .option("dropInvalid", false)
                        .load(folder.toString())
                        .withColumn("path", functions.expr("image.origin"))));
    assertEquals(fromBytes, fromPaths);
    assertEquals(fromBytes, fromImages);
    assertEquals("6", fromBytes.get("digit-6.png"));
    assertEquals("error", fromBytes.get("text.png"));
  }

  private static Map<String, String> best(Dataset<Row> predictions) {
    var best = new HashMap<String, String>();
    for (Row row : predictions.select("path", "prediction").collectAsList()) {
      String path = row.getString(0);
      Row answer = row.getStruct(1);
      best.put(
          path.substring(path.lastIndexOf('/') + 1),
          answer.getAs("error") != null
              ? "error"
              : (String) answer.getList(answer.fieldIndex("labels")).getFirst());
    }
    return best;
  }

  @Test
  void missingFilesAndNullsGiveErrorRows() throws IOException {
    Path file = SAMPLES.resolve("digit-6.png").toAbsolutePath();
    Dataset<Row> table =
        spark
            .createDataset(
                java.util.Arrays.asList(file.toString(), home + "/none.png", null, "xyz://a/b"),
                org.apache.spark.sql.Encoders.STRING())
            .toDF("path");
    var transformer = new ResNetTransformer().setInputCol("path");
    List<Row> rows = transformer.transform(table).select("prediction.error").collectAsList();
    assertNull(rows.getFirst().getString(0));
    assertTrue(rows.get(1).getString(0).contains("none.png"), rows.toString());
    assertTrue(rows.get(2).getString(0).contains("null"), rows.toString());
    assertTrue(rows.get(3).getString(0).contains("xyz"), rows.toString());
  }

  /** Includes empty files, which Spark skips, and extensions in upper case; keeps the origin. */
  @ParameterizedTest
  @CsvSource({"binaryFile, path", "image, origin"})
  void everyFileInAFolderGivesARow(String from, String path) throws IOException {
    Path folder = Files.createDirectories(home.resolve("mixed"));
    byte[] digit = Files.readAllBytes(SAMPLES.resolve("digit-6.png"));
    Files.write(folder.resolve("Mixed.Png"), digit);
    Files.write(folder.resolve("lower.png"), digit);
    Files.write(folder.resolve("Empty.pNG"), new byte[0]);
    Files.write(folder.resolve(".hidden.png"), new byte[0]);
    ClassifyJob job = job(folder, "", from, "fp32", EngineChoice.RESNET4J);
    var transformer = new ResNetTransformer().setInputCol(from.equals("image") ? from : "content");
    var answers = new HashMap<String, String>();
    for (Row row : job.withoutImages(transformer.transform(job.read(spark))).collectAsList()) {
      Row answer = row.getAs(transformer.outputColumn());
      String name = Path.of(URI.create(row.getAs(path))).getFileName().toString();
      String error = answer.getAs("error");
      answers.put(name, error == null ? answer.<String>getList(0).getFirst() : "error");
    }
    assertEquals(Map.of("Mixed.Png", "6", "lower.png", "6", "Empty.pNG", "error"), answers);
  }

  @Test
  void embeddingsAreTheMeanOfTheLastStage() throws IOException {
    Model classifier = Model.embedded();
    Path file = SAMPLES.resolve("digit-6.png");
    Row row =
        new ResNetTransformer()
            .setTopK(0)
            .setEmbedding(true)
            .transform(binary(file))
            .select("prediction.labels", "prediction.embedding")
            .first();
    assertEquals(List.of(), row.getList(0));
    List<Float> embedding = row.getList(1);
    var input = classifier.preprocessing().apply(ImageDecoder.DEFAULT.decode(file));
    float[] map = classifier.network().features(input).data();
    int size = map.length / embedding.size();
    for (int c = 0; c < embedding.size(); c++) {
      double sum = 0;
      for (int i = 0; i < size; i++) {
        sum += map[c * size + i];
      }
      assertEquals(sum / size, embedding.get(c), 1e-4);
    }
  }

  @Test
  void networkWithoutHeadGivesTheSameEmbeddings() throws IOException {
    Model digits = Model.embedded();
    Path file = home.resolve("headless.safetensors");
    ResNet network = digits.network();
    new Model(
            ResNet.of(network.spec().toBuilder().includeTop(false).build(), network.state()),
            digits.preprocessing(),
            List.of())
        .save(file);
    var headless = new ResNetTransformer().setWeights(file.toString());
    Dataset<Row> images = binary(images());
    var e = assertThrows(IllegalArgumentException.class, () -> headless.transform(images));
    assertTrue(e.getMessage().contains("no head (fc.weight)"), e.getMessage());

    String[] columns = {"path", "prediction.embedding", "prediction.error"};
    var whole = new ResNetTransformer().setEmbedding(true);
    List<Row> expected = whole.transform(images).selectExpr(columns).collectAsList();
    headless.setEmbedding(true);
    assertEquals(expected, headless.transform(images).selectExpr(columns).collectAsList());
    Row six = binary(SAMPLES.resolve("digit-6.png")).transform(headless::transform).first();
    assertEquals(List.of(), six.<Row>getAs("prediction").getList(0));

    ResNetFunctions.register(spark, headless);
    images.createOrReplaceTempView("images");
    var features = spark.sql("SELECT path, resnet_features(content) AS embedding FROM images");
    for (Row row : features.collectAsList()) {
      assertEquals(row.getString(0).contains("digit"), !row.isNullAt(1));
    }
    var classify = spark.sql("SELECT resnet_classify(content) FROM images");
    Throwable cause = assertThrows(SparkException.class, classify::collectAsList);
    while (cause.getCause() != null) {
      cause = cause.getCause();
    }
    assertTrue(cause.getMessage().contains("no head (fc.weight)"), cause.getMessage());
  }

  @Test
  void pipelinesAreSavedWithTheModel() throws IOException {
    var spec = Architecture.named("resnet20").toBuilder().numClasses(3).build();
    var classifier =
        new Model(
            ResNet.initialize(spec, TorchRandom.manualSeed(5)),
            Preprocessing.imagenet(32, 32),
            List.of("cat", "dog", "bird"));
    PipelineModel pipeline =
        new Pipeline()
            .setStages(
                new PipelineStage[] {
                  new ResNetTransformer().setLoadedModel(classifier).setOutputCol("predictions"),
                  new SQLTransformer()
                      .setStatement(
                          "SELECT path, predictions, predictions.labels[0] AS best FROM __THIS__")
                })
            .fit(binary(SAMPLES));
    Dataset<Row> digits = binary(SAMPLES.resolve("digit-6.png"));
    String best = pipeline.transform(digits).select("best").first().getString(0);
    assertEquals(expected(classifier, SAMPLES.resolve("digit-6.png"), 1).getFirst().label(), best);

    Path saved = home.resolve("saved");
    pipeline.write().overwrite().save(saved.toString());
    pipeline.write().overwrite().save(saved.toString());
    assertThrows(IOException.class, () -> pipeline.write().save(saved.toString()));
    Row row = PipelineModel.load(saved.toString()).transform(digits).select("predictions").first();
    check(row.getStruct(0), expected(classifier, SAMPLES.resolve("digit-6.png"), 3));

    // A saved pipeline can be moved.
    Path moved = home.resolve("moved");
    Files.move(saved, moved);
    row = PipelineModel.load(moved.toString()).transform(digits).select("predictions").first();
    check(row.getStruct(0), expected(classifier, SAMPLES.resolve("digit-6.png"), 3));
  }

  /** A job with the embedded model, small batches and a limit of 1,000 pixels. */
  private static ClassifyJob job(
      Path in, String out, String format, String precision, EngineChoice engine) {
    return new ClassifyJob(
        in.toString(),
        out,
        format,
        "",
        "parquet",
        false,
        "",
        "",
        1,
        false,
        4,
        precision,
        engine,
        1000);
  }

  /** Of ONNX Runtime's CPU provider, in batches, with embeddings and without. */
  @Test
  void onnxRuntimePredictsTheSame() throws IOException {
    Dataset<Row> images = binary(images()).orderBy("path");
    String[] columns = {
      "path", "prediction.labels", "prediction.probabilities", "prediction.embedding"
    };
    for (boolean embedding : new boolean[] {false, true}) {
      var transformer = new ResNetTransformer().setBatchSize(4).setEmbedding(embedding);
      List<Row> own = transformer.transform(images).selectExpr(columns).collectAsList();
      transformer.setEngine("onnxruntime").setProvider("cpu");
      List<Row> other = transformer.transform(images).selectExpr(columns).collectAsList();
      assertEquals(own.size(), other.size());
      int predictions = 0;
      for (int i = 0; i < own.size(); i++) {
        Row expected = own.get(i);
        Row actual = other.get(i);
        assertEquals(expected.getString(0), actual.getString(0));
        assertEquals(expected.isNullAt(1), actual.isNullAt(1));
        if (!expected.isNullAt(1)) {
          predictions++;
          assertEquals(expected.getList(1).getFirst(), actual.getList(1).getFirst());
          assertClose(expected.getList(2), actual.getList(2));
          assertEquals(!embedding, actual.isNullAt(3));
          if (embedding) {
            assertClose(expected.getList(3), actual.getList(3));
          }
        }
      }
      assertEquals(own.size() - 2, predictions);
    }
  }

  /**
   * Compares to 1e-4 of the largest value: both engines compute in float32, but add thousands of
   * terms in another order.
   */
  private static void assertClose(List<Float> expected, List<Float> actual) {
    assertEquals(expected.size(), actual.size());
    double largest = expected.stream().mapToDouble(Math::abs).max().orElseThrow();
    for (int i = 0; i < expected.size(); i++) {
      assertEquals(expected.get(i), actual.get(i), 1e-4 * largest);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "other, cpu, fp32, 'there is no engine ''other'' on the class path, only resnet4j,"
        + " onnxruntime'",
    "onnxruntime, cuda, fp32, 'the ONNX Runtime on the class path has no provider ''cuda'', only"
        + " cpu'",
    "onnxruntime, cpu, int8, 'the engine onnxruntime computes in fp32, not in int8'",
  })
  void jobWithoutItsEngineSaysWhatIsMissing(
      String engine, String provider, String precision, String message) {
    String out = home.resolve("out").toString();
    var choice = new EngineChoice(engine, provider);
    ClassifyJob job = job(SAMPLES.resolve("digit-6.png"), out, "binaryFile", precision, choice);
    var e = assertThrows(IllegalArgumentException.class, () -> job.write(spark));
    assertTrue(e.getMessage().startsWith(message), e.getMessage());
  }

  /** Quantized weights and activation ranges are broadcast, with the same results. */
  @Test
  void quantizedModelsAreBroadcast() throws IOException {
    Model digits = Model.embedded();
    Path file = SAMPLES.resolve("digit-6.png");
    ResNet network = digits.network();
    try (var calibration = new Calibration(network.compile(CompileOptions.defaults()))) {
      calibration.observe(digits.preprocessing().apply(ImageDecoder.DEFAULT.decode(file)));
      network = network.withQuantization(calibration.quantization(Calibration.Method.MIN_MAX));
    }
    Path saved = home.resolve("digits8.safetensors");
    digits.withNetwork(network).saveQuantized(saved);
    Model bytes = Model.load(saved);
    List<Prediction> expected;
    try (var alone = Classifier.builder().threads(1).precision(Precision.INT8).of(bytes)) {
      expected = alone.classify(file, 5);
    }
    Row row =
        new ResNetTransformer()
            .setWeights(saved.toString())
            .setPrecision("int8")
            .transform(binary(file))
            .select("prediction")
            .first();
    check(row.getStruct(0), expected);
  }

  @Test
  void parametersAreSavedAndCopied() throws IOException {
    Path saved = home.resolve("transformer");
    new ResNetTransformer()
        .setTopK(2)
        .setOutputCol("result")
        .setBatchSize(3)
        .setEngine("onnxruntime")
        .save(saved.toString());
    ResNetTransformer loaded = ResNetTransformer.load(saved.toString());
    assertEquals(2, loaded.getOrDefault(loaded.topK()));
    assertEquals(3, loaded.getOrDefault(loaded.batchSize()));
    assertEquals(11, loaded.params().length);
    assertEquals("onnxruntime", loaded.getOrDefault(loaded.engine()));
    var copy = loaded.copy(org.apache.spark.ml.param.ParamMap.empty());
    Row row =
        copy.transform(binary(SAMPLES.resolve("digit-6.png"))).select("result.labels").first();
    assertEquals(2, row.getList(0).size());
  }

  @Test
  void sqlFunctionsGiveTheSamePredictions() throws IOException {
    Path folder = images();
    ResNetFunctions.register(spark, new ResNetTransformer().setTopK(2));
    binary(folder).createOrReplaceTempView("photos");
    List<Row> rows =
        spark
            .sql(
                "SELECT path, resnet_classify(content) AS predictions, resnet_features(content) AS"
                    + " f, resnet_classify(path).labels[0] AS by_path FROM photos")
            .collectAsList();
    for (Row row : rows) {
      Path file = Path.of(java.net.URI.create(row.getString(0)));
      Row answer = row.getStruct(1);
      if (answer.getAs("error") == null) {
        List<Prediction> expected = expected(Model.embedded(), file, 2);
        check(answer, expected);
        assertEquals(expected.getFirst().label(), row.getString(3));
        assertFalse(row.getList(2).isEmpty());
      } else {
        assertTrue(row.isNullAt(2) && row.isNullAt(3), row.toString());
      }
    }
  }

  @Test
  void structuredStreamingOverAFolder()
      throws IOException, TimeoutException, StreamingQueryException {
    Path folder = images();
    Path out = home.resolve("out");
    Dataset<Row> images = binary(folder);
    Dataset<Row> stream =
        new ResNetTransformer()
            .transform(
                spark
                    .readStream()
                    .format("binaryFile")
                    .schema(images.schema())
                    .load(folder.toString()))
            .drop("content");
    for (int round = 0; round < 2; round++) {
      var query =
          stream
              .writeStream()
              .format("parquet")
              .option("checkpointLocation", home.resolve("checkpoint").toString())
              .trigger(Trigger.AvailableNow())
              .start(out.toString());
      query.awaitTermination();
      long files = Files.list(folder).count();
      assertEquals(files, spark.read().parquet(out.toString()).count());
      // The next round processes new files only.
      Files.copy(SAMPLES.resolve("digit-6.png"), folder.resolve("new-" + round + ".png"));
    }
  }

  @Test
  void partitionIsProcessedAsAStream() {
    // From an endless partition, the first rows are returned after reading only a few.
    var taken = new java.util.concurrent.atomic.AtomicInteger();
    var network = new ResNetTransformer().setBatchSize(4).request(spark, false).open();
    var rows = new ArrayList<Row>();
    var endless =
        Stream.generate(
                () -> {
                  taken.incrementAndGet();
                  return org.apache.spark.sql.RowFactory.create(new byte[0]);
                })
            .iterator();
    try (var results =
        new ImageRows(
            endless, row -> network.image(ImageColumn.BYTES, "p", row.get(0)), 4, network)) {
      for (int i = 0; i < 9; i++) {
        rows.add(results.next());
      }
    }
    assertEquals(9, rows.size());
    assertTrue(taken.get() <= 9 + 4 * 4, "took " + taken);
  }

  @Test
  void errorsNameTheColumn() {
    Dataset<Row> images = binary(SAMPLES);
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new ResNetTransformer().setInputCol("image").transform(images));
    assertEquals(
        "there is no column 'image'; the columns are path, modificationTime, length, content",
        e.getMessage());
    e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new ResNetTransformer().setInputCol("length").transform(images));
    assertTrue(e.getMessage().contains("column 'length' has type bigint"), e.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> new ResNetTransformer().setOutputCol("path").transform(images));
    assertThrows(IllegalArgumentException.class, () -> new ResNetTransformer().setPrecision("x"));
    e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new ResNetTransformer().setProvider("cuda").transform(images));
    assertEquals(
        "the engine resnet4j has no provider 'cuda', only cpu; the engine onnxruntime has others",
        e.getMessage());
  }
}
