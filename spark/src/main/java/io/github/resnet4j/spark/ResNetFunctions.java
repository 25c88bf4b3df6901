package io.github.resnet4j.spark;

import io.github.resnet4j.spark.PictureNetwork.Picture;
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
 * <p>SQL asks row by row, so pictures run one at a time: {@link ResNetTransformer}, which runs them
 * in batches and decodes meanwhile, is the faster way through a whole table.
 */
public final class ResNetFunctions {
  /** Of each task and request, from its first row to its end. */
  private static final Map<Use, PictureNetwork> OPEN = new ConcurrentHashMap<>();

  private record Use(long task, long model, boolean embedding) {}

  private ResNetFunctions() {}

  /**
   * Registers, for a session,
   *
   * <ul>
   *   <li>{@code resnet_classify(picture)}: {@link ResNetTransformer#predictionType};
   *   <li>{@code resnet_features(picture)}: {@code array<float>}, the embedding; null for a picture
   *       that cannot be read.
   * </ul>
   *
   * A picture is a file's bytes, the path of one, or what source {@code image} has decoded.
   *
   * @param like says which model, how many classes, which precision
   */
  public static void register(SparkSession spark, ResNetTransformer like) {
    PictureNetwork.Request classify = like.request(spark, false);
    PictureNetwork.Request features = like.request(spark, true);
    spark
        .udf()
        .register(
            "resnet_classify",
            (UDF1<Object, Row>) picture -> answer(classify, picture),
            ResNetTransformer.predictionType());
    spark
        .udf()
        .register(
            "resnet_features",
            (UDF1<Object, Object>) picture -> answer(features, picture).get(2),
            DataTypes.createArrayType(DataTypes.FloatType, false));
  }

  private static Row answer(PictureNetwork.Request request, @Nullable Object value) {
    TaskContext task = TaskContext.get();
    if (task == null) {
      try (PictureNetwork network = request.open()) {
        return answer(network, value);
      }
    }
    var use = new Use(task.taskAttemptId(), request.model().id(), request.embedding());
    PictureNetwork network =
        OPEN.computeIfAbsent(
            use,
            key -> {
              task.addTaskCompletionListener(
                  (TaskCompletionListener)
                      _ -> {
                        PictureNetwork open = OPEN.remove(key);
                        if (open != null) {
                          open.close();
                        }
                      });
              return request.open();
            });
    return answer(network, value);
  }

  private static Row answer(PictureNetwork network, @Nullable Object value) {
    String name = value instanceof String path ? path : "the picture";
    var picture = new Picture(PictureColumn.of(value), name, value);
    return network.answer(network.decode(List.of(picture))).getFirst();
  }
}
