package io.github.resnet4j.datasets;

import io.github.resnet4j.datasets.TableRows.Row;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Target;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Images listed in a table: CSV or TSV with a header, or JSON lines, one object per line.
 *
 * <ul>
 *   <li>{@code path} (or {@code file_name}, {@code file}, {@code image}): the image, relative to
 *       the table's folder;
 *   <li>{@code split}, optional: {@code train}, {@code val} or {@code test}; images for test are
 *       not used;
 *   <li>{@code sample_weight}, optional: how often the image is drawn by weighted sampling,
 *       relative to other images; 0 or more
 *   <li>{@code label}: the name of the image's class; or {@code labels}: the names of its classes,
 *       separated by {@code |} or {@code ;}, or a list in JSON, also none;
 *   <li>without these, all other columns are targets: classes that each image has (1) or has not
 *       (0), if there are no other values; else numbers.
 * </ul>
 */
public final class ImageTable {
  private static final List<String> PATHS = List.of("path", "file_name", "file", "image");
  private static final String SPLIT = "split";
  private static final String WEIGHT = "sample_weight";

  /** The targets of the rows. */
  private enum Kind {
    LABEL,
    LABELS,
    FLAGS,
    NUMBERS
  }

  /** A part of the rows. */
  private enum Split {
    TRAIN,
    VAL,
    TEST
  }

  private final Path file;
  private final ImageDecoder decoder;
  private final List<Row> rows;
  private final String path;
  private final List<String> targets;
  private final Kind kind;

  private ImageTable(
      Path file,
      ImageDecoder decoder,
      List<Row> rows,
      String path,
      List<String> targets,
      Kind kind) {
    this.file = file;
    this.decoder = decoder;
    this.rows = rows;
    this.path = path;
    this.targets = targets;
    this.kind = kind;
  }

  /** Whether a file has the name of a table: {@code .csv}, {@code .tsv}, {@code .jsonl}. */
  public static boolean isTable(Path file) {
    String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    return name.endsWith(".csv") || name.endsWith(".tsv") || name.endsWith(".jsonl");
  }

  /**
   * Reads a table; no image is opened yet.
   *
   * @param decoder reads image files
   * @throws IOException if it cannot be read, or a column or a value is missing or not understood;
   *     the message names the line
   */
  public static ImageTable read(Path file, ImageDecoder decoder) throws IOException {
    List<Row> rows = TableRows.read(file);
    if (rows.isEmpty()) {
      throw new IOException(file + ": lists no images");
    }
    Set<String> columns = rows.getFirst().cells().keySet();
    String path =
        PATHS.stream()
            .filter(columns::contains)
            .findFirst()
            .orElseThrow(() ->
                new IOException(
                    "%s: has no column 'path' with the images' files; it has %s%s"
                        .formatted(
                            file,
                            String.join(", ", columns),
                            columns.size() > 1
                                ? ""
                                : "; columns are separated by commas, in .tsv by tabs")));
    if (columns.contains("label")) {
      return new ImageTable(file, decoder, rows, path, List.of("label"), Kind.LABEL);
    }
    if (columns.contains("labels")) {
      return new ImageTable(file, decoder, rows, path, List.of("labels"), Kind.LABELS);
    }
    List<String> targets =
        columns.stream().filter(name -> !List.of(path, SPLIT, WEIGHT).contains(name)).toList();
    if (targets.isEmpty()) {
      throw new IOException(
          file
              + ": has no column with targets: 'label', 'labels', classes with 0 and 1, or"
              + " numbers");
    }
    var table = new ImageTable(file, decoder, rows, path, targets, Kind.FLAGS);
    for (Row row : rows) {
      for (String target : targets) {
        float value = table.number(row, target);
        if (value != 0 && value != 1) {
          return new ImageTable(file, decoder, rows, path, targets, Kind.NUMBERS);
        }
      }
    }
    return table;
  }

  /**
   * The data set.
   *
   * @param split the fraction of the images that is held out for validation, if there is no column
   *     {@code split}: of each class, if images have one class each
   * @param seed the random seed of the split
   * @throws IOException if a value is not understood, or there is nothing to train on
   */
  public Dataset dataset(double split, long seed) throws IOException {
    List<String> classes = classes();
    var train = new ArrayList<>(examples(Split.TRAIN, classes));
    List<Example> val = examples(Split.VAL, classes);
    if (train.isEmpty()) {
      throw new IOException(file + ": lists no images for training");
    }
    return rows.getFirst().cells().containsKey(SPLIT)
        ? new Dataset(classes, train, val)
        : Dataset.split(classes, train, split, seed);
  }

  /**
   * The data set of this table for training and another one for validation.
   *
   * @throws IOException as {@link #dataset(double, long)}, and if the other table has a class that
   *     this one lacks, or other targets
   */
  public Dataset dataset(ImageTable validation) throws IOException {
    if (kind != validation.kind && !(kind == Kind.NUMBERS && validation.kind == Kind.FLAGS)) {
      throw new IOException(
          "%s: its targets, %s, are not those of %s, %s"
              .formatted(
                  validation.file,
                  String.join(", ", validation.targets),
                  file,
                  String.join(", ", targets)));
    }
    List<String> classes = classes();
    var same =
        new ImageTable(validation.file, decoder, validation.rows, validation.path, targets, kind);
    return new Dataset(classes, all(classes), same.all(classes));
  }

  /** Names in the order of their code points, as for folders; those of columns in their order. */
  private List<String> classes() throws IOException {
    if (kind == Kind.FLAGS || kind == Kind.NUMBERS) {
      return targets;
    }
    var names = new TreeSet<>(Dataset.PYTHON_ORDER);
    for (Row row : rows) {
      names.addAll(labels(row));
    }
    return List.copyOf(names);
  }

  private List<Example> examples(Split split, List<String> classes) throws IOException {
    var examples = new ArrayList<Example>();
    Map<String, Integer> indices = indices(classes);
    for (Row row : rows) {
      if (split(row) == split) {
        examples.add(example(row, indices));
      }
    }
    return examples;
  }

  private List<Example> all(List<String> classes) throws IOException {
    var examples = new ArrayList<Example>();
    Map<String, Integer> indices = indices(classes);
    for (Row row : rows) {
      examples.add(example(row, indices));
    }
    return examples;
  }

  private static Map<String, Integer> indices(List<String> classes) {
    var indices = new HashMap<String, Integer>();
    classes.forEach(name -> indices.put(name, indices.size()));
    return indices;
  }

  private Example example(Row row, Map<String, Integer> indices) throws IOException {
    Path image = image(row);
    double weight = row.cells().containsKey(WEIGHT) ? number(row, WEIGHT) : 1;
    if (weight < 0) {
      throw error(row, "'%s' must be at least 0, was %s".formatted(WEIGHT, weight));
    }
    return new Example(
        image.toString(), target(row, indices), Dataset.file(image, decoder), weight);
  }

  private Path image(Row row) throws IOException {
    String name = cell(row, path);
    if (name.isEmpty()) {
      throw error(row, "has no '%s'".formatted(path));
    }
    if (name.matches("[a-z][a-z0-9]+://.*")) {
      throw error(row, "'%s' is an address; download the images first".formatted(path));
    }
    try {
      Path image = file.resolveSibling(name);
      return name.contains("\\") && !Files.exists(image) // a table written on Windows
          ? file.resolveSibling(name.replace('\\', '/'))
          : image;
    } catch (InvalidPathException e) {
      throw error(row, "'%s' is not a file name: %s".formatted(path, e.getReason()));
    }
  }

  private Target target(Row row, Map<String, Integer> indices) throws IOException {
    switch (kind) {
      case LABEL, LABELS -> {
        var found = new ArrayList<Integer>();
        for (String name : labels(row)) {
          Integer index = indices.get(name);
          if (index == null) {
            throw error(row, "'%s' is not a class of the training images".formatted(name));
          }
          found.add(index);
        }
        return kind == Kind.LABEL ? new Target.Label(found.getFirst()) : new Target.Labels(found);
      }
      case FLAGS -> {
        var found = new ArrayList<Integer>();
        for (String name : targets) {
          float value = number(row, name);
          if (value == 1) {
            found.add(indices.get(name));
          } else if (value != 0) {
            throw error(row, "'%s' must be 0 or 1, was %s".formatted(name, value));
          }
        }
        return new Target.Labels(found);
      }
      case NUMBERS -> {
        var values = new ArrayList<Float>();
        for (String name : targets) {
          values.add(number(row, name));
        }
        return new Target.Values(values);
      }
    }
    throw new IllegalStateException();
  }

  private List<String> labels(Row row) throws IOException {
    if (kind == Kind.LABEL) {
      String label = cell(row, "label");
      if (label.isEmpty()) {
        throw error(row, "has no label");
      }
      return List.of(label);
    }
    @Nullable List<String> cell = row.cells().get("labels");
    if (cell == null) {
      throw error(row, "has no 'labels': a text or a list of texts, which may be empty");
    }
    return cell.stream()
        .flatMap(text -> Arrays.stream(text.split("[|;]")))
        .map(String::strip)
        .filter(name -> !name.isEmpty())
        .toList();
  }

  private float number(Row row, String column) throws IOException {
    String text = cell(row, column);
    try {
      float value = Float.parseFloat(text);
      if (Float.isFinite(value)) {
        return value;
      }
    } catch (NumberFormatException _) {
      // reported below
    }
    throw error(
        row,
        "'%s' must be a number, was '%s'; a column of names is called 'label' or 'labels'"
            .formatted(column, text));
  }

  private Split split(Row row) throws IOException {
    if (!rows.getFirst().cells().containsKey(SPLIT)) {
      return Split.TRAIN;
    }
    String text = cell(row, SPLIT);
    return switch (text.toLowerCase(Locale.ROOT)) {
      case "train", "training" -> Split.TRAIN;
      case "val", "valid", "validation" -> Split.VAL;
      case "test" -> Split.TEST;
      default -> throw error(row, "split must be train, val or test, was '%s'".formatted(text));
    };
  }

  private String cell(Row row, String column) throws IOException {
    @Nullable List<String> cell = row.cells().get(column);
    if (cell == null) {
      throw error(row, "has no '%s' that is a text or a number".formatted(column));
    }
    if (cell.size() != 1) {
      throw error(row, "'%s' must be one value, was %s".formatted(column, cell));
    }
    return cell.getFirst();
  }

  private IOException error(Row row, String reason) {
    return new IOException("%s, line %d: %s".formatted(file, row.line(), reason));
  }
}
