package io.github.resnet4j.spark;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.EngineChoice;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.image.Image;
import io.github.resnet4j.image.ImageDecoder;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.apache.spark.TaskContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.util.SerializableConfiguration;
import org.jspecify.annotations.Nullable;

/** The network of one task: decodes batches of images and predicts their classes. */
final class TaskModel implements AutoCloseable {
  /**
   * What to compute; sent to the executors.
   *
   * @param precision the precision of inference
   * @param engine the engine, which the executor must have
   * @param provider the provider of the engine
   * @param batch the batch size
   * @param top the number of classes to return
   * @param embedding whether to return embeddings; without a head they are the only result
   * @param maxPixels the maximum number of pixels of an image
   */
  record Request(
      Broadcast<SharedModel.Broadcastable> model,
      Broadcast<SerializableConfiguration> hadoop,
      Precision precision,
      String engine,
      String provider,
      int batch,
      int top,
      boolean embedding,
      long maxPixels)
      implements Serializable {
    /**
     * Opens the network in a task, or in the driver, where Spark evaluates constant expressions.
     *
     * @throws IllegalArgumentException like {@link SharedModel#acquire}
     */
    TaskModel open() {
      TaskContext task = TaskContext.get();
      return new TaskModel(this, task == null ? 1 : task.cpus());
    }

    private CompileOptions compile(int threads) {
      return CompileOptions.defaults()
          .withThreads(threads)
          .withPrecision(precision)
          .withEngine(new EngineChoice(engine, provider));
    }
  }

  private final Request request;
  private final SharedModel model;
  private final Classifier classifier;
  private final ImageDecoder decoder;

  private TaskModel(Request request, int threads) {
    this.request = request;
    this.model = SharedModel.of(request.model.value());
    this.classifier = model.acquire(request.compile(threads));
    this.decoder = new ImageDecoder(false, request.maxPixels);
  }

  /**
   * Creates the image of a row; it is decoded when it is used.
   *
   * @param name its name in error messages
   * @param value the value of the column
   */
  Image image(ImageColumn column, String name, @Nullable Object value) {
    // Requests with other limits share the classifier, so its own decoder is not used.
    return Image.of(name, _ -> column.read(name, value, decoder, request.hadoop.value().value()));
  }

  /** Decodes images; may run concurrently with {@link #predict}. */
  Classifier.Batch decode(List<Image> images) {
    return classifier.prepare(images);
  }

  /** Returns a row of type {@link ResNetTransformer#predictionType} for each image. */
  List<Row> predict(Classifier.Batch batch) {
    Classifier.Outputs outputs = classifier.run(batch.input());
    int size = batch.errors().size();
    boolean embeddingOnly = request.embedding && !request.model.value().hasHead();
    List<List<Prediction>> predictions =
        embeddingOnly
            ? Collections.nCopies(size, List.of())
            : classifier.model().requireHead().top(outputs.logits().orElseThrow(), request.top);
    var rows = new ArrayList<Row>();
    for (int i = 0; i < size; i++) {
      Optional<IOException> error = batch.errors().get(i);
      rows.add(
          error.isPresent()
              ? RowFactory.create(null, null, null, String.valueOf(error.get().getMessage()))
              : RowFactory.create(
                  predictions.get(i).stream().map(Prediction::label).toArray(String[]::new),
                  predictions.get(i).stream().map(Prediction::probability).toArray(Float[]::new),
                  request.embedding ? boxed(outputs.embeddings().row(i)) : null,
                  null));
    }
    return rows;
  }

  private static Float[] boxed(float[] values) {
    Float[] boxed = new Float[values.length];
    Arrays.setAll(boxed, i -> values[i]);
    return boxed;
  }

  /** Releases the classifier for other tasks. */
  @Override
  public void close() {
    model.release(classifier);
  }
}
