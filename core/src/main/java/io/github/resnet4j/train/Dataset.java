package io.github.resnet4j.train;

import io.github.resnet4j.Task;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageFolder;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import java.util.zip.GZIPInputStream;

/**
 * Labelled images for training and validation.
 *
 * @param classes the names of the classes; a label is an index into them. For images with numbers
 *     the names of the numbers
 * @param train the training images
 * @param val the validation images
 */
public record Dataset(List<String> classes, List<Example> train, List<Example> val) {
  /**
   * Contents of image files are part of the checksum only up to this total size; names and sizes
   * always are.
   */
  private static final long MAX_CHECKSUM_BYTES = 1L << 30;

  /**
   * Python's order of names, by code points, so that classes have the same indices as in
   * torchvision.
   */
  public static final Comparator<String> PYTHON_ORDER =
      Comparator.comparing(name -> name.codePoints().toArray(), Arrays::compare);

  private static final double SPLIT = 0.2;
  private static final int CIFAR_SIDE = 32;
  private static final int DIGIT_SIDE = 8;
  private static final int DIGIT_IMAGE = 160;

  /** The source of an image's pixels, which are read on each request. */
  public interface Source {
    Pixels read() throws IOException;

    /**
     * The size of the file in bytes, with which {@link #fields} detects changes; 0 without a file.
     */
    default long size() throws IOException {
      return 0;
    }

    /** The bytes of the file; empty if they are not part of the checksum. */
    default InputStream open() throws IOException {
      return InputStream.nullInputStream();
    }

    /** How {@link #read} decodes a file. */
    default ImageDecoder decoder() {
      return ImageDecoder.DEFAULT;
    }
  }

  /**
   * An image and what is known about it.
   *
   * @param name the file, or another name by which a person finds it
   * @param weight how often it is drawn by {@link Sampling#WEIGHTED}, relative to other images;
   *     finite and not negative
   */
  public record Example(String name, Target target, Source source, double weight) {
    /**
     * @throws IllegalArgumentException if the weight is negative, infinite or NaN
     */
    public Example {
      if (!(weight >= 0 && Double.isFinite(weight))) {
        throw new IllegalArgumentException(
            name + ": its weight must be a number of at least 0, was " + weight);
      }
    }

    /** An image with the weight 1. */
    public Example(String name, Target target, Source source) {
      this(name, target, source, 1);
    }

    /** An image of one class, given by its index. */
    public Example(String name, int label, Source source) {
      this(name, new Target.Label(label), source);
    }

    /**
     * The index of the class of an image with one class.
     *
     * @throws IllegalStateException if it has several labels or numbers
     */
    public int label() {
      if (target instanceof Target.Label(int index)) {
        return index;
      }
      throw new IllegalStateException(name + ": does not have one class, but " + target);
    }
  }

  /**
   * @throws IllegalArgumentException naming the first image whose target does not match the
   *     classes, or is of another kind than that of the other images
   */
  public Dataset {
    classes = List.copyOf(classes);
    train = train instanceof ShardedExamples ? train : List.copyOf(train);
    val = val instanceof ShardedExamples ? val : List.copyOf(val);
    Class<?> kind = Target.Label.class;
    if (!train.isEmpty() || !val.isEmpty()) {
      kind = (train.isEmpty() ? val : train).getFirst().target.getClass();
    }
    for (List<Example> split : List.of(train, val)) {
      for (Example example : split) {
        int count = classes.size();
        boolean matches =
            example.target instanceof Target.Values(List<Float> values)
                ? values.size() == count
                : example.target.classes().stream().allMatch(label -> label >= 0 && label < count);
        if (!matches || example.target.getClass() != kind) {
          throw new IllegalArgumentException(
              "%s: %s does not match the %d classes, or the targets of the other images"
                  .formatted(example.name, example.target, count));
        }
      }
    }
  }

  /**
   * The task that these images teach: one label each, several labels, or numbers, with means and
   * standard deviations of the training images.
   */
  public Task task() {
    List<Example> known = train.isEmpty() ? val : train;
    return switch (known.isEmpty() ? new Target.Label(0) : known.getFirst().target) {
      case Target.Label _ -> Task.SINGLE_LABEL;
      case Target.Labels _ -> Task.MultiLabel.of(classes.size());
      case Target.Values _ -> standardizing(known);
    };
  }

  private Task standardizing(List<Example> known) {
    var means = new ArrayList<Float>();
    var deviations = new ArrayList<Float>();
    for (int k = 0; k < classes.size(); k++) {
      int number = k;
      ToDoubleFunction<Example> value = each -> ((Target.Values) each.target).values().get(number);
      double mean = known.stream().mapToDouble(value).average().orElseThrow();
      double variance =
          known.stream()
              .mapToDouble(value)
              .map(each -> (each - mean) * (each - mean))
              .average()
              .orElseThrow();
      means.add((float) mean);
      float deviation = (float) Math.sqrt(variance);
      deviations.add(deviation > 0 ? deviation : 1);
    }
    return new Task.Regression(means, deviations);
  }

  /** The number of images of each class, or zeros if they have numbers. */
  public long[] counts(List<Example> split) {
    long[] counts = new long[classes.size()];
    for (Example example : split) {
      example.target.classes().forEach(label -> counts[label]++);
    }
    return counts;
  }

  /**
   * The images of a folder: {@code train/CLASS/*.jpg} and {@code val/CLASS/*.jpg}, or {@code
   * CLASS/*.jpg}, of which a fifth of each class is held out for validation; or CIFAR's binary
   * files.
   *
   * @throws IOException if it cannot be read, or has nothing to train on
   */
  public static Dataset of(Path folder) throws IOException {
    return of(folder, SPLIT, 0);
  }

  /**
   * Reads a folder: CIFAR's binary files if there are any, else image files, see {@link #ofFolder}.
   *
   * @param split the fraction of each class that is held out for validation, if the data has no
   *     validation set
   * @param seed the random seed of the split
   * @throws IOException if it cannot be read, or has no training images
   */
  public static Dataset of(Path folder, double split, long seed) throws IOException {
    return of(folder, ImageDecoder.DEFAULT, split, seed);
  }

  /**
   * The same with another decoder.
   *
   * @param decoder reads image files; torchvision's loader ignores the EXIF orientation
   */
  public static Dataset of(Path folder, ImageDecoder decoder, double split, long seed)
      throws IOException {
    return Files.exists(folder.resolve("data_batch_1.bin"))
            || Files.exists(folder.resolve("train.bin"))
        ? ofCifar(folder)
        : ofFolder(new LocalFolder(folder, decoder), split, seed);
  }

  /**
   * Reads CIFAR-10 or CIFAR-100 in their authors' binary format: {@code data_batch_1.bin} to {@code
   * data_batch_5.bin} and {@code test_batch.bin}, or {@code train.bin} and {@code test.bin}; 32×32
   * pixels, RGB, with the names of the classes in the same folder.
   *
   * @throws IOException if a file is missing or its size is not a multiple of the record size
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
          "%s: has %,d bytes, which is not a multiple of the record size of %,d"
              .formatted(file, Files.size(file), length));
    }
    byte[] bytes = Files.readAllBytes(file);
    for (int at = 0; at < bytes.length; at += length) {
      int label = bytes[at + labels - 1] & 0xff;
      if (label >= classes) {
        throw new IOException(
            "%s: record %d has the class %d, but there are only %d names"
                .formatted(file, at / length, label, classes));
      }
      found.add(new Example(file + "#" + at / length, label, new CifarRecord(bytes, at + labels)));
    }
  }

  /** The red, green and blue planes of a record within its file. */
  @SuppressWarnings("ArrayRecordComponent") // shared by all records of the file
  private record CifarRecord(byte[] bytes, int from) implements Source {
    private static final int PIXELS = CIFAR_SIDE * CIFAR_SIDE;

    @Override
    public Pixels read() {
      byte[] data = new byte[3 * PIXELS];
      for (int i = 0; i < data.length; i++) {
        data[i] = bytes[from + i % 3 * PIXELS + i / 3];
      }
      return new Pixels(CIFAR_SIDE, CIFAR_SIDE, 3, data);
    }

    @Override
    public long size() {
      return 3 * PIXELS;
    }

    @Override
    public InputStream open() {
      return new ByteArrayInputStream(bytes, from, 3 * PIXELS);
    }
  }

  /**
   * The embedded digits: 1,797 handwritten digits of 8×8 pixels, white on black, enlarged to
   * 160×160 as those in {@code samples/}; 360 of them, the same number of each digit, are for
   * validation (E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, CC BY
   * 4.0).
   */
  public static Dataset digits() throws IOException {
    var splits = List.of(new ArrayList<Example>(), new ArrayList<Example>());
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
        splits.get(heldOut).add(new Example("digit " + i, label, () -> enlarged(gray)));
      }
    }
    return new Dataset(
        IntStream.range(0, 10).mapToObj(String::valueOf).toList(), splits.get(0), splits.get(1));
  }

  /** Converts values of 0 to 16 to an enlarged RGB image. */
  private static Pixels enlarged(byte[] gray) {
    byte[] data = new byte[3 * gray.length];
    for (int i = 0; i < data.length; i++) {
      data[i] = (byte) Math.round(gray[i / 3] * (255 / 16.0));
    }
    return new Pixels(DIGIT_SIDE, DIGIT_SIDE, 3, data)
        .resized(DIGIT_IMAGE, DIGIT_IMAGE, Interpolation.BICUBIC);
  }

  /**
   * Lists the images of a folder as torchvision's ImageFolder does: {@code DIR/train/<class>/*.jpg}
   * and {@code DIR/val/<class>/*.jpg}, or {@code DIR/<class>/*.jpg}, of which a fraction is held
   * out for validation. Symbolic links to folders and files are followed; files need one of {@link
   * ImageDecoder#EXTENSIONS}, in any letter case. No file is opened yet.
   *
   * @param split the fraction of each class that is held out if there are no folders train and val
   * @param seed the random seed of the split
   * @throws IOException if the folder cannot be read, or has fewer than two classes, an empty
   *     class, or a class in val that is missing in train
   */
  public static Dataset ofFolder(Path folder, double split, long seed) throws IOException {
    return ofFolder(new LocalFolder(folder, ImageDecoder.DEFAULT), split, seed);
  }

  /** A folder of images on any kind of file system. */
  public interface Folder {
    /**
     * The name in error messages.
     *
     * @param inner a path within the folder; empty for the folder itself
     */
    String name(String inner);

    /** Whether it contains this folder. */
    boolean has(String inner) throws IOException;

    /** The names of the folders in an inner folder, in any order. */
    List<String> folders(String inner) throws IOException;

    /** The names of all files below an inner folder, in any order. */
    List<String> files(String inner) throws IOException;

    /** The source of one of the {@link #files}. */
    Source source(String file);
  }

  private record LocalFolder(Path root, ImageDecoder decoder) implements Folder {
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
      return ImageFolder.images(root.resolve(inner)).stream().map(Path::toString).toList();
    }

    @Override
    public Source source(String file) {
      return new LocalFile(Path.of(file), decoder);
    }
  }

  /** A file on this machine, which is decoded on each request. */
  public static Source file(Path file, ImageDecoder decoder) {
    return new LocalFile(file, decoder);
  }

  /**
   * Divides images into those for training and a fraction that is held out for validation: of each
   * class, if images have one class each.
   *
   * @param split the fraction that is held out, in [0, 1)
   * @param seed the random seed of the choice
   */
  public static Dataset split(List<String> classes, List<Example> all, double split, long seed) {
    var groups = new TreeMap<Integer, List<Example>>();
    for (Example example : all) {
      int group = example.target instanceof Target.Label(int index) ? index : 0;
      groups.computeIfAbsent(group, _ -> new ArrayList<>()).add(example);
    }
    var training = new ArrayList<Example>();
    var validation = new ArrayList<Example>();
    var random = new Random(seed);
    for (List<Example> group : groups.values()) {
      if (split > 0) {
        Collections.shuffle(group, random);
      }
      int count = (int) Math.min(group.size() - 1, Math.round(group.size() * split));
      validation.addAll(group.subList(0, count));
      training.addAll(group.subList(count, group.size()));
    }
    return new Dataset(classes, training, validation);
  }

  private record LocalFile(Path file, ImageDecoder decoder) implements Source {
    @Override
    public Pixels read() throws IOException {
      return decoder.decode(file);
    }

    @Override
    public long size() throws IOException {
      return Files.isRegularFile(file) ? Files.size(file) : 0;
    }

    @Override
    public InputStream open() throws IOException {
      return Files.isRegularFile(file) && Files.isReadable(file)
          ? Files.newInputStream(file)
          : InputStream.nullInputStream();
    }
  }

  /** The same on any kind of file system. */
  public static Dataset ofFolder(Folder folder, double split, long seed) throws IOException {
    if (!(split >= 0 && split < 1)) {
      throw new IllegalArgumentException("the validation split must be in [0, 1), was " + split);
    }
    checkIsFolder(folder);
    if (folder.has("train")) {
      List<String> classes = trainingClasses(folder, "train");
      var validation = new ArrayList<Example>();
      if (folder.has("val")) {
        for (String name : subfolders(folder, "val")) {
          int label = classes.indexOf(name);
          if (label < 0) {
            throw new IOException(
                "%s: train has no class of this name; it has %s"
                    .formatted(folder.name("val/" + name), String.join(", ", classes)));
          }
          validation.addAll(examples(folder, "val/" + name, label));
        }
      }
      var training = new ArrayList<Example>();
      for (int label = 0; label < classes.size(); label++) {
        training.addAll(trainingExamples(folder, "train/" + classes.get(label), label));
      }
      return new Dataset(classes, training, validation);
    }
    List<String> classes = trainingClasses(folder, "");
    var all = new ArrayList<Example>();
    for (int label = 0; label < classes.size(); label++) {
      all.addAll(trainingExamples(folder, classes.get(label), label));
    }
    return split(classes, all, split, seed);
  }

  /**
   * Lists images for evaluation: those in {@code DIR/val/<class>} if there is such a folder, else
   * in {@code DIR/<class>}; or CIFAR's test file. One class is enough, and classes may be empty.
   * All images are in {@link #val}.
   *
   * @throws IOException if the folder cannot be read, or contains no image in a class folder
   */
  public static Dataset toEvaluate(Path path) throws IOException {
    return toEvaluate(path, ImageDecoder.DEFAULT);
  }

  /** The same with another decoder. */
  public static Dataset toEvaluate(Path path, ImageDecoder decoder) throws IOException {
    if (Files.exists(path.resolve("test_batch.bin")) || Files.exists(path.resolve("test.bin"))) {
      Dataset cifar = ofCifar(path);
      return new Dataset(cifar.classes, List.of(), cifar.val);
    }
    var folder = new LocalFolder(path, decoder);
    checkIsFolder(folder);
    String inner = folder.has("val") ? "val" : "";
    List<String> classes = subfolders(folder, inner);
    var validation = new ArrayList<Example>();
    for (int label = 0; label < classes.size(); label++) {
      validation.addAll(
          examples(
              folder,
              inner.isEmpty() ? classes.get(label) : inner + "/" + classes.get(label),
              label));
    }
    if (validation.isEmpty()) {
      throw new IOException(
          "%s: has no images (%s) in folders of classes"
              .formatted(folder.name(inner), extensions()));
    }
    return new Dataset(classes, List.of(), validation);
  }

  private static void checkIsFolder(Folder folder) throws IOException {
    if (!folder.has("")) {
      throw new IOException(folder.name("") + ": does not exist, or is not a folder");
    }
  }

  private static List<String> trainingClasses(Folder folder, String inner) throws IOException {
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
    return folder.folders(inner).stream()
        .filter(name -> !name.startsWith("."))
        .sorted(PYTHON_ORDER)
        .toList();
  }

  private static List<Example> trainingExamples(Folder folder, String ofClass, int label)
      throws IOException {
    List<Example> found = examples(folder, ofClass, label);
    if (found.isEmpty()) {
      throw new IOException(
          "%s: has no images (%s); add some, or delete the folder"
              .formatted(folder.name(ofClass), extensions()));
    }
    return found;
  }

  private static String extensions() {
    return String.join(", ", ImageDecoder.EXTENSIONS.stream().sorted().toList());
  }

  private static List<Example> examples(Folder folder, String inner, int label) throws IOException {
    return folder.files(inner).stream()
        .filter(ImageDecoder::isImageName)
        .sorted(PYTHON_ORDER)
        .map(file -> new Example(file, label, folder.source(file)))
        .toList();
  }

  /**
   * A description of this data set that identifies it, for people: its classes, and for each the
   * number of images with a checksum of their names and sizes, and of their contents if they have
   * at most 1 GB in total. The location of the folder is not part of it.
   */
  Map<String, String> fields() throws IOException {
    var fields = new LinkedHashMap<String, String>();
    fields.put("classes", classes.size() + ": " + String.join(", ", classes));
    ImageDecoder decoder =
        train.isEmpty() ? ImageDecoder.DEFAULT : train.getFirst().source.decoder();
    if (decoder.exifOrientation()) {
      fields.put("EXIF orientation", "applied");
    }
    if (decoder.maxPixels() != ImageDecoder.DEFAULT_MAX_PIXELS) {
      fields.put("maximum pixels", String.valueOf(decoder.maxPixels()));
    }
    if (train instanceof ShardedExamples shards) {
      fields.put("shuffle window (images)", String.valueOf(shards.window()));
    }
    int root = commonFolder();
    long bytes = 0;
    for (List<Example> split : List.of(train, val)) {
      for (Example example : split) {
        bytes += example.source.size();
      }
    }
    addFields("training", train, root, bytes <= MAX_CHECKSUM_BYTES, fields);
    addFields("validation", val, root, bytes <= MAX_CHECKSUM_BYTES, fields);
    return fields;
  }

  private void addFields(
      String split, List<Example> examples, int root, boolean contents, Map<String, String> fields)
      throws IOException {
    boolean byClass = examples.isEmpty() || examples.getFirst().target instanceof Target.Label;
    int groups = byClass ? classes.size() : 1;
    int[] counts = new int[groups];
    var checksums = new ArrayList<CRC32C>();
    for (int group = 0; group < groups; group++) {
      checksums.add(new CRC32C());
    }
    byte[] buffer = new byte[1 << 16];
    for (Example example : examples) {
      int group = byClass ? example.label() : 0;
      CRC32C checksum = checksums.get(group);
      counts[group]++;
      String line = example.name.substring(root) + "\n" + example.source.size() + "\n";
      checksum.update(line.getBytes(StandardCharsets.UTF_8));
      if (!byClass) {
        checksum.update(example.target.toString().getBytes(StandardCharsets.UTF_8));
      }
      if (example.weight != 1) {
        checksum.update(String.valueOf(example.weight).getBytes(StandardCharsets.UTF_8));
      }
      if (contents) {
        try (InputStream in = example.source.open()) {
          for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
            checksum.update(buffer, 0, n);
          }
        }
      }
    }
    for (int label = 0; label < counts.length; label++) {
      fields.put(
          byClass
              ? "%s images of class '%s'".formatted(split, classes.get(label))
              : split + " images",
          String.format(
              Locale.ROOT, // compared when a training resumes, perhaps under another locale
              "%,d (checksum %08x)",
              counts[label],
              checksums.get(label).getValue()));
    }
  }

  /** The length of the common folder prefix of all names. */
  private int commonFolder() {
    String common = train.isEmpty() ? "" : train.getFirst().name;
    for (List<Example> split : List.of(train, val)) {
      for (Example example : split) {
        int same = 0;
        int length = Math.min(common.length(), example.name.length());
        while (same < length && common.charAt(same) == example.name.charAt(same)) {
          same++;
        }
        common = common.substring(0, same);
      }
    }
    return common.lastIndexOf('/') + 1;
  }

  /** {@code Dataset[10 classes, 800 for training, 200 for validation]}. */
  @Override
  public String toString() {
    return "Dataset[%d classes, %d for training, %d for validation]"
        .formatted(classes.size(), train.size(), val.size());
  }
}
