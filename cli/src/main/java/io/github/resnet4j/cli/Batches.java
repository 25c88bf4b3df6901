package io.github.resnet4j.cli;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.kernel.Team;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/**
 * Decodes and preprocesses the images of a command, one batch ahead of the network.
 *
 * @param size the batch size, which bounds the memory for thousands of images
 */
record Batches(
    List<Path> images, ImageDecoder decoder, Preprocessing preprocessing, int size, int threads) {
  /** The default batch size. */
  static final int SIZE = 16;

  /**
   * Preprocessed images.
   *
   * @param from the index of the first image
   * @param errors for each image the reason why it could not be read, or null
   */
  record Batch(int from, List<Path> files, Tensor tensor, @Nullable String[] errors) {}

  /** Processes batches. */
  interface Consumer {
    /**
     * @return whether to continue
     */
    boolean accept(Batch batch) throws IOException;
  }

  /** Passes each batch to the consumer; meanwhile the next one is decoded. */
  void forEach(Consumer consumer) throws IOException {
    try (var team = new Team(threads);
        ExecutorService ahead = Executors.newSingleThreadExecutor()) {
      var next = ahead.submit(() -> load(0, team));
      for (int from = 0; from < images.size(); from += size) {
        Batch batch = next.get();
        int following = from + size;
        if (following < images.size()) {
          next = ahead.submit(() -> load(following, team));
        }
        if (!consumer.accept(batch)) {
          break;
        }
      }
      next.cancel(false);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case Error error -> throw error;
        case RuntimeException defect -> throw defect;
        case null, default -> throw new IllegalStateException(e);
      }
    }
  }

  /** Decodes and preprocesses the batch that begins with image {@code from}. */
  private Batch load(int from, Team team) {
    var files = images.subList(from, Math.min(images.size(), from + size));
    Tensor tensor = preprocessing.batch(files.size());
    var errors = new @Nullable String[files.size()];
    team.forEach(
        files.size(),
        i -> {
          try {
            // A decoded image of many megabytes is released right after its preprocessing.
            preprocessing.apply(decoder.decode(files.get(i)), tensor, i);
          } catch (IOException e) {
            errors[i] = Reason.of(e);
          }
        });
    return new Batch(from, files, tensor, errors);
  }
}
