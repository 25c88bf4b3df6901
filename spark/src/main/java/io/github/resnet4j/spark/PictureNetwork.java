package io.github.resnet4j.spark;

import io.github.resnet4j.Classifier;
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

/** The network in the hands of one task: from a batch of pictures to what is said of them. */
final class PictureNetwork implements AutoCloseable {
  /**
   * What is wanted, on its way to executors.
   *
   * @param batch pictures that run together
   * @param top classes to name
   * @param embedding whether answers have an embedding; a network without a head has nothing else
   * @param maxPixels larger pictures are errors
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
    PictureNetwork open() {
      TaskContext task = TaskContext.get();
      return new PictureNetwork(this, task == null ? 1 : task.cpus());
    }
  }

  /**
   * A picture of a row.
   *
   * @param name what errors call it
   * @param value as the column has it
   */
  record Picture(PictureColumn column, String name, @Nullable Object value) {}

  /** Pictures as the network takes them, {@code [N, C, H, W]}, or why there is none. */
  record Decoded(Tensor images, @Nullable String[] errors) {}

  private final Request request;
  private final SharedModel model;
  private final Session session;
  private final ImageDecoder decoder;
  private final Team team;

  private PictureNetwork(Request request, int threads) {
    this.request = request;
    this.model = SharedModel.of(request.model.value());
    this.session = model.acquire(request.precision, threads);
    this.decoder = new ImageDecoder(false, request.maxPixels);
    this.team = new Team(threads);
  }

  /** May be called while {@link #answer} runs for other pictures. */
  Decoded decode(List<Picture> pictures) {
    Preprocessing preprocessing = model.classifier().preprocessing();
    Tensor images = preprocessing.batch(pictures.size());
    var errors = new @Nullable String[pictures.size()];
    team.forEach(
        pictures.size(),
        i -> {
          Picture picture = pictures.get(i);
          try {
            preprocessing.apply(
                picture.column.read(
                    picture.name, picture.value, decoder, request.hadoop.value().value()),
                images,
                i);
          } catch (IOException e) {
            errors[i] = String.valueOf(e.getMessage());
          }
        });
    return new Decoded(images, errors);
  }

  /** A row of {@link ResNetTransformer#predictionType} for each picture. */
  List<Row> answer(Decoded decoded) {
    SequencedMap<String, Tensor> outputs = session.runAll(decoded.images);
    Classifier classifier = model.classifier();
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
