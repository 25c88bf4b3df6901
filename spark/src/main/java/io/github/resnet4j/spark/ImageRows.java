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
 * A partition's rows with what the network says of their images. Three things go on at once: the
 * task's thread takes rows from Spark, which reads them; a thread (with others, where a task has
 * several processors) decodes; another runs the network. No more than {@link #AHEAD} batches are
 * under way, whatever the size of the partition.
 */
final class ImageRows implements Iterator<Row>, AutoCloseable {
  /** One that is read, one that is decoded, one that runs. */
  private static final int AHEAD = 3;

  private final Iterator<Row> rows;
  private final Function<Row, Image> image;
  private final int batch;
  private final TaskModel network;
  private final ExecutorService decoding = thread("resnet4j-decode");
  private final ExecutorService running = thread("resnet4j-run");
  private final ArrayDeque<Future<List<Row>>> underWay = new ArrayDeque<>();
  private Iterator<Row> ready = Collections.emptyIterator();
  private volatile boolean closed;

  /**
   * @param network for this alone; is closed with it
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
      while (underWay.size() < AHEAD && rows.hasNext()) {
        begin();
      }
      Future<List<Row>> oldest = underWay.poll();
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

  /** Takes a batch of rows and sends it on its way. */
  private void begin() {
    var some = new ArrayList<Row>();
    while (some.size() < batch && rows.hasNext()) {
      some.add(rows.next());
    }
    Future<Classifier.Batch> decoded =
        decoding.submit(() -> {
          check();
          return network.decode(some.stream().map(image).toList());
        });
    underWay.add(
        running.submit(() -> {
          check();
          return joined(some, network.answer(decoded.get()));
        }));
  }

  private void check() {
    if (closed) {
      throw new IllegalStateException("the task has ended");
    }
  }

  private static List<Row> joined(List<Row> rows, List<Row> answers) {
    var joined = new ArrayList<Row>();
    for (int i = 0; i < rows.size(); i++) {
      Row row = rows.get(i);
      @Nullable Object[] values = new @Nullable Object[row.size() + 1];
      for (int k = 0; k < row.size(); k++) {
        values[k] = row.get(k);
      }
      values[row.size()] = answers.get(i);
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

  /** Waits for nothing: the network goes back when the batch that runs is done. */
  @Override
  public void close() {
    closed = true;
    decoding.shutdown();
    running.execute(network::close);
    running.shutdown();
  }
}
