package io.github.resnet4j.spark;

import io.github.resnet4j.image.Image;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.spark.TaskContext;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.api.java.UDF1;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.util.TaskCompletionListener;
import org.jspecify.annotations.Nullable;

/**
 * SQL functions for classification and embeddings.
 *
 * <pre>{@code
 * ResNetFunctions.register(spark, new ResNetTransformer());
 * spark.sql("SELECT path, resnet_classify(content).labels[0] FROM photos");
 * }</pre>
 *
 * <p>SQL functions are called row by row, so they run one image at a time. For whole tables use
 * {@link ResNetTransformer}, which runs batches and decodes concurrently.
 */
public final class ResNetFunctions {
  /** The open networks, one per task and function; closed when the task completes. */
  private static final Map<Key, TaskModel> OPEN = new ConcurrentHashMap<>();

  private record Key(long task, long model, boolean embedding) {}

  private ResNetFunctions() {}

  /**
   * Registers these functions in a session:
   *
   * <ul>
   *   <li>{@code resnet_classify(image)}: {@link ResNetTransformer#predictionType};
   *   <li>{@code resnet_features(image)}: {@code array<float>}, the embedding; null for an image
   *       that cannot be read.
   * </ul>
   *
   * The argument is the bytes of an image file, its path, or a struct of source {@code image}.
   *
   * @param transformer specifies the model, the number of classes and the precision
   */
  public static void register(SparkSession spark, ResNetTransformer transformer) {
    TaskModel.Request classify = transformer.request(spark, false);
    TaskModel.Request features = transformer.request(spark, true);
    spark
        .udf()
        .register(
            "resnet_classify",
            (UDF1<Object, Row>) image -> predict(classify, image),
            ResNetTransformer.predictionType());
    spark
        .udf()
        .register(
            "resnet_features",
            (UDF1<Object, Object>) image -> predict(features, image).get(2),
            DataTypes.createArrayType(DataTypes.FloatType, false));
  }

  private static Row predict(TaskModel.Request request, @Nullable Object value) {
    TaskContext task = TaskContext.get();
    if (task == null) {
      try (TaskModel network = request.open()) {
        return predict(network, value);
      }
    }
    var key = new Key(task.taskAttemptId(), request.model().id(), request.embedding());
    TaskModel network =
        OPEN.computeIfAbsent(
            key,
            closing -> {
              task.addTaskCompletionListener(
                  (TaskCompletionListener)
                      _ -> {
                        TaskModel open = OPEN.remove(closing);
                        if (open != null) {
                          open.close();
                        }
                      });
              return request.open();
            });
    return predict(network, value);
  }

  private static Row predict(TaskModel network, @Nullable Object value) {
    String name = value instanceof String path ? path : "the image";
    Image image = network.image(ImageColumn.of(value), name, value);
    return network.predict(network.decode(List.of(image))).getFirst();
  }
}
