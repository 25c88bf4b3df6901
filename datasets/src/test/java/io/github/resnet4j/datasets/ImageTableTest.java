package io.github.resnet4j.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Task;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Target;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageTableTest {
  @TempDir private Path folder;

  private Path write(String name, String content) throws IOException {
    return Files.writeString(folder.resolve(name), content);
  }

  private Dataset read(String name, String content) throws IOException {
    return Datasets.of(write(name, content), ImageDecoder.DEFAULT, 0, 0);
  }

  private static List<Target> targets(List<Example> examples) {
    return examples.stream().map(Example::target).toList();
  }

  @Test
  void columnLabelHasOneClass() throws IOException {
    Dataset data =
        read(
            "a.csv",
            """
            \uFEFFpath,label,split
            "my, cat.jpg",cat,train
            b/dog.jpg,"a ""big"" dog",train

            c.jpg,cat,val
            d.jpg,bird,test
            """);
    // Classes are those of all rows, in the order of code points.
    assertEquals(List.of("a \"big\" dog", "bird", "cat"), data.classes());
    assertEquals(List.of(new Target.Label(2), new Target.Label(0)), targets(data.train()));
    assertEquals(folder.resolve("my, cat.jpg").toString(), data.train().getFirst().name());
    assertEquals(List.of(new Target.Label(2)), targets(data.val()));
    assertEquals(Task.SINGLE_LABEL, data.task());
  }

  @Test
  void weightsOfImagesAreRead() throws IOException {
    Dataset data = read("w.csv", "path,age,sample_weight\na.jpg,3,0.5\nb.jpg,4,2\n");
    assertEquals(List.of("age"), data.classes());
    assertEquals(List.of(0.5, 2.0), data.train().stream().map(Example::weight).toList());
    var e =
        assertThrows(
            IOException.class,
            () -> read("x.csv", "path,label,sample_weight\na.jpg,x,-1\nb.jpg,y,2\n"));
    assertTrue(e.getMessage().contains("line 2: 'sample_weight' must be at least 0"), e.toString());
  }

  @Test
  void columnLabelsHasSeveralClasses() throws IOException {
    Dataset data = read("a.tsv", "file_name\tlabels\na.jpg\tx|y\nb.jpg\t\nc.jpg\ty; z ;\n");
    assertEquals(List.of("x", "y", "z"), data.classes());
    List<Target> expected =
        List.of(
            new Target.Labels(List.of(0, 1)),
            new Target.Labels(List.of()),
            new Target.Labels(List.of(1, 2)));
    assertEquals(expected, targets(data.train()));
    assertEquals(Task.MultiLabel.of(3), data.task());
    Path lines =
        write(
            "a.jsonl",
            """
            {"file_name": "a.jpg", "labels": ["y", "x"]}
            {"file_name": "b.jpg", "labels": []}
            {"file_name": "c.jpg", "labels": ["y", "z"]}
            """);
    assertEquals(expected, targets(Datasets.of(lines, ImageDecoder.DEFAULT, 0, 0).train()));
  }

  @Test
  void columnsOfZerosAndOnesAreClasses() throws IOException {
    Dataset data = read("a.csv", "image,dog,cat\na.jpg,0,1\nb.jpg,1,1.0\n");
    assertEquals(List.of("dog", "cat"), data.classes());
    assertEquals(
        List.of(new Target.Labels(List.of(1)), new Target.Labels(List.of(0, 1))),
        targets(data.train()));
  }

  @Test
  void columnsOfNumbersAreStandardized() throws IOException {
    Dataset data = read("a.csv", "path,age,height\na.jpg,20,1.5\nb.jpg,40,1.5\n");
    assertEquals(List.of("age", "height"), data.classes());
    assertEquals(new Target.Values(List.of(40f, 1.5f)), data.train().get(1).target());
    // A number that is always the same has no deviation to divide by.
    assertEquals(new Task.Regression(List.of(30f, 1.5f), List.of(10f, 1f)), data.task());
  }

  /** A path of a folder is an image that cannot be read, and not an error of the table. */
  @Test
  void foldersAreNoImages() throws IOException {
    Dataset.Source source = read("a.csv", "path,label\n.,x\nb.jpg,y\n").train().getFirst().source();
    assertEquals(0, source.size());
    assertEquals(0, source.open().readAllBytes().length);
    assertError("is a folder", source::read);
  }

  /** As pandas writes its index. */
  @Test
  void columnsWithoutNameAreNoTargets() throws IOException {
    assertEquals(List.of("age"), read("a.csv", ",path,age\n0,a.jpg,20\n1,b.jpg,40\n").classes());
  }

  @Test
  void fractionIsHeldOutOfEachClass() throws IOException {
    var rows = new StringBuilder("path,label\n");
    for (int i = 0; i < 40; i++) {
      rows.append("%d.jpg,%s\n".formatted(i, i < 30 ? "a" : "b"));
    }
    Path file = write("a.csv", rows.toString());
    Dataset data = Datasets.of(file, ImageDecoder.DEFAULT, 0.2, 1);
    assertEquals(List.of(24L, 8L), Arrays.stream(data.counts(data.train())).boxed().toList());
    assertEquals(data, Datasets.of(file, ImageDecoder.DEFAULT, 0.2, 1));
    assertEquals(40, Datasets.toEvaluate(file, ReadOptions.DEFAULT).val().size());
  }

  @Test
  void validationMayBeAnotherTable() throws IOException {
    Path train = write("train.csv", "path,label\na.jpg,x\nb.jpg,y\n");
    Path val = write("val.csv", "path,label\nc.jpg,y\n");
    Dataset data = Datasets.of(train, val, ReadOptions.DEFAULT);
    assertEquals(List.of(new Target.Label(1)), targets(data.val()));
    Path other = write("other.csv", "path,label\nc.jpg,z\n");
    assertError(
        "other.csv, line 2: 'z' is not a class of the training images",
        () -> Datasets.of(train, other, ReadOptions.DEFAULT));
    Path numbers = write("numbers.csv", "path,age\nc.jpg,3\n");
    assertError(
        "its targets, age, are not those of",
        () -> Datasets.of(train, numbers, ReadOptions.DEFAULT));
  }

  private interface Call {
    void run() throws IOException;
  }

  private static void assertError(String message, Call call) {
    var e = assertThrows(IOException.class, call::run);
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }

  @Test
  void errorsNameTheLine() {
    assertError("none of the images has a label", () -> read("a.csv", "path,labels\na.jpg,\n"));
    assertError(
        "it has path;label; columns are separated by commas",
        () -> read("a.csv", "path;label\na.jpg;x\n"));
    assertError(
        "a.csv: is not a table with a header: (startline 2) EOF reached",
        () -> read("a.csv", "path,label\n\"a.jpg,x\n"));
    assertError("lists no images", () -> read("a.csv", "path,label\n"));
    assertError("has no column 'path'", () -> read("a.csv", "name,label\na.jpg,x\n"));
    assertError("no column with targets", () -> read("a.csv", "path\na.jpg\n"));
    assertError(
        "a.csv, line 3: has no label", () -> read("a.csv", "path,label\na.jpg,x\nb.jpg,\n"));
    assertError(
        "line 3: has 1 fields, the header has 2",
        () -> read("a.csv", "path,label\na.jpg,x\nb.jpg\n"));
    assertError(
        "line 3: 'age' must be a number, was 'old'",
        () -> read("a.csv", "path,age\na.jpg,1\nb.jpg,old\n"));
    assertError("'age' must be a number, was 'NaN'", () -> read("a.csv", "path,age\na.jpg,NaN\n"));
    assertError(
        "line 2: split must be train, val or test, was 'x'",
        () -> read("a.csv", "path,label,split\na.jpg,a,x\n"));
    assertError(
        "a.jsonl, line 2: is not a JSON object",
        () -> read("a.jsonl", "{\"path\":\"a\",\"label\":\"b\"}\n[1]\n"));
    assertError(
        "line 2: 'path' is an address", () -> read("a.csv", "path,label\ns3://a/b.jpg,x\n"));
    assertError("line 2: has no 'path'", () -> read("a.csv", "path,label\n,x\n"));
    assertError(
        "line 2: 'path' is not a file name", () -> read("a.csv", "path,label\na\0.jpg,x\n"));
    assertError("line 1: has no label", () -> read("a.jsonl", "{\"path\":\"a\",\"label\":null}\n"));
    assertError(
        "line 2: has no 'label' that is a text or a number",
        () ->
            read(
                "a.jsonl", "{\"path\":\"a\",\"label\":1}\n{\"path\":\"b\",\"label\":{\"c\":1}}\n"));
    assertError(
        "line 2: has no 'labels'",
        () ->
            read(
                "a.jsonl",
                "{\"path\":\"a\",\"labels\":[]}\n{\"path\":\"b\",\"labels\":[[\"c\"]]}\n"));
    assertError("has two columns 'label'", () -> read("a.csv", "path,label,label\na.jpg,a,b\n"));
    assertError(
        "is not UTF-8",
        () -> {
          Path file = folder.resolve("latin.csv");
          String rows = "path,label\n" + "a.jpg,x\n".repeat(2000) + "a.jpg,é\n";
          Files.write(file, rows.getBytes(StandardCharsets.ISO_8859_1));
          Datasets.of(file, ImageDecoder.DEFAULT, 0, 0);
        });
  }

  @Test
  void tablesOfWindowsAreRead() throws IOException {
    Files.createDirectory(folder.resolve("b"));
    Files.createFile(folder.resolve("b/c.jpg"));
    Dataset data =
        read("w.csv", "path,label\r\nb\\c.jpg,\"two\r\nlines\"\r\n" + folder + "/b/c.jpg,x\r\n");
    assertEquals(List.of("two\r\nlines", "x"), data.classes());
    for (Example example : data.train()) {
      assertEquals(folder.resolve("b/c.jpg").toString(), example.name());
    }
  }
}
