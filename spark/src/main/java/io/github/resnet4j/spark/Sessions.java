package io.github.resnet4j.spark;

import org.apache.spark.SparkConf;
import org.apache.spark.sql.SparkSession;

/** Creates the Spark session of a command. */
final class Sessions {
  private Sessions() {}

  /**
   * Returns the session that spark-submit has configured, or a new one.
   *
   * @param master the master URL; empty to use Spark's configuration, or otherwise all local cores
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
