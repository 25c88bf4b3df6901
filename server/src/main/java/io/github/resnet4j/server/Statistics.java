package io.github.resnet4j.server;

import io.github.resnet4j.server.Batcher.Result;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The number and the durations of a model's requests and batches since it was loaded: Triton's
 * statistics extension. Their sums over all models are also in {@link Metrics}.
 */
final class Statistics {
  /** How often something happened, and its total time. */
  record Total(long count, long nanos) {
    static final Total NONE = new Total(0, 0);

    Total plus(long duration) {
      return new Total(count + 1, nanos + duration);
    }
  }

  /**
   * The statistics at one time. The four phases of a successful request follow each other, so their
   * times add up to at most its whole time.
   *
   * @param lastInference when the last batch ended, in milliseconds since 1970; 0 if there was none
   * @param images the images that were run, also those of requests that failed later
   * @param success successful requests, from the arrival of the request to its outputs
   * @param fail requests for this model that ended with an error
   * @param input until all images of a request are decoded, preprocessed and in the queue
   * @param queue from then until the first of them is run
   * @param inference from then until the last of them has been run
   * @param output from then until the outputs are complete
   * @param batches the batches that were run, by their number of images
   */
  record Snapshot(
      long lastInference,
      long images,
      Total success,
      Total fail,
      Total input,
      Total queue,
      Total inference,
      Total output,
      SortedMap<Integer, Total> batches) {
    long batchCount() {
      return batches.values().stream().mapToLong(Total::count).sum();
    }
  }

  private final TreeMap<Integer, Total> batches = new TreeMap<>();
  private long lastInference;
  private long images;
  private Total success = Total.NONE;
  private Total fail = Total.NONE;
  private Total input = Total.NONE;
  private Total queue = Total.NONE;
  private Total inference = Total.NONE;
  private Total output = Total.NONE;

  synchronized Snapshot snapshot() {
    return new Snapshot(
        lastInference,
        images,
        success,
        fail,
        input,
        queue,
        inference,
        output,
        new TreeMap<>(batches));
  }

  synchronized void recordBatch(int size, long nanos) {
    lastInference = System.currentTimeMillis();
    images += size;
    batches.put(size, batches.getOrDefault(size, Total.NONE).plus(nanos));
  }

  /** Begins a request. If it is closed before its outputs are complete, it has failed. */
  Request begin() {
    return new Request();
  }

  /** The times of a request; used by one thread. */
  final class Request implements AutoCloseable {
    private final long begin = System.nanoTime();
    private long submitted = begin;
    private boolean complete;

    /** All images of the request are in the queue. */
    void submitted() {
      submitted = System.nanoTime();
    }

    /** The outputs are complete. */
    void complete(List<Result> results) {
      long end = System.nanoTime();
      long first = Long.MAX_VALUE;
      long last = 0;
      for (Result result : results) {
        long batchEnd = result.endNanos() - begin;
        first = Math.min(first, batchEnd - result.inferenceNanos());
        last = Math.max(last, batchEnd);
      }
      long prepared = submitted - begin;
      // The first images may be run while others are still being decoded.
      long running = Math.max(prepared, first);
      long run = Math.max(running, last);
      synchronized (Statistics.this) {
        success = success.plus(end - begin);
        input = input.plus(prepared);
        queue = queue.plus(running - prepared);
        inference = inference.plus(run - running);
        output = output.plus(end - begin - run);
      }
      complete = true;
    }

    @Override
    public void close() {
      if (!complete) {
        synchronized (Statistics.this) {
          fail = fail.plus(System.nanoTime() - begin);
        }
      }
    }
  }
}
