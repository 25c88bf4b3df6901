package io.github.resnet4j.datasets;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.image.Augmentation;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.image.Preprocessing;
import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Recipe;
import io.github.resnet4j.train.Schedule;
import io.github.resnet4j.train.Target;
import io.github.resnet4j.train.Trainer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Tar shards; the golden ones are written and read by the webdataset package (shards.py). */
class ShardsTest {
  private static final Path GOLDEN = Path.of("src/test/resources/golden/shards");

  @TempDir private Path folder;
  private final List<String> damages = new ArrayList<>();

  private ReadOptions options() {
    return ReadOptions.DEFAULT
        .withSplit(0, 0)
        .withDamages(damage -> damages.add(damage.getMessage()));
  }

  @SuppressWarnings("unchecked")
  private static List<Map<String, Object>> expected(String file) throws IOException {
    Object all = JSON.std.mapFrom(GOLDEN.resolve("expected.json").toFile()).get(file);
    return (List<Map<String, Object>>) all;
  }

  private static String sha256(Pixels pixels) throws Exception {
    byte[] digest = MessageDigest.getInstance("SHA-256").digest(pixels.data());
    return HexFormat.of().formatHex(digest);
  }

  private static void assertImages(String file, List<Example> images) throws Exception {
    List<Map<String, Object>> samples = expected(file);
    assertEquals(samples.size(), images.size());
    for (int i = 0; i < images.size(); i++) {
      assertTrue(images.get(i).name().contains("/" + samples.get(i).get("key") + "."));
      assertEquals(samples.get(i).get("pixels"), sha256(images.get(i).source().read()));
    }
  }

  private static List<Target> targets(List<Example> examples) {
    return examples.stream().map(Example::target).toList();
  }

  @Test
  void imagesAndLabelsAreThoseOfTheWebdatasetPackage() throws Exception {
    for (String file : List.of("train-000.tar", "train-001.tar.gz", "val-000.tar.gz")) {
      Dataset data = Datasets.of(GOLDEN.resolve(file), options());
      assertImages(file, data.train());
      List<Target> labels = new ArrayList<>();
      for (Map<String, Object> sample : expected(file)) {
        labels.add(new Target.Label(Integer.parseInt((String) sample.get("target"))));
      }
      assertEquals(labels, targets(data.train()));
    }
    assertEquals(List.of(), damages);
  }

  @Test
  void targetsAreNamesSeveralNamesOrNumbers() throws Exception {
    Dataset names = Datasets.of(GOLDEN.resolve("names.tar.gz"), options());
    assertImages("names.tar.gz", names.train());
    assertEquals(List.of("cat", "dog", "eel"), names.classes());
    assertEquals(
        List.of(new Target.Label(1), new Target.Label(0), new Target.Label(2)),
        targets(names.train()));
    Dataset labels = Datasets.of(GOLDEN.resolve("labels.tar.gz"), options());
    assertEquals(List.of("a", "b", "c"), labels.classes());
    assertEquals(
        List.of(
            new Target.Labels(List.of(0, 1)),
            new Target.Labels(List.of()),
            new Target.Labels(List.of(2))),
        targets(labels.train()));
    Dataset numbers = Datasets.of(GOLDEN.resolve("numbers.tar.gz"), options());
    assertEquals(List.of("age", "size"), numbers.classes());
    assertEquals(
        List.of(
            new Target.Values(List.of(1.5f, 3f)),
            new Target.Values(List.of(30f, 60f)),
            new Target.Values(List.of(-2f, -4f))),
        targets(numbers.train()));
  }

  @Test
  void folderAndPatternNameTheShards() throws IOException {
    Path set = Files.createDirectories(folder.resolve("set/data"));
    for (String file : List.of("train-000.tar", "train-001.tar.gz", "val-000.tar.gz")) {
      Files.copy(GOLDEN.resolve(file), set.resolve(file));
    }
    Dataset data = Datasets.of(folder.resolve("set"), options());
    assertEquals(9, data.train().size());
    assertEquals(2, data.val().size());
    assertEquals(List.of("0", "1", "2", "3", "4"), data.classes());
    assertEquals(2, Datasets.toEvaluate(folder.resolve("set"), options()).val().size());
    Files.copy(set.resolve("train-000.tar"), set.resolve("train-001.tar"));
    assertEquals(10, Datasets.of(set.resolve("train-{000..001}.tar"), options()).train().size());
    assertEquals(
        List.of("a-08.x", "a-08.y", "a-09.x", "a-09.y", "a-10.x", "a-10.y"),
        ShardFiles.expand("a-{08..10}.{x,y}"));
    assertEquals(List.of("9", "10"), ShardFiles.expand("{9..10}"));
    var e =
        assertThrows(IOException.class, () -> Datasets.of(set.resolve("t-{0..1}.tar"), options()));
    assertTrue(e.getMessage().contains("t-0.tar: does not exist"), e.getMessage());
    Files.writeString(set.resolve("classes.txt"), "zero\none\ntwo\nthree\nfour\n");
    assertEquals("zero", Datasets.of(folder.resolve("set"), options()).classes().getFirst());
    // A fraction is held out, the same for the same seed.
    Path pattern = set.resolve("train-00{0,1}.tar");
    Dataset split = Datasets.of(pattern, options().withSplit(0.5, 3));
    assertEquals(10, split.train().size() + split.val().size());
    assertFalse(split.val().isEmpty());
    assertEquals(
        split.val().stream().map(Example::name).toList(),
        Datasets.of(pattern, options().withSplit(0.5, 3)).val().stream()
            .map(Example::name)
            .toList());
  }

  @Test
  void whatIsDamagedIsReportedAndTheRestUsed() throws IOException {
    byte[] whole = Files.readAllBytes(GOLDEN.resolve("train-000.tar"));
    Path cut = Files.write(folder.resolve("cut.tar"), Arrays.copyOf(whole, 3000));
    Dataset data = Datasets.of(cut, options());
    assertEquals(1, damages.size());
    assertTrue(damages.getFirst().contains("cut.tar: is damaged or truncated"), damages::toString);
    assertTrue(damages.getFirst().contains("the 1 images before are used"), damages::toString);
    assertEquals(1, data.train().size());
    data.train().getFirst().source().read();

    damages.clear();
    byte[] header = whole.clone();
    Arrays.fill(header, 4096, 4096 + 512, (byte) 'x'); // the header of the third sample
    assertEquals(
        1, Datasets.of(Files.write(folder.resolve("h.tar"), header), options()).train().size());
    assertEquals(1, damages.size());

    damages.clear();
    byte[] packed = Files.readAllBytes(GOLDEN.resolve("train-001.tar.gz"));
    for (int length : new int[] {5, packed.length / 2, packed.length - 30}) {
      Path part = Files.write(folder.resolve(length + ".tgz"), Arrays.copyOf(packed, length));
      try {
        for (Example example : Datasets.of(part, options()).train()) {
          example.source().read();
        }
      } catch (IOException e) {
        assertTrue(e.getMessage().endsWith("has no images"), e.getMessage());
      }
    }
    assertEquals(3, damages.size(), damages::toString);
  }

  /** A file in a tar: its name and content. */
  private record Entry(String name, String content) {}

  private static byte[] tar(Entry... entries) throws IOException {
    var bytes = new ByteArrayOutputStream();
    try (var tar = new TarArchiveOutputStream(bytes)) {
      tar.setLongFileMode(TarArchiveOutputStream.LONGFILE_GNU);
      for (Entry entry : entries) {
        var header = new TarArchiveEntry(entry.name(), true);
        byte[] content = entry.content().getBytes(StandardCharsets.UTF_8);
        header.setSize(content.length);
        tar.putArchiveEntry(header);
        tar.write(content);
        tar.closeArchiveEntry();
      }
    }
    return bytes.toByteArray();
  }

  private static final String PGM = "P2 1 1 255 7\n";

  @Test
  void namesAreNeverPathsAndUnusableSamplesAreReported() throws IOException {
    Path file =
        Files.write(
            folder.resolve("x.tar"),
            tar(
                new Entry("../../outside.pgm", PGM),
                new Entry("../../outside.cls", "1"),
                new Entry("/etc/passwd.pgm", PGM),
                new Entry("/etc/passwd.txt", " 0 "),
                new Entry("esc\u001b[2J.pgm", PGM),
                new Entry("esc\u001b[2J.cls", "0"),
                new Entry("no-target.pgm", PGM),
                new Entry("no-image.cls", "1"),
                new Entry(".hidden", ""),
                new Entry("README", "text"),
                new Entry("twice.pgm", PGM),
                new Entry("twice.pgm", PGM),
                new Entry("twice.cls", "1"),
                new Entry("empty.pgm", PGM),
                new Entry("empty.cls", ""),
                new Entry("json.pgm", PGM),
                new Entry("json.json", "[1, 2]"),
                new Entry("bad.pgm", "no image"),
                new Entry("bad.cls", "0")));
    Dataset data = Datasets.of(file, options());
    assertEquals(
        List.of(
            file + "/../../outside.pgm",
            file + "//etc/passwd.pgm",
            file + "/esc?[2J.pgm",
            file + "/twice.pgm",
            file + "/bad.pgm"),
        data.train().stream().map(Example::name).toList());
    assertEquals(
        List.of(
            file + "/no-target.pgm: has no target: a file .cls, .json or .txt of the same name",
            file + "/twice.pgm: occurs twice; the first one is used",
            file + "/empty.pgm: its label is empty",
            file + "/json.pgm: its .json is not a JSON object"),
        damages);
    var e = assertThrows(IOException.class, () -> data.train().getLast().source().read());
    assertTrue(e.getMessage().startsWith(file + "/bad.pgm: is not an image"), e.getMessage());
    try (var files = Files.list(folder)) {
      assertEquals(1, files.count());
    }
  }

  /** A long name of 20 MB, compressed to 20 KB. */
  @Test
  void memoryForHeadersIsBounded() throws IOException {
    Path file = folder.resolve("long.tar.gz");
    try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(file))) {
      var header = new TarArchiveEntry("././@LongLink", TarConstants.LF_GNUTYPE_LONGNAME);
      header.setSize(20 << 20);
      byte[] record = new byte[512];
      header.writeEntryHeader(record);
      out.write(record);
      byte[] part = new byte[1 << 20];
      Arrays.fill(part, (byte) 'a');
      for (int i = 0; i < 20; i++) {
        out.write(part);
      }
    }
    assertThrows(IOException.class, () -> Datasets.of(file, options()));
    assertTrue(damages.getFirst().contains("more than 1 MB"), damages::toString);
  }

  /** Only the last used shards stay unpacked, whatever the order of reading. */
  @Test
  void packedShardsCanBeReadInAnyOrder() throws Exception {
    byte[] packed = Files.readAllBytes(GOLDEN.resolve("names.tar.gz"));
    for (int i = 0; i < 20; i++) {
      Files.write(folder.resolve("train-" + i + ".tar.gz"), packed);
    }
    Files.copy(GOLDEN.resolve("train-001.tar.gz"), folder.resolve("val.tgz"));
    Path classes = Files.writeString(folder.resolve("classes.txt"), "dog\ncat\neel\nfox\nowl\n");
    Dataset data = Datasets.of(folder, options().withWindow(1));
    assertEquals(Files.readAllLines(classes), data.classes());
    assertImages("train-001.tar.gz", data.val());
    assertEquals(60, data.train().size());
    String[] pixels = {"", "", ""};
    for (int i = 0; i < 60; i++) {
      Example example = data.train().get(i * 37 % 60);
      String now = sha256(example.source().read());
      int kind = i * 37 % 3;
      assertTrue(pixels[kind].isEmpty() || pixels[kind].equals(now));
      pixels[kind] = now;
    }
    assertEquals(List.of(expected("names.tar.gz").getFirst().get("pixels")), List.of(pixels[0]));
  }

  /** A training that is stopped in the middle of an epoch, and resumed. */
  @Test
  void trainingOnShardsIsResumedExactly() throws Exception {
    Path set = Files.createDirectory(folder.resolve("set"));
    Files.copy(GOLDEN.resolve("train-000.tar"), set.resolve("train-000.tar"));
    Files.copy(GOLDEN.resolve("train-001.tar.gz"), set.resolve("train-001.tar.gz"));
    Trainer trainer = trainer(set);
    Path whole = folder.resolve("whole");
    Path parts = folder.resolve("parts");
    trainer.run(whole);
    var stopping =
        new Trainer.Listener() {
          @Override
          public void step(Trainer.Step step) throws IOException {
            if (step.number() == 4) { // the second step of the second epoch
              throw new IOException("stopped");
            }
          }
        };
    assertThrows(
        IOException.class,
        () -> trainer(set).withSaveInterval(Duration.ZERO).withListeners(stopping).run(parts));
    var window = assertThrows(IOException.class, () -> trainer(set, 5).resume(parts));
    assertTrue(
        window.getMessage().contains("shuffle window (images) was 4, is 5"), window.getMessage());
    trainer(set).withThreads(1).resume(parts);
    assertArrayEquals(
        Files.readAllBytes(whole.resolve("last.safetensors")),
        Files.readAllBytes(parts.resolve("last.safetensors")));
    Files.copy(GOLDEN.resolve("val-000.tar.gz"), set.resolve("train-002.tar.gz"));
    var e = assertThrows(IOException.class, () -> trainer(set).resume(parts));
    assertTrue(e.getMessage().contains("training images of class '0' was"), e.getMessage());
  }

  private Trainer trainer(Path set) throws IOException {
    return trainer(set, 4);
  }

  private Trainer trainer(Path set, int window) throws IOException {
    Dataset data = Datasets.of(set, options().withWindow(window));
    var preprocessing =
        new Preprocessing(
            16, 16, 16, Interpolation.BILINEAR, List.of(.5f, .5f, .5f), List.of(.3f, .3f, .3f));
    Model start =
        Model.initialize(Architecture.named("resnet8"), data.classes(), 0)
            .withPreprocessing(preprocessing);
    Recipe recipe =
        new Recipe.Builder(new Schedule(Schedule.Kind.CONSTANT, 0.01, 2, 0, List.of()))
            .batch(4)
            .augmentation(Augmentation.NONE)
            .build();
    return new Trainer(start, data, recipe).withThreads(1);
  }
}
