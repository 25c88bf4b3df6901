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
 * The networks in SQL.
 *
 * <pre>{@code
 * ResNetFunctions.register(spark, new ResNetTransformer());
 * spark.sql("SELECT path, resnet_classify(content).labels[0] FROM photos");
 * }</pre>
 *
 * <p>SQL asks row by row, so images run one at a time: {@link ResNetTransformer}, which runs them
 * in batches and decodes meanwhile, is the faster way through a whole table.
 */
public final class ResNetFunctions {
  /** Of each task and request, from its first row to its end. */
  private static final Map<Use, TaskModel> OPEN = new ConcurrentHashMap<>();

  private record Use(long task, long model, boolean embedding) {}

  private ResNetFunctions() {}

  /**
   * Registers, for a session,
   *
   * <ul>
   *   <li>{@code resnet_classify(image)}: {@link ResNetTransformer#predictionType};
   *   <li>{@code resnet_features(image)}: {@code array<float>}, the embedding; null for an image
   *       that cannot be read.
   * </ul>
   *
   * An image is a file's bytes, the path of one, or what source {@code image} has decoded.
   *
   * @param like says which model, how many classes, which precision
   */
  public static void register(SparkSession spark, ResNetTransformer like) {
    TaskModel.Request classify = like.request(spark, false);
    TaskModel.Request features = like.request(spark, true);
    spark
        .udf()
        .register(
            "resnet_classify",
            (UDF1<Object, Row>) image -> answer(classify, image),
            ResNetTransformer.predictionType());
    spark
        .udf()
        .register(
            "resnet_features",
            (UDF1<Object, Object>) image -> answer(features, image).get(2),
            DataTypes.createArrayType(DataTypes.FloatType, false));
  }

  private static Row answer(TaskModel.Request request, @Nullable Object value) {
    TaskContext task = TaskContext.get();
    if (task == null) {
      try (TaskModel network = request.open()) {
        return answer(network, value);
      }
    }
    var use = new Use(task.taskAttemptId(), request.model().id(), request.embedding());
    TaskModel network =
        OPEN.computeIfAbsent(
            use,
            key -> {
              task.addTaskCompletionListener(
                  (TaskCompletionListener)
                      _ -> {
                        TaskModel open = OPEN.remove(key);
                        if (open != null) {
                          open.close();
                        }
                      });
              return request.open();
            });
    return answer(network, value);
  }

  private static Row answer(TaskModel network, @Nullable Object value) {
    String name = value instanceof String path ? path : "the image";
    Image image = network.image(ImageColumn.of(value), name, value);
    return network.answer(network.decode(List.of(image))).getFirst();
  }
}
