package io.github.resnet4j.spark;

import org.apache.spark.SparkConf;
import org.apache.spark.sql.SparkSession;

/** The Spark of a command: the one that spark-submit prepared, or one of its own. */
final class Sessions {
  private Sessions() {}

  /**
   * @param master may be empty where Spark's own configuration says it
   */
  static SparkSession open(String name, String master) {
    var conf = new SparkConf();
    SparkSession.Builder builder = SparkSession.builder().appName(conf.get("spark.app.name", name));
    if (!master.isEmpty()) {
      builder.master(master);
    } else if (!conf.contains("spark.master")) {
      builder.master("local[*]");
    }
    return builder.getOrCreate();
  }
}
