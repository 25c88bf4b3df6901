package io.github.resnet4j.spark;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.image.Image;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.jspecify.annotations.Nullable;

/**
 * Adds predictions to the rows of a partition. The stages run concurrently: the task's thread reads
 * rows from Spark, one thread decodes images (with more threads if the task has several cores), and
 * one thread runs the network. At most {@link #MAX_BATCHES} batches are in progress, whatever the
 * size of the partition.
 */
final class ImageRows implements Iterator<Row>, AutoCloseable {
  /** One batch being read, one being decoded, one in the network. */
  private static final int MAX_BATCHES = 3;

  private final Iterator<Row> rows;
  private final Function<Row, Image> image;
  private final int batch;
  private final TaskModel network;
  private final ExecutorService decoding = thread("resnet4j-decode");
  private final ExecutorService running = thread("resnet4j-run");
  private final ArrayDeque<Future<List<Row>>> inProgress = new ArrayDeque<>();
  private Iterator<Row> ready = Collections.emptyIterator();
  private volatile boolean closed;

  /**
   * @param network used by this iterator only, and closed with it
   */
  ImageRows(Iterator<Row> rows, Function<Row, Image> image, int batch, TaskModel network) {
    this.rows = rows;
    this.image = image;
    this.batch = batch;
    this.network = network;
  }

  private static ExecutorService thread(String name) {
    return Executors.newSingleThreadExecutor(Thread.ofPlatform().daemon().name(name).factory());
  }

  @Override
  public boolean hasNext() {
    while (!ready.hasNext()) {
      while (inProgress.size() < MAX_BATCHES && rows.hasNext()) {
        submitBatch();
      }
      Future<List<Row>> oldest = inProgress.poll();
      if (oldest == null) {
        return false;
      }
      ready = await(oldest).iterator();
    }
    return true;
  }

  @Override
  public Row next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return ready.next();
  }

  /** Reads a batch of rows and submits it. */
  private void submitBatch() {
    var batchRows = new ArrayList<Row>();
    while (batchRows.size() < batch && rows.hasNext()) {
      batchRows.add(rows.next());
    }
    Future<Classifier.Batch> decoded =
        decoding.submit(() -> {
          checkOpen();
          return network.decode(batchRows.stream().map(image).toList());
        });
    inProgress.add(
        running.submit(() -> {
          checkOpen();
          return joined(batchRows, network.predict(decoded.get()));
        }));
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the task has ended");
    }
  }

  private static List<Row> joined(List<Row> rows, List<Row> predictions) {
    var joined = new ArrayList<Row>();
    for (int i = 0; i < rows.size(); i++) {
      Row row = rows.get(i);
      @Nullable Object[] values = new @Nullable Object[row.size() + 1];
      for (int k = 0; k < row.size(); k++) {
        values[k] = row.get(k);
      }
      values[row.size()] = predictions.get(i);
      joined.add(RowFactory.create(values));
    }
    return joined;
  }

  private static <T> T await(Future<T> future) {
    try {
      return future.get();
    } catch (InterruptedException e) { // the task was killed
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    } catch (ExecutionException e) {
      throw new IllegalStateException(e.getCause());
    }
  }

  /** Returns immediately; the network is released after the running batch. */
  @Override
  public void close() {
    closed = true;
    decoding.shutdown();
    running.execute(network::close);
    running.shutdown();
  }
}
