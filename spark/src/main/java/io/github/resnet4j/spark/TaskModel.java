package io.github.resnet4j.spark;

import io.github.resnet4j.Model;
import io.github.resnet4j.Prediction;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SequencedMap;
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

  /**
   * An image of a row.
   *
   * @param name what errors call it
   * @param value as the column has it
   */
  record Image(ImageColumn column, String name, @Nullable Object value) {}

  /** Images as the network takes them, {@code [N, C, H, W]}, or why there is none. */
  record Decoded(Tensor images, @Nullable String[] errors) {}

  private final Request request;
  private final SharedModel model;
  private final Session session;
  private final ImageDecoder decoder;
  private final Team team;

  private TaskModel(Request request, int threads) {
    this.request = request;
    this.model = SharedModel.of(request.model.value());
    this.session = model.acquire(request.precision, threads);
    this.decoder = new ImageDecoder(false, request.maxPixels);
    this.team = new Team(threads);
  }

  /** May be called while {@link #answer} runs for other images. */
  Decoded decode(List<Image> images) {
    Preprocessing preprocessing = model.classifier().preprocessing();
    Tensor tensor = preprocessing.batch(images.size());
    var errors = new @Nullable String[images.size()];
    team.forEach(
        images.size(),
        i -> {
          Image image = images.get(i);
          try {
            preprocessing.apply(
                image.column.read(image.name, image.value, decoder, request.hadoop.value().value()),
                tensor,
                i);
          } catch (IOException e) {
            errors[i] = String.valueOf(e.getMessage());
          }
        });
    return new Decoded(tensor, errors);
  }

  /** A row of {@link ResNetTransformer#predictionType} for each image. */
  List<Row> answer(Decoded decoded) {
    SequencedMap<String, Tensor> outputs = session.runAll(decoded.images);
    Model classifier = model.classifier();
    boolean onlyEmbeds = request.embedding && !request.model.value().hasHead();
    List<List<Prediction>> predictions =
        onlyEmbeds
            ? Collections.nCopies(decoded.errors.length, List.of())
            : classifier.top(outputs.lastEntry().getValue(), request.top);
    Tensor embeddings = outputs.firstEntry().getValue();
    int size = embeddings.size() / embeddings.dim(0);
    var rows = new ArrayList<Row>();
    for (int i = 0; i < decoded.errors.length; i++) {
      String error = decoded.errors[i];
      rows.add(
          error != null
              ? RowFactory.create(null, null, null, error)
              : RowFactory.create(
                  predictions.get(i).stream().map(Prediction::label).toArray(String[]::new),
                  predictions.get(i).stream().map(Prediction::probability).toArray(Float[]::new),
                  request.embedding ? boxed(embeddings.data(), i * size, size) : null,
                  null));
    }
    return rows;
  }

  private static Float[] boxed(float[] values, int from, int count) {
    Float[] boxed = new Float[count];
    Arrays.setAll(boxed, i -> values[from + i]);
    return boxed;
  }

  /** The session goes to the next task. */
  @Override
  public void close() {
    model.release(session);
    team.close();
  }
}
