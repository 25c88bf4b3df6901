package io.github.resnet4j.spark;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Prediction;
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

/** The network in the hands of one task: from a batch of images to what is said of them. */
final class TaskModel implements AutoCloseable {
  /**
   * What is wanted, on its way to executors.
   *
   * @param batch images that run together
   * @param top classes to name
   * @param embedding whether answers have an embedding; a network without a head has nothing else
   * @param maxPixels larger images are errors
   */
  record Request(
      Broadcast<SharedModel.Wire> model,
      Broadcast<SerializableConfiguration> hadoop,
      Precision precision,
      int batch,
      int top,
      boolean embedding,
      long maxPixels)
      implements Serializable {
    /** For the task that asks; or for the driver, where Spark computes what is constant. */
    TaskModel open() {
      TaskContext task = TaskContext.get();
      return new TaskModel(this, task == null ? 1 : task.cpus());
    }
  }

  private final Request request;
  private final SharedModel model;
  private final Classifier classifier;
  private final ImageDecoder decoder;

  private TaskModel(Request request, int threads) {
    this.request = request;
    this.model = SharedModel.of(request.model.value());
    this.classifier = model.acquire(request.precision, threads);
    this.decoder = new ImageDecoder(false, request.maxPixels);
  }

  /**
   * An image of a row.
   *
   * @param name what errors call it
   * @param value as the column has it
   */
  Image image(ImageColumn column, String name, @Nullable Object value) {
    // The classifier is shared by requests of other limits, so its own decoder is not used.
    return Image.of(name, _ -> column.read(name, value, decoder, request.hadoop.value().value()));
  }

  /** May be called while {@link #answer} runs for other images. */
  Classifier.Batch decode(List<Image> images) {
    return classifier.prepare(images);
  }

  /** A row of {@link ResNetTransformer#predictionType} for each image. */
  List<Row> answer(Classifier.Batch batch) {
    Classifier.Outputs outputs = classifier.run(batch.input());
    int size = batch.errors().size();
    boolean onlyEmbeds = request.embedding && !request.model.value().hasHead();
    List<List<Prediction>> predictions =
        onlyEmbeds
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

  /** The classifier goes to the next task. */
  @Override
  public void close() {
    model.release(classifier);
  }
}
