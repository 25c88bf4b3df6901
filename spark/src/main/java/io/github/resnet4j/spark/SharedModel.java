package io.github.resnet4j.spark;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Precision;
import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.broadcast.Broadcast;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;

/**
 * A model on its way to executors and in them. Spark's broadcast carries its bytes to each executor
 * once; there it is loaded and its weights are packed once, for all tasks of the JVM.
 */
final class SharedModel {
  /** Models that an executor keeps; a job uses one, a notebook tries some. */
  private static final int MOST = 3;

  private static final Map<String, SharedModel> LOADED =
      new LinkedHashMap<>(8, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, SharedModel> eldest) {
          if (size() <= MOST) {
            return false;
          }
          eldest.getValue().retire();
          return true;
        }
      };

  /**
   * What is broadcast.
   *
   * @param id tells models apart
   * @param hasHead whether it has classes
   * @param file a checkpoint with all that belongs to it, as {@link Model#save} writes it
   */
  @SuppressWarnings("ArrayRecordComponent") // it is data for a wire
  record Wire(String id, boolean hasHead, byte[] file) implements Serializable {
    static Wire of(Model model) {
      try {
        Path file = Files.createTempFile("resnet4j-", ".safetensors");
        try {
          if (model.network().quantization().isPresent()) {
            model.saveQuantized(file);
          } else {
            model.save(file);
          }
          return new Wire(
              UUID.randomUUID().toString(),
              model.network().spec().includeTop(),
              Files.readAllBytes(file));
        } finally {
          Files.delete(file);
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    Broadcast<Wire> broadcast(SparkSession spark) {
      return JavaSparkContext.fromSparkContext(spark.sparkContext()).broadcast(this);
    }
  }

  private final Model model;

  /** Those whose packed weights all others share, by precision and threads. */
  private final Map<CompileOptions, Classifier> first = new LinkedHashMap<>();

  private final Map<CompileOptions, ArrayDeque<Classifier>> idle = new LinkedHashMap<>();
  private boolean retired;

  private SharedModel(Model model) {
    this.model = model;
  }

  /** The model in this JVM; tasks that come at once wait for the one that loads it. */
  static SharedModel of(Wire wire) {
    synchronized (LOADED) {
      @Nullable SharedModel found = LOADED.get(wire.id);
      if (found == null) {
        try {
          // Weights are packed from the broadcast bytes: they are in memory once, not twice.
          found = new SharedModel(Model.read("the broadcast model", wire.file));
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
        LOADED.put(wire.id, found);
      }
      return found;
    }
  }

  /**
   * A classifier for one task at a time: the weights are those of all, threads and activations its
   * own. It goes back with {@link #release}.
   */
  synchronized Classifier acquire(Precision precision, int threads) {
    CompileOptions options =
        CompileOptions.defaults().withThreads(threads).withPrecision(precision);
    Classifier waiting = idle.computeIfAbsent(options, _ -> new ArrayDeque<>()).poll();
    if (waiting != null) {
      return waiting;
    }
    Classifier known = first.get(options);
    if (known != null) {
      return known.sibling();
    }
    Classifier opened = Classifier.builder().compile(options).of(model);
    first.put(options, opened);
    return opened;
  }

  synchronized void release(Classifier classifier) {
    if (retired) {
      classifier.close();
    } else {
      idle.computeIfAbsent(classifier.options(), _ -> new ArrayDeque<>()).push(classifier);
    }
  }

  /** Others have taken its place: classifiers end when their tasks do. */
  private synchronized void retire() {
    retired = true;
    idle.values().forEach(classifiers -> classifiers.forEach(Classifier::close));
    idle.clear();
  }
}
