package io.github.resnet4j.cli;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.datasets.DataInspection;
import io.github.resnet4j.datasets.DataInspection.Duplicates;
import io.github.resnet4j.datasets.Datasets;
import io.github.resnet4j.datasets.ReadOptions;
import io.github.resnet4j.figures.ContactSheet;
import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.train.Dataset;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Workload(Workload.Kind.LONG)
@Command(
    name = "data",
    mixinStandardHelpOptions = true,
    description = {
      "Inspects the images of a data set before a training.",
      "",
      "Reads every image of a folder, table or shards, and prints the number of images of each"
          + " class, their sizes and formats, the files that cannot be read, and images that occur"
          + " twice, also in training and validation (leakage). Duplicates have the same bytes.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  resnet4j data inspect photos/",
      "  resnet4j data inspect photos/ --json -o sheet.png",
    })
final class DataCommand implements Callable<Integer> {
  /** What to do with the data. */
  enum Action {
    INSPECT
  }

  @Parameters(index = "0", paramLabel = "inspect", description = "What to do: inspect.")
  private Action action = Action.INSPECT;

  @Parameters(
      index = "1",
      paramLabel = "DATA",
      description = "Images, as for 'train': a folder, a table, shards, or 'digits'.")
  private Path path = Path.of("");

  @Option(
      names = "--val",
      paramLabel = "DATA",
      description = "The validation images, if DATA has only the training images.")
  private @Nullable Path validation;

  @Option(
      names = "--min-images",
      paramLabel = "N",
      description = "Name classes with fewer training images than N; default ${DEFAULT-VALUE}.")
  @Range(min = 0)
  private int minImages = 10;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Write a contact sheet with a few images of each class (.png).")
  @Output
  private @Nullable Path sheet;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Mixin private DecodingOptions decoding = new DecodingOptions();

  private final List<String> damages = new ArrayList<>();

  @Override
  public Integer call() throws IOException, InterruptedException {
    var reading =
        ReadOptions.DEFAULT
            .withDecoder(decoding.decoder())
            .withSplit(0, 0)
            .withDamages(damage -> damages.add(damage.getMessage()));
    Dataset data = data(reading);
    Dataset other = validation == null ? null : Datasets.toEvaluate(validation, reading);
    long all = (long) data.train().size() + data.val().size();
    DataInspection found;
    try (var progress = new Progress("inspect", " images", 1)) {
      found = DataInspection.of(data, other, done -> progress.at(done, Math.max(done, all)));
    }
    if (json) {
      System.out.println(JSON.std.asString(object(found)));
    } else {
      print(found);
    }
    if (sheet != null) {
      List<ContactSheet.Entry> entries =
          found.sheet().stream()
              .map(each ->
                  new ContactSheet.Entry(
                      each.image(), each.label(), Path.of(each.name()).getFileName().toString()))
              .toList();
      if (entries.isEmpty()) {
        throw new IOException(path + ": no image can be read, so there is no contact sheet");
      }
      FigureFile.writePng(ContactSheet.draw(entries), sheet);
      Main.wrote(sheet);
    }
    return found.unreadable() > 0 || !damages.isEmpty() ? Main.SOME_UNREADABLE : Main.OK;
  }

  /**
   * Whether the value of --data is the embedded data set: 'digits', unless a file has that name.
   */
  static boolean isDigits(String data) {
    return data.equals("digits") && !Files.exists(Path.of(data));
  }

  /** Also folders that 'train' rejects, because a class has no images, or there is only one. */
  private Dataset data(ReadOptions reading) throws IOException {
    if (isDigits(path.toString())) {
      return Dataset.digits();
    }
    try {
      return Datasets.of(path, reading);
    } catch (IOException e) {
      if (Files.isDirectory(path) && !Files.isDirectory(path.resolve("train"))) {
        Dataset all = Datasets.toEvaluate(path, reading);
        return new Dataset(all.classes(), all.val(), List.of());
      }
      throw e;
    }
  }

  private List<String> classesWithout(DataInspection found) {
    return found.classes().entrySet().stream()
        .filter(entry -> entry.getValue()[0] + entry.getValue()[1] == 0)
        .map(Map.Entry::getKey)
        .toList();
  }

  private List<String> classesWithFew(DataInspection found) {
    return found.classes().entrySet().stream()
        .filter(entry -> entry.getValue()[0] < minImages)
        .filter(entry -> entry.getValue()[0] + entry.getValue()[1] > 0)
        .map(entry -> "%s (%,d)".formatted(entry.getKey(), entry.getValue()[0]))
        .toList();
  }

  private void print(DataInspection found) throws IOException {
    System.out.printf(
        "%,d training images, %,d validation images, %,d classes%n",
        found.images()[0], found.images()[1], found.classes().size());
    if (!found.classes().isEmpty()) {
      var rows = new ArrayList<List<Object>>();
      found.classes().forEach((name, counts) -> rows.add(List.of(name, counts[0], counts[1])));
      new Table(List.of("class", "training", "validation"), rows, List.of())
          .print(Table.Format.TEXT, System.out);
    }
    if (!found.widths().isEmpty()) {
      System.out.printf("width   %s%n", range(found.widths()));
      System.out.printf("height  %s%n", range(found.heights()));
    }
    found
        .formats()
        .forEach((format, count) -> System.out.printf("format  %s: %,d%n", format, count));
    list("labels that never occur", classesWithout(found));
    list("classes with fewer than %,d training images".formatted(minImages), classesWithFew(found));
    Duplicates duplicates = found.duplicates();
    System.out.printf(
        "duplicates: %,d in training, %,d in validation, %,d in both (leakage)%n",
        duplicates.train(), duplicates.val(), duplicates.leaked());
    duplicates.pairs().stream()
        .limit(NameList.SHOWN)
        .forEach(pair -> System.out.printf("  %s = %s%n", pair.first(), pair.second()));
    System.out.printf("unreadable: %,d%n", found.unreadable() + damages.size());
    damages.stream().limit(NameList.SHOWN).forEach(each -> System.out.println("  " + each));
    found.reasons().stream().limit(NameList.SHOWN).forEach(each -> System.out.println("  " + each));
  }

  private static void list(String title, List<String> names) {
    if (!names.isEmpty()) {
      System.out.printf("%s: %s%n", title, new NameList(names));
    }
  }

  private static String range(TreeMap<Integer, Long> counts) {
    return "minimum %,d, median %,d, maximum %,d"
        .formatted(counts.firstKey(), DataInspection.median(counts), counts.lastKey());
  }

  private Map<String, Object> object(DataInspection found) {
    var object = new LinkedHashMap<String, Object>();
    object.put("training", found.images()[0]);
    object.put("validation", found.images()[1]);
    var classes = new LinkedHashMap<String, Object>();
    found
        .classes()
        .forEach((name, counts) ->
            classes.put(name, Map.of("training", counts[0], "validation", counts[1])));
    object.put("classes", classes);
    if (!found.widths().isEmpty()) {
      object.put("width", values(found.widths()));
      object.put("height", values(found.heights()));
    }
    object.put("formats", found.formats());
    object.put("labels_that_never_occur", classesWithout(found));
    object.put(
        "duplicates",
        Map.of(
            "training", found.duplicates().train(),
            "validation", found.duplicates().val(),
            "leaked", found.duplicates().leaked(),
            "pairs",
                found.duplicates().pairs().stream()
                    .map(pair -> List.of(pair.first(), pair.second()))
                    .toList()));
    object.put("unreadable", found.unreadable());
    var reasons = new ArrayList<String>(damages);
    reasons.addAll(found.reasons());
    object.put("reasons", reasons);
    return object;
  }

  private static Map<String, Integer> values(TreeMap<Integer, Long> counts) {
    var values = new LinkedHashMap<String, Integer>();
    values.put("minimum", counts.firstKey());
    values.put("median", DataInspection.median(counts));
    values.put("maximum", counts.lastKey());
    return values;
  }
}
