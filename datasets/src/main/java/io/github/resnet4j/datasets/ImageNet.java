package io.github.resnet4j.datasets;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Model;
import io.github.resnet4j.datasets.TableRows.Row;
import io.github.resnet4j.image.ImageFolder;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Target;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * ImageNet's 1,000 classes (ILSVRC 2012) as its files name them: by synset, or by number. The class
 * with the index i is the i-th synset in ascending order, as in torchvision, timm, Caffe and Keras.
 */
public final class ImageNet {
  private static final int CLASSES = 1000;
  private static final int MAX_FILE_BYTES = 1 << 24; // ReaL has 388 kB, Kaggle's table 2 MB
  private static final Pattern SYNSET = Pattern.compile("n[0-9]{8}");
  private static final Pattern NUMBER = Pattern.compile("0|[1-9][0-9]{0,2}");
  private static final Map<String, Integer> SYNSETS = synsets();

  private ImageNet() {}

  private static Map<String, Integer> synsets() {
    try (InputStream in =
        Objects.requireNonNull(ImageNet.class.getResourceAsStream("imagenet-synsets.txt"))) {
      var indices = new LinkedHashMap<String, Integer>();
      new String(in.readAllBytes(), StandardCharsets.US_ASCII)
          .lines()
          .forEach(synset -> indices.put(synset, indices.size()));
      return indices;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Whether a model has ImageNet's 1,000 classes in their usual order: it has 1,000 labels, which
   * are numbers, or begin with those of the first and of the last class.
   */
  public static boolean hasClasses(List<String> labels) {
    return labels.size() == CLASSES
        && ((labels.getFirst().startsWith("tench") && labels.getLast().startsWith("toilet tissue"))
            || labels.equals(Model.numbered(CLASSES)));
  }

  /**
   * The index of a class.
   *
   * @param name its synset, such as {@code n01440764}, or its number, 0 to 999, by which
   *     ImageNet-V2 names its folders
   * @return empty if it is neither
   */
  public static OptionalInt index(String name) {
    if (NUMBER.matcher(name).matches()) {
      return OptionalInt.of(Integer.parseInt(name));
    }
    Integer index = SYNSETS.get(name);
    return index == null ? OptionalInt.empty() : OptionalInt.of(index);
  }

  /**
   * The validation images, which are named {@code ILSVRC2012_val_00000001.JPEG} and so on, with the
   * classes of a file:
   *
   * <ul>
   *   <li>{@code LOC_val_solution.csv} of Kaggle;
   *   <li>a text with a synset in each line, for the images in the order of their numbers, such as
   *       TensorFlow's {@code imagenet_2012_validation_synset_labels.txt};
   *   <li>a text with an image and its class, a number or a synset, in each line, such as Caffe's
   *       {@code val.txt};
   *   <li>{@code real.json} of ReaL (arXiv 2006.07159): a list of the right classes of each image
   *       in the order of their numbers. Images without a right class are left out.
   * </ul>
   *
   * <p>{@code ILSVRC2012_validation_ground_truth.txt} of the development kit is rejected: its
   * numbers are not those of the sorted synsets, and their meaning is only in a MATLAB file.
   *
   * @param folder contains the images, or {@code val/} with the images, in folders or not
   * @param labels the model's labels
   * @param options its damages receive how many images are missing or left out
   * @return the images in {@link Dataset#val}, with the labels as classes: of ReaL {@link
   *     Target.Labels}, else {@link Target.Label}
   * @throws IOException if the model has other classes, a file cannot be read or is not understood,
   *     or the file does not list an image
   */
  public static Dataset validation(
      Path folder, Path groundTruth, List<String> labels, ReadOptions options) throws IOException {
    if (!hasClasses(labels)) {
      throw new IOException(
          ("%s: needs a model with ImageNet's 1,000 classes in their usual order; this one has %,d"
                  + " classes, %s …")
              .formatted(groundTruth, labels.size(), labels.getFirst()));
    }
    if (!Files.isDirectory(folder)) {
      throw new IOException(folder + ": does not exist, or is not a folder");
    }
    Map<String, List<Integer>> classes = read(groundTruth);
    boolean real = isNamed(groundTruth, ".json");
    Path inner = images(folder);
    var examples = new ArrayList<Example>();
    Set<String> found = new HashSet<>();
    int withoutClass = 0;
    List<String> files =
        ImageFolder.images(inner).stream()
            .map(Path::toString)
            .sorted(Dataset.PYTHON_ORDER)
            .toList();
    for (String file : files) {
      String image = imageName(Path.of(file).getFileName().toString());
      List<Integer> right = classes.get(image);
      if (right == null) {
        throw new IOException(
            "%s: %s has no class for this image; it has them for %s and others"
                .formatted(file, groundTruth, classes.keySet().iterator().next()));
      }
      found.add(image);
      if (right.isEmpty()) {
        withoutClass++;
        continue;
      }
      Target target = real ? new Target.Labels(right) : new Target.Label(right.getFirst());
      examples.add(new Example(file, target, Dataset.file(Path.of(file), options.decoder())));
    }
    if (examples.isEmpty()) {
      throw new IOException(inner + ": has no images with a class in " + groundTruth);
    }
    if (withoutClass > 0) {
      options
          .damages()
          .found(
              new IOException(
                  "%s: %,d of the images have no right class and are left out"
                      .formatted(groundTruth, withoutClass)));
    }
    if (found.size() < classes.size()) {
      options
          .damages()
          .found(
              new IOException(
                  "%s: %,d of the %,d images are not in %s"
                      .formatted(
                          groundTruth, classes.size() - found.size(), classes.size(), inner)));
    }
    return new Dataset(labels, List.of(), examples);
  }

  /**
   * Whether a folder or its {@code val/} has no folders of classes, but validation images with
   * ImageNet's names, whose classes are in another file.
   */
  public static boolean isFlat(Path folder) throws IOException {
    Path inner = images(folder);
    return Files.isDirectory(inner)
        && ImageFolder.files(inner, 1).stream()
            .anyMatch(file -> file.getFileName().toString().startsWith("ILSVRC2012_val_"));
  }

  private static Path images(Path folder) {
    Path val = folder.resolve("val");
    return Files.isDirectory(val) ? val : folder;
  }

  /** {@code ILSVRC2012_val_00000293} of {@code val/ILSVRC2012_val_00000293_n01440764.JPEG}. */
  private static String imageName(String file) {
    String name = file.substring(file.lastIndexOf('/') + 1);
    int dot = name.lastIndexOf('.');
    return (dot < 0 ? name : name.substring(0, dot)).replaceFirst("_n[0-9]{8}$", "");
  }

  private static String imageName(long number) {
    return "ILSVRC2012_val_%08d".formatted(number);
  }

  private static boolean isNamed(Path file, String extension) {
    return file.toString().toLowerCase(Locale.ROOT).endsWith(extension);
  }

  /** The indices of the right classes of each image, without folder and extension. */
  private static Map<String, List<Integer>> read(Path file) throws IOException {
    if (Files.isRegularFile(file) && Files.size(file) > MAX_FILE_BYTES) {
      throw new IOException(
          file + ": is larger than 16 MB, so it is no list of ImageNet's classes");
    }
    Map<String, List<Integer>> classes;
    try {
      classes =
          isNamed(file, ".csv") ? csv(file) : isNamed(file, ".json") ? real(file) : text(file);
    } catch (CharacterCodingException e) {
      throw new IOException(file + ": is not a text", e);
    }
    if (classes.isEmpty()) {
      throw new IOException(file + ": lists no images");
    }
    return classes;
  }

  private static Map<String, List<Integer>> csv(Path file) throws IOException {
    var classes = new LinkedHashMap<String, List<Integer>>();
    for (Row row : TableRows.read(file)) {
      List<String> image = row.cells().get("ImageId");
      List<String> boxes = row.cells().get("PredictionString"); // n03995372 85 1 499 272 …
      if (image == null || boxes == null) {
        throw new IOException(
            "%s: needs the columns ImageId and PredictionString, as LOC_val_solution.csv; it has %s"
                .formatted(file, String.join(", ", row.cells().keySet())));
      }
      String synset = boxes.getFirst().split(" ", 2)[0];
      add(classes, imageName(image.getFirst()), synset, file, row.line());
    }
    return classes;
  }

  private static Map<String, List<Integer>> text(Path file) throws IOException {
    var classes = new LinkedHashMap<String, List<Integer>>();
    long number = 0;
    for (String line : Files.readString(file).stripTrailing().lines().toList()) {
      number++;
      String[] words = line.strip().split("\\s+");
      if (words.length == 2) {
        add(classes, imageName(words[0]), words[1], file, number);
      } else if (words.length == 1 && SYNSET.matcher(words[0]).matches()) {
        add(classes, imageName(number), words[0], file, number);
      } else if (words.length == 1 && words[0].matches("[0-9]+")) {
        throw new IOException(
            ("%s, line %d: the number %s without an image may be one of the development kit, which"
                    + " differ from those of the models; use a file with a synset in each line,"
                    + " Kaggle's LOC_val_solution.csv, or lines such as"
                    + " 'ILSVRC2012_val_00000001.JPEG 65'")
                .formatted(file, number, words[0]));
      } else {
        throw new IOException(
            ("%s, line %d: must be a synset such as n01440764, or an image and its class such as"
                    + " 'ILSVRC2012_val_00000001.JPEG 65'")
                .formatted(file, number));
      }
    }
    return classes;
  }

  private static void add(
      Map<String, List<Integer>> classes, String image, String name, Path file, long line)
      throws IOException {
    OptionalInt index = index(name);
    if (index.isEmpty()) {
      throw new IOException(
          "%s, line %d: '%s' is none of ImageNet's 1,000 classes".formatted(file, line, name));
    }
    if (classes.put(image, List.of(index.getAsInt())) != null) {
      throw new IOException("%s, line %d: lists %s again".formatted(file, line, image));
    }
  }

  private static Map<String, List<Integer>> real(Path file) throws IOException {
    String text = Files.readString(file);
    List<Object> lists;
    try {
      lists = JSON.std.listFrom(text);
    } catch (IOException e) {
      throw new IOException(
          file + ": is not a list in JSON, as ReaL's real.json: " + e.getMessage(), e);
    }
    var classes = new LinkedHashMap<String, List<Integer>>();
    for (Object each : lists) {
      int number = classes.size() + 1;
      if (!(each instanceof List<?> list)) {
        throw new IOException(
            "%s, image %d: must be a list of class numbers, was %s".formatted(file, number, each));
      }
      var right = new ArrayList<Integer>();
      for (Object value : list) {
        if (!(value instanceof Integer index && index >= 0 && index < CLASSES)) {
          throw new IOException(
              "%s, image %d: '%s' is not a class number from 0 to 999"
                  .formatted(file, number, value));
        }
        right.add(index);
      }
      classes.put(imageName(number), right);
    }
    return classes;
  }
}
