package io.github.resnet4j.datasets;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Target;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * What a data set contains. Every image is decoded. The memory depends on the number of classes and
 * of different sizes, not on the number of images.
 *
 * @param images the number of images for training and for validation
 * @param classes for each class the number of images for training and for validation, in the order
 *     of the classes; empty for images with numbers
 * @param widths how many images have each width, in pixels
 * @param heights the same for heights
 * @param formats how many images have each format, such as JPEG; by the first bytes of the file
 * @param unreadable the number of images that cannot be decoded
 * @param reasons why, of the first {@link #MAX_LISTED}
 * @param duplicates images with the same bytes as an earlier one
 * @param sheet a few images of each class, small
 */
public record DataInspection(
    long[] images,
    Map<String, long[]> classes,
    TreeMap<Integer, Long> widths,
    TreeMap<Integer, Long> heights,
    TreeMap<String, Long> formats,
    long unreadable,
    List<String> reasons,
    Duplicates duplicates,
    List<Thumbnail> sheet) {
  /** The largest number of images in a list. */
  public static final int MAX_LISTED = 1000;

  private static final int SHEET = 60;
  private static final int PER_CLASS = 5;
  private static final int SIDE = 168;
  private static final int CHUNK = 64;

  /**
   * Images with the same bytes as an earlier one.
   *
   * @param train in the training images
   * @param val in the validation images
   * @param leaked validation images that are also training images
   * @param pairs the names of the first {@link #MAX_LISTED}
   */
  public record Duplicates(long train, long val, long leaked, List<Pair> pairs) {}

  /** Two images with the same bytes. */
  public record Pair(String first, String second) {}

  /** A small image. */
  public record Thumbnail(Pixels image, String label, String name) {}

  /** What is known about an image after it was read. */
  private record Read(
      Example example,
      @Nullable String failure,
      int width,
      int height,
      String format,
      byte[] digest,
      @Nullable Pixels small) {}

  /**
   * Inspects a data set.
   *
   * @param data the training and the validation images
   * @param other further validation images, whose classes may be others
   * @param progress receives the number of images so far
   * @throws IOException if temporary files cannot be written
   */
  public static DataInspection of(Dataset data, @Nullable Dataset other, LongConsumer progress)
      throws IOException, InterruptedException {
    var inspector = new Inspector(progress);
    try (ExecutorService threads =
        Executors.newFixedThreadPool(
            Runtime.getRuntime().availableProcessors(),
            Thread.ofPlatform().daemon().name("resnet4j-inspect-", 0).factory())) {
      inspector.add(data.classes(), data.train(), 0, threads);
      inspector.add(data.classes(), data.val(), 1, threads);
      if (other != null) {
        inspector.add(other.classes(), other.val(), 1, threads);
      }
      return inspector.finish();
    }
  }

  private static final class Inspector {
    private final LongConsumer progress;
    private final long[] images = new long[2];
    private final Map<String, long[]> classes = new LinkedHashMap<>();
    private final TreeMap<Integer, Long> widths = new TreeMap<>();
    private final TreeMap<Integer, Long> heights = new TreeMap<>();
    private final TreeMap<String, Long> formats = new TreeMap<>();
    private final List<String> reasons = new ArrayList<>();
    private final Map<String, List<Thumbnail>> sheet = new LinkedHashMap<>();
    private final ContentHashes hashes = new ContentHashes();
    private long unreadable;

    Inspector(LongConsumer progress) throws IOException {
      this.progress = progress;
    }

    void add(List<String> names, List<Example> examples, int part, ExecutorService threads)
        throws IOException, InterruptedException {
      if (examples.isEmpty()) {
        return;
      }
      boolean numbers = examples.getFirst().target() instanceof Target.Values;
      if (!numbers) {
        names.forEach(name -> classes.putIfAbsent(name, new long[2]));
      }
      for (int from = 0; from < examples.size(); from += CHUNK) {
        var tasks = new ArrayList<Callable<Read>>();
        for (int i = from; i < Math.min(examples.size(), from + CHUNK); i++) {
          Example example = examples.get(i);
          boolean shown = numbers ? sheet.isEmpty() : isShown(label(example, names));
          tasks.add(() -> read(example, shown));
        }
        for (var future : threads.invokeAll(tasks)) {
          try {
            add(future.get(), names, part, numbers);
          } catch (ExecutionException e) {
            throw new IllegalStateException(e.getCause());
          }
        }
        progress.accept(images[0] + images[1]);
      }
    }

    private static String label(Example example, List<String> names) {
      return example.target().classes().stream().sorted().map(names::get).findFirst().orElse("");
    }

    private boolean isShown(String label) {
      List<Thumbnail> shown = sheet.getOrDefault(label, List.of());
      int perClass = Math.clamp(SHEET / Math.max(1, classes.size()), 1, PER_CLASS);
      return shown.size() < perClass && (!shown.isEmpty() || sheet.size() < SHEET);
    }

    private void add(Read read, List<String> names, int part, boolean numbers) throws IOException {
      images[part]++;
      Example example = read.example;
      example
          .target()
          .classes()
          .forEach(label -> classes.computeIfAbsent(names.get(label), _ -> new long[2])[part]++);
      if (read.failure != null) {
        unreadable++;
        if (reasons.size() < MAX_LISTED) {
          reasons.add(read.failure);
        }
        return; // missing and empty files are no duplicates
      }
      hashes.add(read.digest, part, example.name());
      widths.merge(read.width, 1L, Long::sum);
      heights.merge(read.height, 1L, Long::sum);
      if (!read.format.isEmpty()) {
        formats.merge(read.format, 1L, Long::sum);
      }
      String label = numbers ? "" : label(example, names);
      if (read.small != null && (numbers ? sheet.size() < SHEET : isShown(label))) {
        sheet
            .computeIfAbsent(label, _ -> new ArrayList<>())
            .add(new Thumbnail(read.small, label, example.name()));
      }
    }

    DataInspection finish() throws IOException {
      return new DataInspection(
          images,
          classes,
          widths,
          heights,
          formats,
          unreadable,
          List.copyOf(reasons),
          hashes.duplicates(),
          sheet.values().stream().flatMap(List::stream).toList());
    }
  }

  private static Read read(Example example, boolean shown) {
    var digest = ContentHashes.sha256();
    String format = "";
    try {
      byte[] head = new byte[0];
      try (InputStream in = example.source().open()) {
        byte[] buffer = new byte[1 << 16];
        for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
          head = head.length == 0 ? buffer.clone() : head;
          digest.update(buffer, 0, n);
        }
      }
      Pixels pixels = example.source().read();
      if (head.length == 0) { // an image without a file
        digest.update(pixels.data());
      } else {
        format = ImageDecoder.format(head);
      }
      return new Read(
          example,
          null,
          pixels.width(),
          pixels.height(),
          format,
          digest.digest(),
          shown ? small(pixels) : null);
    } catch (IOException e) {
      return new Read(example, Reason.of(e), 0, 0, format, digest.digest(), null);
    }
  }

  private static Pixels small(Pixels image) {
    double scale = (double) SIDE / Math.max(image.width(), image.height());
    return scale >= 1
        ? image
        : image.resized(
            (int) Math.max(1, Math.round(image.width() * scale)),
            (int) Math.max(1, Math.round(image.height() * scale)),
            Interpolation.BILINEAR);
  }

  /**
   * The median of values that are counted; of two middle ones the lower.
   *
   * @param counts how often each value occurs, not empty
   */
  public static int median(TreeMap<Integer, Long> counts) {
    long all = counts.values().stream().mapToLong(Long::longValue).sum();
    long before = 0;
    for (Map.Entry<Integer, Long> entry : counts.entrySet()) {
      before += entry.getValue();
      if (2 * before >= all) {
        return entry.getKey();
      }
    }
    throw new IllegalArgumentException("there are no values");
  }
}
