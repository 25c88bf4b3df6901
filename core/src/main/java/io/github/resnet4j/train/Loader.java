package io.github.resnet4j.train;

import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.train.Dataset.Example;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.IntFunction;

/**
 * Decodes and augments the images of a batch while the previous batch is processed. The
 * augmentation of an image is derived from seed, epoch and image only, whatever the number of
 * threads.
 */
final class Loader implements AutoCloseable {
  private final Preprocessing preprocessing;
  private final ExecutorService threads;
  private final LongAdder busy = new LongAdder();

  /**
   * A loaded batch.
   *
   * @param images {@code [N, C, H, W]}, of which the first {@code examples.size()} are filled
   * @param examples the images that were read
   * @param failures the errors of unreadable images
   */
  record Batch(Tensor images, List<Example> examples, List<IOException> failures) {}

  Loader(Preprocessing preprocessing, int threads) {
    this.preprocessing = preprocessing;
    this.threads =
        Executors.newFixedThreadPool(
            threads, Thread.ofPlatform().daemon().name("resnet4j-loader-", 0).factory());
  }

  /**
   * Starts loading a batch; {@link #await} returns it.
   *
   * @param all the images by index
   * @param chosen the indices of the images of the batch
   * @param seeds the random seeds of the images' augmentations
   */
  List<Future<Tensor>> start(
      IntFunction<Example> all, List<Integer> chosen, Augmentation augmentation, long[] seeds) {
    var tensors = new ArrayList<Future<Tensor>>();
    for (int i = 0; i < seeds.length; i++) {
      Example example = all.apply(chosen.get(i));
      long seed = seeds[i];
      tensors.add(
          threads.submit(() -> {
            long start = System.nanoTime();
            var random = new SplittableRandom(seed);
            Tensor one = preprocessing.batch(1);
            preprocessing.normalize(
                augmentation.apply(example.source().read(), preprocessing, random), one, 0);
            augmentation.finish(one, random);
            busy.add(System.nanoTime() - start);
            return one;
          }));
    }
    return tensors;
  }

  /** The total busy time of all threads in seconds. */
  double busySeconds() {
    return busy.sum() / 1e9;
  }

  /** Waits for a batch whose loading was started. */
  Batch await(
      IntFunction<Example> all, List<Integer> chosen, List<Future<Tensor>> tensors, Tensor into)
      throws InterruptedException {
    var read = new ArrayList<Example>();
    var failures = new ArrayList<IOException>();
    for (int i = 0; i < tensors.size(); i++) {
      try {
        float[] one = tensors.get(i).get().data();
        System.arraycopy(one, 0, into.data(), read.size() * one.length, one.length);
        read.add(all.apply(chosen.get(i)));
      } catch (ExecutionException e) {
        switch (e.getCause()) {
          case IOException unreadable -> failures.add(unreadable);
          case RuntimeException unexpected -> throw unexpected;
          case Error error -> throw error;
          case null, default -> throw new IllegalStateException(e);
        }
      }
    }
    return new Batch(into, read, failures);
  }

  @Override
  public void close() {
    threads.shutdownNow();
  }
}
