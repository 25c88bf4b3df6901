package io.github.resnet4j.spark;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.Model;
import io.github.resnet4j.engine.CompileOptions;
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
 * A model shared by all tasks of an executor. Spark broadcasts its bytes to each executor once; the
 * executor loads it and packs its weights once.
 */
final class SharedModel {
  /** The maximum number of models in an executor: a job uses one, a notebook may use several. */
  private static final int MAX_MODELS = 3;

  private static final Map<String, SharedModel> LOADED =
      new LinkedHashMap<>(8, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, SharedModel> eldest) {
          if (size() <= MAX_MODELS) {
            return false;
          }
          eldest.getValue().retire();
          return true;
        }
      };

  /**
   * The broadcast form of a model.
   *
   * @param id a unique id
   * @param hasHead whether the network has a head
   * @param file the bytes of a checkpoint with preprocessing and labels, as {@link Model#save}
   *     writes it
   */
  @SuppressWarnings("ArrayRecordComponent") // serialized data
  record Broadcastable(String id, boolean hasHead, byte[] file) implements Serializable {
    static Broadcastable of(Model model) {
      try {
        Path file = Files.createTempFile("resnet4j-", ".safetensors");
        try {
          if (model.network().quantization().isPresent()) {
            model.saveQuantized(file);
          } else {
            model.save(file);
          }
          return new Broadcastable(
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

    Broadcast<Broadcastable> broadcast(SparkSession spark) {
      return JavaSparkContext.fromSparkContext(spark.sparkContext()).broadcast(this);
    }
  }

  private final Model model;

  /** The classifiers that own the packed weights, by their options; others share them. */
  private final Map<CompileOptions, Classifier> first = new LinkedHashMap<>();

  private final Map<CompileOptions, ArrayDeque<Classifier>> idle = new LinkedHashMap<>();
  private boolean retired;

  private SharedModel(Model model) {
    this.model = model;
  }

  /** Returns the model in this JVM; if several tasks call it, the first one loads it. */
  static SharedModel of(Broadcastable broadcastable) {
    synchronized (LOADED) {
      @Nullable SharedModel found = LOADED.get(broadcastable.id);
      if (found == null) {
        try {
          // Weights are packed from the broadcast bytes, without a second copy.
          found = new SharedModel(Model.read("the broadcast model", broadcastable.file));
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
        LOADED.put(broadcastable.id, found);
      }
      return found;
    }
  }

  /**
   * Returns a classifier for one task, which must return it with {@link #release}. Classifiers
   * share the weights, but not threads and activations.
   *
   * @throws IllegalArgumentException if the engine, its provider or the precision is not available
   *     in this JVM
   */
  synchronized Classifier acquire(CompileOptions options) {
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

  /** Called when the model is evicted: idle classifiers are closed now, others on release. */
  private synchronized void retire() {
    retired = true;
    idle.values().forEach(classifiers -> classifiers.forEach(Classifier::close));
    idle.clear();
  }
}
