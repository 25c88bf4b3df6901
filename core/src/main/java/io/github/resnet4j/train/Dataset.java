package io.github.resnet4j.train;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;

/**
 * Pictures with their classes, to learn from and held out.
 *
 * @param classes their names; a label is an index into them
 * @param train to learn from
 * @param val held out
 */
public record Dataset(List<String> classes, List<Example> train, List<Example> val) {
  private static final int CIFAR_SIDE = 32;
  private static final int DIGIT_SIDE = 8;
  private static final int DIGIT_PICTURE = 160;

  /** Where a picture's pixels come from, each time anew. */
  public interface Source {
    Pixels read() throws IOException;
  }

  /**
   * A picture and the index of its class.
   *
   * @param name a file, or what else a person finds it by
   */
  public record Example(String name, int label, Source source) {}

  public Dataset {
    classes = List.copyOf(classes);
    train = List.copyOf(train);
    val = List.copyOf(val);
  }

  /**
   * What a folder holds: CIFAR's binary files if there are any, else pictures, see {@link
   * #ofFolder}.
   *
   * @param split which part of each class is held out where the data does not say it
   * @param seed draws which ones
   * @throws IOException if it cannot be read, or says nothing to learn from
   */
  public static Dataset of(Path folder, double split, long seed) throws IOException {
    return Files.exists(folder.resolve("data_batch_1.bin"))
            || Files.exists(folder.resolve("train.bin"))
        ? ofCifar(folder)
        : ofFolder(folder, split, seed);
  }

  /**
   * CIFAR-10 or CIFAR-100 in the binary form that its authors distribute: {@code data_batch_1.bin}
   * to {@code data_batch_5.bin} and {@code test_batch.bin}, or {@code train.bin} and {@code
   * test.bin}; 32×32 pixels, RGB, with the names of the classes beside them.
   *
   * @throws IOException if a file is missing or has another size than its records
   */
  public static Dataset ofCifar(Path folder) throws IOException {
    boolean fine = Files.exists(folder.resolve("train.bin"));
    int labels = fine ? 2 : 1; // CIFAR-100 has a coarse label first
    Path names = folder.resolve(fine ? "fine_label_names.txt" : "batches.meta.txt");
    List<String> classes =
        Files.readAllLines(names).stream().filter(line -> !line.isBlank()).toList();
    var train = new ArrayList<Example>();
    if (fine) {
      addCifar(folder.resolve("train.bin"), labels, classes.size(), train);
    } else {
      for (int i = 1; i <= 5 && Files.exists(folder.resolve("data_batch_" + i + ".bin")); i++) {
        addCifar(folder.resolve("data_batch_" + i + ".bin"), labels, classes.size(), train);
      }
    }
    var val = new ArrayList<Example>();
    addCifar(folder.resolve(fine ? "test.bin" : "test_batch.bin"), labels, classes.size(), val);
    return new Dataset(classes, train, val);
  }

  private static void addCifar(Path file, int labels, int classes, List<Example> found)
      throws IOException {
    int pixels = CIFAR_SIDE * CIFAR_SIDE;
    int length = labels + 3 * pixels;
    if (Files.size(file) == 0 || Files.size(file) % length != 0) {
      throw new IOException(
          "%s: has %,d bytes, which are no records of %,d"
              .formatted(file, Files.size(file), length));
    }
    byte[] bytes = Files.readAllBytes(file);
    for (int at = 0; at < bytes.length; at += length) {
      int label = bytes[at + labels - 1] & 0xff;
      if (label >= classes) {
        throw new IOException(
            "%s: record %d is of class %d, there are %d names"
                .formatted(file, at / length, label, classes));
      }
      int from = at + labels;
      found.add(
          new Example(
              file + "#" + at / length,
              label,
              () -> {
                byte[] data = new byte[3 * pixels];
                for (int i = 0; i < data.length; i++) {
                  data[i] = bytes[from + i % 3 * pixels + i / 3];
                }
                return new Pixels(CIFAR_SIDE, CIFAR_SIDE, 3, data);
              }));
    }
  }

  /**
   * The embedded digits: 1,797 handwritten ones of 8×8 pixels, white on black, enlarged to 160×160
   * as those in {@code samples/}; 360 are held out, as many of each digit (E. Alpaydin and C.
   * Kaynak, Optical Recognition of Handwritten Digits, UCI, CC BY 4.0).
   */
  public static Dataset digits() throws IOException {
    var parts = List.of(new ArrayList<Example>(), new ArrayList<Example>());
    try (InputStream file = Dataset.class.getResourceAsStream("digits.gz")) {
      if (file == null) {
        throw new IOException("the digits are not in the jar");
      }
      var in = new DataInputStream(new GZIPInputStream(file));
      int count = in.readInt();
      for (int i = 0; i < count; i++) {
        int heldOut = in.readByte();
        int label = in.readByte();
        byte[] gray = in.readNBytes(DIGIT_SIDE * DIGIT_SIDE); // 0 to 16
        parts.get(heldOut).add(new Example("digit " + i, label, () -> enlarged(gray)));
      }
    }
    return new Dataset(
        IntStream.range(0, 10).mapToObj(String::valueOf).toList(), parts.get(0), parts.get(1));
  }

  /** A digit as a person can see it; values of 0 to 16. */
  private static Pixels enlarged(byte[] gray) {
    byte[] data = new byte[3 * gray.length];
    for (int i = 0; i < data.length; i++) {
      data[i] = (byte) Math.round(gray[i / 3] * (255 / 16.0));
    }
    return new Pixels(DIGIT_SIDE, DIGIT_SIDE, 3, data)
        .resized(DIGIT_PICTURE, DIGIT_PICTURE, Interpolation.BICUBIC);
  }

  /**
   * Lists the pictures of a folder: {@code DIR/train/<class>/*.jpg} and {@code
   * DIR/val/<class>/*.jpg}, or {@code DIR/<class>/*.jpg}, of which a part is held out. None is
   * opened yet.
   *
   * @param split which part of each class is held out where there are no folders train and val
   * @param seed draws which ones
   * @throws IOException if the folder cannot be read, or says nothing to learn from: fewer than two
   *     classes, an empty class, or one in val that train lacks
   */
  public static Dataset ofFolder(Path folder, double split, long seed) throws IOException {
    return ofFolder(new LocalFolder(folder), split, seed);
  }

  /** A folder of pictures on a file system of any kind. */
  public interface Folder {
    /**
     * What errors call it.
     *
     * @param inner a path within it; empty for itself
     */
    String name(String inner);

    /** Whether there is a folder within it. */
    boolean has(String inner) throws IOException;

    /** The names of the folders in one within it, in any order. */
    List<String> folders(String inner) throws IOException;

    /** All files below a folder within it, in any order; what pictures are called. */
    List<String> files(String inner) throws IOException;

    /** One of the {@link #files}. */
    Source source(String file);
  }

  private record LocalFolder(Path root) implements Folder {
    @Override
    public String name(String inner) {
      return root.resolve(inner).toString();
    }

    @Override
    public boolean has(String inner) {
      return Files.isDirectory(root.resolve(inner));
    }

    @Override
    public List<String> folders(String inner) throws IOException {
      try (Stream<Path> entries = Files.list(root.resolve(inner))) {
        return entries
            .filter(Files::isDirectory)
            .map(path -> path.getFileName().toString())
            .toList();
      }
    }

    @Override
    public List<String> files(String inner) throws IOException {
      try (Stream<Path> entries = Files.walk(root.resolve(inner))) {
        return entries.filter(Files::isRegularFile).map(Path::toString).toList();
      }
    }

    @Override
    public Source source(String file) {
      return () -> ImageDecoder.DEFAULT.decode(Path.of(file));
    }
  }

  /** The same on a file system of any kind. */
  public static Dataset ofFolder(Folder folder, double split, long seed) throws IOException {
    if (!folder.has("")) {
      throw new NotDirectoryException(folder.name("") + ": is not a folder");
    }
    if (folder.has("train")) {
      List<String> classes = classes(folder, "train");
      var held = new ArrayList<Example>();
      if (folder.has("val")) {
        for (String name : subfolders(folder, "val")) {
          int label = classes.indexOf(name);
          if (label < 0) {
            throw new IOException(
                "%s: train has no class of this name; it has %s"
                    .formatted(folder.name("val/" + name), String.join(", ", classes)));
          }
          held.addAll(examples(folder, "val/" + name, label));
        }
      }
      var learnt = new ArrayList<Example>();
      for (int label = 0; label < classes.size(); label++) {
        learnt.addAll(examplesOf(folder, "train/" + classes.get(label), label));
      }
      return new Dataset(classes, learnt, held);
    }
    if (!(split >= 0 && split < 1)) {
      throw new IllegalArgumentException("the part held out must be in [0, 1), was " + split);
    }
    List<String> classes = classes(folder, "");
    var learnt = new ArrayList<Example>();
    var held = new ArrayList<Example>();
    var random = new Random(seed);
    for (int label = 0; label < classes.size(); label++) {
      var all = new ArrayList<>(examplesOf(folder, classes.get(label), label));
      Collections.shuffle(all, random);
      int count = (int) Math.min(all.size() - 1, Math.round(all.size() * split));
      held.addAll(all.subList(0, count));
      learnt.addAll(all.subList(count, all.size()));
    }
    return new Dataset(classes, learnt, held);
  }

  private static List<String> classes(Folder folder, String inner) throws IOException {
    List<String> classes = subfolders(folder, inner);
    if (classes.size() < 2) {
      throw new IOException(
          "%s: needs a folder for each class, at least two; has %s"
              .formatted(
                  folder.name(inner), classes.isEmpty() ? "none" : String.join(", ", classes)));
    }
    return classes;
  }

  private static List<String> subfolders(Folder folder, String inner) throws IOException {
    return folder.folders(inner).stream().filter(name -> !name.startsWith(".")).sorted().toList();
  }

  private static List<Example> examplesOf(Folder folder, String ofClass, int label)
      throws IOException {
    List<Example> found = examples(folder, ofClass, label);
    if (found.isEmpty()) {
      throw new IOException(
          folder.name(ofClass)
              + ": has no pictures ("
              + String.join(", ", ImageDecoder.ENDINGS.stream().sorted().toList())
              + ")");
    }
    return found;
  }

  private static List<Example> examples(Folder folder, String inner, int label) throws IOException {
    return folder.files(inner).stream()
        .filter(ImageDecoder::isImageName)
        .sorted()
        .map(file -> new Example(file, label, folder.source(file)))
        .toList();
  }
}
