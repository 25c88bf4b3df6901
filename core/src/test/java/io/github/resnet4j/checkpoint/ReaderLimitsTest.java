package io.github.resnet4j.checkpoint;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.checkpoint.Unpickler.Dict;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** The limits of the readers of files, in memory: exactly the maximum, and one more. */
class ReaderLimitsTest {
  @TempDir private Path folder;

  private static MemorySegment segment(String latin1) {
    return MemorySegment.ofArray(latin1.getBytes(ISO_8859_1));
  }

  private static void assertRejected(String reason, Executable call) {
    var error = assertThrows(Malformed.class, call);
    assertTrue(error.reason().contains(reason), error.reason());
  }

  /** The budget of a file of which some bytes are left. */
  private static Budget left(long bytes) {
    Budget budget = Budget.forFile();
    budget.take((96L << 20) - bytes);
    return budget;
  }

  private static String number(int bytes, long value) {
    byte[] all = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
    return new String(all, 0, bytes, ISO_8859_1);
  }

  @Test
  void budgetIsUsedUp() {
    left(0).take(0);
    left(7).take(7);
    assertRejected("more than 96 MB", () -> left(7).take(8));
    assertRejected("more than 96 MB", () -> left(0).take(1));
  }

  // --- zip files ------------------------------------------------------------------------------

  /** The parts of a zip; a test may put them in any order, with any numbers. */
  private static String local(String name, String data) {
    return "PK\3\4" + "\0".repeat(22) + number(2, name.length()) + "\0\0" + name + data;
  }

  private static String entry(
      String name, long stored, long size, long header, int checksum, String extra, String note) {
    return "PK\1\2"
        + "\0".repeat(12)
        + number(4, checksum)
        + number(4, stored)
        + number(4, size)
        + number(2, name.length())
        + number(2, extra.length())
        + number(2, note.length())
        + "\0".repeat(8)
        + number(4, header)
        + name
        + extra
        + note;
  }

  private static String end(int count, long directory, String note) {
    return "PK\5\6"
        + "\0".repeat(6)
        + number(2, count)
        + "\0".repeat(4)
        + number(4, directory)
        + number(2, note.length())
        + note;
  }

  private static Map<String, StoredZip.Entry> zip(String bytes) {
    return StoredZip.read(segment(bytes), Budget.forFile());
  }

  private static String content(StoredZip.Entry entry) {
    return new String(entry.bytes().toArray(ValueLayout.JAVA_BYTE), ISO_8859_1);
  }

  @Test
  void directoryIsAtTheEnd() {
    assertEquals(Map.of(), zip(end(0, 0, "")));
    assertEquals(Map.of(), zip("front" + end(0, 0, "x".repeat(0xffff))));
    assertRejected("is missing", () -> zip(end(0, 0, "x".repeat(0x10000))));
    assertRejected("is missing", () -> zip(""));
    assertRejected("points outside", () -> zip(end(1, 1 << 20, "")));
    assertRejected("is damaged at byte 0", () -> zip("garbage".repeat(9) + end(1, 0, "")));
  }

  @Test
  void entriesAreSlices() {
    String a = local("f/a", "first");
    String b = local("f/b", "2nd");
    var crc = new CRC32();
    crc.update("first".getBytes(ISO_8859_1));
    String directory =
        entry("f/a", 5, 5, 0, (int) crc.getValue(), "ab\2\0xy", "a note")
            + entry("f/b", 3, 3, a.length(), 0, "", "");
    String whole = a + b + directory + end(2, a.length() + b.length(), "");
    var entries = zip(whole);
    assertEquals("first", content(entries.get("a")));
    assertEquals("2nd", content(entries.get("b")));
    assertEquals(2, entries.size());
    assertEquals(a.length(), entries.get("a").end());
    assertRejected(
        "damaged: its checksum", () -> content(zip(whole.replace("first", "fir5t")).get("a")));
    // Two folders: the names stay whole.
    assertEquals(
        List.of("f/a", "g/b"),
        zip(whole.replace("f/b", "g/b")).keySet().stream().sorted().toList());
    assertRejected("two entries named", () -> zip(whole.replace("f/b", "f/a")));
  }

  @Test
  void entriesAreWithinTheFileAndApart() {
    // The entry's data ends where the file ends, within the comment of the directory's end.
    String directory = entry("a", 4, 4, 69, 0, "", "");
    assertEquals(47, directory.length());
    String whole = directory + end(1, 0, local("a", "data"));
    assertEquals("data", content(zip(whole).get("a")));
    assertRejected("claims 4 bytes", () -> zip(whole.substring(0, whole.length() - 1)));
    assertRejected(
        "claims 5 bytes",
        () -> zip(entry("a", 4, 5, 69, 0, "", "") + end(1, 0, local("a", "data"))));
    // The second entry is the data of the first.
    String outer = local("a", local("b", ""));
    String inner = entry("a", 31, 31, 0, 0, "", "") + entry("b", 0, 0, 31, 0, "", "");
    assertRejected("b lies inside another", () -> zip(outer + inner + end(2, outer.length(), "")));
    String apart = local("a", "") + local("b", "");
    String two = entry("a", 0, 0, 0, 0, "", "") + entry("b", 0, 0, 31, 0, "", "");
    assertEquals(2, zip(apart + two + end(2, apart.length(), "")).size());
    assertRejected("does not start where", () -> zip("x" + apart + two + end(2, 63, "")));
  }

  private static String zip64(long count, long directory, long at) {
    return "PK\6\6"
        + "\0".repeat(28)
        + number(8, count)
        + "\0".repeat(8)
        + number(8, directory)
        + "PK\6\7"
        + "\0".repeat(4)
        + number(8, at)
        + "\0".repeat(4);
  }

  @Test
  void zip64IsRead() {
    long none = 0xffffffffL;
    String pad = "p".repeat(9);
    String file = pad + local("a", "data");
    String other = "UT\1\0x"; // another field first
    Object[][] cases = {
      {none, none, none, number(8, 4) + number(8, 4) + number(8, 9)},
      {4L, none, none, number(8, 4) + number(8, 9)},
      {none, 4L, none, number(8, 4) + number(8, 9)},
      {none, none, 9L, number(8, 4) + number(8, 4)},
      {4L, 4L, none, number(8, 9)},
    };
    for (Object[] each : cases) {
      String field = (String) each[3];
      String extra = other + "\1\0" + number(2, field.length()) + field;
      String directory = entry("a", (long) each[0], (long) each[1], (long) each[2], 0, extra, "");
      int at = file.length() + directory.length();
      var entries = zip(file + directory + zip64(1, file.length(), at) + end(0xffff, none, ""));
      assertEquals("data", content(entries.get("a")));
    }
    // A field of another kind has no sizes.
    String foreign = "\2\0" + number(2, 16) + number(8, 4) + number(8, 4);
    assertRejected(
        "fewer",
        () -> zip(file + entry("a", none, none, 9, 0, foreign, "") + end(1, file.length(), "")));
    assertRejected(
        "fewer",
        () ->
            zip(
                file
                    + entry(
                        "a",
                        none,
                        none,
                        9,
                        0,
                        "\1\0" + number(2, 16) + number(8, -1) + number(8, -1),
                        "")
                    + end(1, file.length(), "")));
  }

  @Test
  void numberOfEntriesIsLimited() {
    for (long count : new long[] {-1, 200_001}) {
      assertRejected("the zip claims", () -> zip(zip64(count, 0, 0) + end(0, 0, "")));
    }
    assertRejected("is damaged at byte 0", () -> zip(zip64(200_000, 0, 0) + end(0, 0, "")));
    assertEquals(Map.of(), zip(zip64(0, 0, 0) + end(3, 0, "")));
    assertRejected("zip64 directory is not", () -> zip(zip64(0, 0, 1) + end(0, 0, "")));
    // The locator is at the start of the file.
    String parts = zip64(0, 0, 42);
    assertEquals(Map.of(), zip(parts.substring(56) + end(3, 0, parts.substring(0, 56))));
  }

  @Test
  void entriesAreCharged() {
    String name = "n".repeat(1000);
    String file = local(name, "");
    String whole = file + entry(name, 0, 0, 0, 0, "", "") + end(1, file.length(), "");
    StoredZip.read(segment(whole), left(10_000));
    // A name takes two bytes a letter, and exists twice.
    assertRejected("more than", () -> StoredZip.read(segment(whole), left(4000)));
  }

  // --- safetensors ----------------------------------------------------------------------------

  private static String safetensors(String header, String data) {
    return number(8, header.length()) + header + data;
  }

  private static Contents tensors(String header, String data) {
    return Safetensors.read(segment(safetensors(header, data)), Budget.forFile());
  }

  private static String tensor(String shape, long from, long to) {
    return "{\"a\":{\"dtype\":\"U8\",\"shape\":%s,\"data_offsets\":[%d,%d]}}"
        .formatted(shape, from, to);
  }

  @Test
  void safetensorsHeaderIsWithinTheFile() {
    assertTrue(Safetensors.matches(segment("12345678{")));
    assertFalse(Safetensors.matches(segment("12345678")));
    assertFalse(Safetensors.matches(segment("12345678x")));
    assertEquals(0, tensors("{}", "").tensors().size());
    assertRejected("JSON", () -> tensors("", "{}"));
    assertRejected(
        "header claims 3 bytes; the maximum for a file of 10 bytes is 2",
        () -> Safetensors.read(segment(number(8, 3) + "{}"), Budget.forFile()));
  }

  /** The largest header three times; each takes three times its size. */
  @Test
  void safetensorsHeaderIsLimitedAndCharged() {
    int max = (int) Safetensors.MAX_HEADER_BYTES;
    byte[] bytes = new byte[9 + max];
    Arrays.fill(bytes, (byte) ' ');
    var file = MemorySegment.ofArray(bytes);
    bytes[8] = '{';
    bytes[9] = '}';
    file.set(LittleEndian.LONG, 0, max);
    Safetensors.read(file, left(3L * max));
    assertRejected("more than 96 MB", () -> Safetensors.read(file, left(3L * max - 1)));
    file.set(LittleEndian.LONG, 0, max + 1);
    assertRejected("header claims", () -> Safetensors.read(file, Budget.forFile()));
    assertRejected("larger than any index", () -> Safetensors.weightMap(file, Budget.forFile()));
    String index = "{\"weight_map\":{\"a\":\"b.safetensors\"}}";
    assertEquals(Map.of("a", "b.safetensors"), Safetensors.weightMap(segment(index), left(200)));
    assertRejected("more than", () -> Safetensors.weightMap(segment(index), left(100)));
    String many = "{\"weight_map\":{%s}}";
    var shards = new StringBuilder("\"0\":\"0.safetensors\"");
    for (int i = 1; i < 1000; i++) {
      shards.append(",\"%d\":\"%d.safetensors\"".formatted(i, i));
    }
    assertEquals(
        1000, Safetensors.weightMap(segment(many.formatted(shards)), Budget.forFile()).size());
    shards.append(",\"x\":\"x.safetensors\"");
    assertRejected(
        "more than 1000 files",
        () -> Safetensors.weightMap(segment(many.formatted(shards)), Budget.forFile()));
  }

  @Test
  void safetensorsAreWithinTheirData() {
    assertEquals(4, tensors(tensor("[4]", 0, 4), "data").tensors().get("a").size());
    assertEquals(0, tensors(tensor("[0]", 4, 4), "data").tensors().get("a").size());
    assertEquals(3, tensors(tensor("[3]", 1, 4), "data").tensors().get("a").size());
    for (long[] range : new long[][] {{1, 5}, {0, 3}, {0, 5}}) {
      assertRejected("cannot be at", () -> tensors(tensor("[4]", range[0], range[1]), "data"));
    }
    assertRejected("the file is truncated", () -> tensors(tensor("[5]", 0, 5), "data"));
    var error = assertThrows(Malformed.class, () -> tensors(tensor("[3]", 0, 5), "data"));
    assertFalse(error.reason().contains("truncated"), error.reason());
    String axes = "1,".repeat(63) + "1";
    assertEquals(1, tensors(tensor("[" + axes + "]", 0, 1), "d").tensors().size());
    assertRejected("lacks", () -> tensors(tensor("[" + axes + ",1]", 0, 1), "d"));
    String name = "n".repeat(Checkpoint.MAX_NAME);
    String header = tensor("[1]", 0, 1);
    assertEquals(1, tensors(header.replace("\"a\"", "\"" + name + "\""), "d").tensors().size());
    assertRejected(
        "a tensor name of more", () -> tensors(header.replace("\"a\"", "\"m" + name + "\""), "d"));
    // A tensor takes an object with a shape, strides and entries of maps.
    int bytes = 3 * header.length();
    Safetensors.read(segment(safetensors(header, "d")), left(bytes + 2000));
    assertRejected(
        "more than", () -> Safetensors.read(segment(safetensors(header, "d")), left(bytes + 200)));
  }

  @Test
  void safetensorsHeaderIsPadded() {
    for (int length = 1; length < 10; length++) {
      var tensors = new LinkedHashMap<String, StoredTensor>();
      tensors.put("n".repeat(length), StoredTensor.ofScalar(7));
      tensors.put("last", StoredTensor.of(new byte[] {1, 2}, List.of(2L)));
      byte[] header = Safetensors.header(tensors, Map.of());
      assertEquals(0, header.length % 8);
      assertTrue(new String(header, UTF_8).matches("\\{.*} {0,7}"));
      Contents read = tensors(new String(header, ISO_8859_1), number(8, 7) + "\1\2");
      assertArrayEquals(new float[] {7}, read.tensors().get("n".repeat(length)).read().data());
      assertArrayEquals(new float[] {1, 2}, read.tensors().get("last").read().data());
    }
  }

  // --- pickles --------------------------------------------------------------------------------

  private static Object pickle(String program, Budget budget) {
    return Unpickler.read(segment("\u0080\2" + program + "."), 0, budget).value();
  }

  private static Object pickle(String program) {
    return pickle(program, Budget.forFile());
  }

  @Test
  void valuesAreRead() {
    assertEquals(List.of(5L, 5L), pickle("K\5" + "2\u0086"));
    assertEquals(List.of(), pickle("(K\1" + "1)"));
    assertEquals(-2L, pickle("\u008b\1\0\0\0\u00fe"));
    assertEquals(0L, pickle("\u008a\0"));
    assertEquals(0x4030201L, pickle("\u008a\4\1\2\3\4"));
    assertEquals(0x30201L, pickle("\u008a\3\1\2\3"));
    assertEquals(Long.MAX_VALUE, pickle("\u008a\u0008" + number(8, Long.MAX_VALUE)));
    assertEquals(BigInteger.TWO.pow(63), pickle("\u008a\u0009" + number(8, Long.MIN_VALUE) + "\0"));
    assertEquals(
        BigInteger.ONE.shiftLeft(2040), pickle("\u008b\0\1\0\0" + "\0".repeat(255) + "\1"));
    assertRejected("an integer of 257", () -> pickle("\u008b\1\1\0\0" + "\0".repeat(257)));
    assertRejected("an integer of -1", () -> pickle("\u008b\u00ff\u00ff\u00ff\u00ff"));
    assertEquals("ab", pickle("\u008d\2\0\0\0\0\0\0\0ab"));
    assertEquals(1.5, pickle("G\u003f\u00f8\0\0\0\0\0\0"));
    assertEquals(1L, pickle("\u0095\0\0\0\0\0\0\0\0K\1"));
    assertEquals(Map.of("a", 1L), ((Dict) pickle("(X\1\0\0\0aK\1d")).items());
    assertEquals(List.of(1L), pickle("cbuiltins\nlist\n]K\1a\u0085R"));
    assertEquals(List.of(), pickle("cbuiltins\nlist\n)R"));
    for (int protocol = 2; protocol <= 5; protocol++) {
      assertEquals(1L, pickle("\u0080" + (char) protocol + "K\1"));
    }
    assertRejected("protocol 1 ", () -> pickle("\u0080\1"));
    assertRejected("protocol 6 ", () -> pickle("\u0080\6"));
    assertRejected("operation 0x21 at byte 3,", () -> pickle("N!"));
    assertRejected("more values", () -> pickle("Nt"));
    assertRejected("more values", () -> pickle("(N0" + "0" + "0"));
    assertRejected("not an object", () -> pickle("N}b"));
    assertRejected(
        "wrong arguments", () -> pickle("ccopy_reg\n_reconstructor\nctorch\nfloat32\nNN\u0087R"));
  }

  @Test
  void namesAndTextsHaveAMaximumLength() {
    String name = "n".repeat(Checkpoint.MAX_NAME);
    assertRejected("names nnn", () -> pickle("c" + name + "\nx\n"));
    assertRejected("more than 2048 letters", () -> pickle("cn" + name + "\nx\n"));
    String key = "X" + number(4, 2048) + name;
    assertEquals(1, ((Dict) pickle("}(" + key + "N" + key + "Nu")).items().size());
    String longer = "X" + number(4, 2049) + name + "n";
    assertEquals(2, ((Dict) pickle("}(" + longer + "N" + longer + "Nu")).items().size());
    assertEquals(3, ((Dict) pickle("}(NNNNK\1NK\1N\u0088N\u0088Nu")).items().size());
    assertEquals(2, ((Dict) pickle("}()N)Nu")).items().size()); // not compared
    assertEquals(65_536, ((String) pickle("X" + number(4, 65_536) + "x".repeat(65_536))).length());
    assertTrue(
        pickle("X" + number(4, 65_537) + "x".repeat(65_537)) instanceof NumpyArray.Bytes bytes
            && bytes.isText());
    assertEquals(name, pickle("T" + number(4, 2048) + name));
    assertTrue(
        pickle("T" + number(4, 2049) + name + "n") instanceof NumpyArray.Bytes bytes
            && !bytes.isText());
    String storage = "(X\7\0\0\0storagectorch\nFloatStorage\n";
    assertEquals(name, ((Unpickler.Storage) pickle(storage + key + "X\3\0\0\0cpuK\4tQ")).key());
    assertRejected("a storage name of more", () -> pickle(storage + longer + "X\3\0\0\0cpuK\4tQ"));
    String tensor =
        "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + key + "X\3\0\0\0cpuK\4tQK\0(";
    pickle(tensor + "K\1".repeat(64) + "t(K\1ttR");
  }

  /** An unknown class within a tensor is named with the tensor. */
  @Test
  void unknownTensorsAreNamed() {
    String name = "X\4\0\0\0x.ok";
    String weight = "X\u0008\0\0\0x.weight";
    assertRejected("tensor x.weight is of the kind a.B", () -> pickle("}" + weight + "ca\nB\n"));
    assertRejected("tensor x.weight is of", () -> pickle("}" + weight + "N".repeat(7) + "ca\nB\n"));
    assertRejected("names a.B", () -> pickle("}" + weight + "N".repeat(8) + "ca\nB\n"));
    assertRejected("names a.B", () -> pickle("}" + weight + name + "ca\nB\n"));
    assertRejected("names a.B", () -> pickle("ca\nB\n"));
    String longest = "y".repeat(Checkpoint.MAX_NAME - 7) + ".weight";
    assertRejected("is of the kind", () -> pickle("X" + number(4, 2048) + longest + "ca\nB\n"));
    assertRejected("names a.B", () -> pickle("X" + number(4, 2049) + "y" + longest + "ca\nB\n"));
  }

  /** What a program creates is charged: at least what the JVM needs for it, and not much more. */
  @Test
  void creationsAreCharged() {
    Object[][] cases = {
      {"\u008a\u0009aaaaaaaab", 100, 400},
      {"C\3abc", 64, 300},
      {"U\u0020aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 300, 600},
      {"ccollections\nOrderedDict\n", 320, 500},
      {"N\u0085", 96, 200},
      {"NNN\u0087", 96, 250},
      {"N\u0094", 100, 200},
      {"](NNNNNNNNNNNNNNNNNNNNe", 900, 1300},
      {"}(K\1NK\2NK\3NK\4Nu", 700, 1300},
      {"}K\1Ns", 250, 600},
      {"cnumpy.core.multiarray\n_reconstruct\n)R", 900, 1400},
      {"cnumpy\ndtype\nX\2\0\0\0f4\u0085R", 600, 900},
      {"c_codecs\nencode\nX\u0020\0\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaN\u0086R", 730, 1000},
      {"ccollections\nOrderedDict\n}(K\1NK\2NK\3NK\4Nu\u0085R", 1750, 2300},
      {"ccollections\nOrderedDict\n](NN\u0086NN\u0086NN\u0086NN\u0086e\u0085R", 1600, 2200},
    };
    for (Object[] each : cases) {
      String program = (String) each[0];
      pickle(program, left((int) each[2]));
      assertRejected("more than", () -> pickle(program, left((int) each[1])));
    }
  }

  @Test
  void storagesAndTensorsAreCharged() {
    String storage = "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" + "0X\3\0\0\0cpuK\4tQ";
    pickle(storage, left(1500));
    assertRejected("more than", () -> pickle(storage, left(850)));
    String tensor = "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K\0(K\4t(K\1ttR";
    pickle(tensor, left(3500));
    assertRejected("more than", () -> pickle(tensor, left(2000)));
  }

  // --- files of torch.save --------------------------------------------------------------------

  private static String stored(Map<String, String> files) {
    var file = new StringBuilder();
    var directory = new StringBuilder();
    files.forEach((name, data) -> {
      directory.append(entry(name, data.length(), data.length(), file.length(), 0, "", ""));
      file.append(local(name, data));
    });
    return file.toString() + directory + end(files.size(), file.length(), "");
  }

  private static Contents torch(Map<String, String> files) {
    return TorchFile.readZip(segment(stored(files)), Arena.ofAuto(), Budget.forFile());
  }

  private static String floats(int axes) {
    return "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
        + "X\1\0\0\0"
        + "0X\3\0\0\0cpuK\1tQK\0("
        + "K\1".repeat(axes)
        + "t("
        + "K\1".repeat(axes)
        + "t\u0089}tR";
  }

  private static Contents root(String program) {
    return torch(Map.of("m/data.pkl", "\u0080\2" + program + ".", "m/data/0", "\0\0\u0080\u003f"));
  }

  private static String text(String text) {
    return "X" + number(4, text.length()) + text;
  }

  @Test
  void formatsAreRecognized() {
    assertTrue(TorchFile.isZip(segment("PK\3\4")));
    for (String other : new String[] {"PK\3", "xK\3\4", "Px\3\4", "PK\2\4", "PK\3\5"}) {
      assertFalse(TorchFile.isZip(segment(other)));
    }
    assertTrue(TorchFile.isLegacy(segment("\u0080\2")));
    assertTrue(TorchFile.isLegacy(segment("\u0080\5")));
    for (String other : new String[] {"\u0080", "\u0080\1", "\u0080\6", "x\2"}) {
      assertFalse(TorchFile.isLegacy(segment(other)));
    }
    var files = new LinkedHashMap<String, String>();
    files.put("m/data.pkl", "\u0080\2}" + text("w") + floats(1) + "s.");
    files.put("m/data/0", "\0\0\u0080\u003f");
    files.put("m/byteorder", "little");
    assertArrayEquals(new float[] {1}, torch(files).tensors().get("w").read().data());
    for (String order : new String[] {"big", "bigger"}) {
      files.put("m/byteorder", order);
      assertRejected("big-endian", () -> torch(files));
    }
  }

  @Test
  void tensorsAreFoundInWrappers() {
    String dict = "}" + text("w") + floats(4) + "s";
    assertEquals(1, root(dict).tensors().size());
    assertEquals(1, root("}" + text("x") + dict + "s").tensors().size());
    String wrapped = dict;
    for (int i = 0; i < 3; i++) {
      wrapped = "}" + text("model") + wrapped + "s";
    }
    assertEquals(1, root(wrapped).tensors().size());
    String deeper = "}" + text("model") + wrapped + "s";
    assertRejected("no tensors in it", () -> root(deeper));
    // Two networks under other names, or vectors: no one can tell.
    assertRejected(
        "no tensors in it", () -> root("}(" + text("x") + dict + text("y") + dict + "u"));
    assertRejected(
        "no tensors in it", () -> root("}" + text("x") + "}" + text("w") + floats(1) + "ss"));
    // The same dict twice is one.
    assertEquals(1, root("}(" + text("x") + dict + "q\1" + text("y") + "h\1u").tensors().size());
    assertRejected("it has ['a', '5']", () -> root("}(" + text("a") + "NK\5NNN)Nu"));
    assertFalse(
        assertThrows(Malformed.class, () -> root("}" + text("a") + "Ns"))
            .reason()
            .contains("optimizer"));
    assertRejected("the state of an optimizer", () -> root("}" + text("param_groups") + "]s"));
    assertRejected(
        "the state of an optimizer",
        () -> root("}" + text("o") + "}" + text("param_groups") + "]ss"));
  }

  @Test
  void notesHaveAMaximumDepth() {
    String tensor = "}(" + text("w") + floats(1) + text("resnet4j") + "}" + text("x");
    Contents read = root(tensor + "]".repeat(31) + "a".repeat(30) + "su");
    assertEquals(1, read.metadata().size());
    assertRejected(
        "more than 32 times", () -> root(tensor + "]".repeat(33) + "a".repeat(32) + "su"));
  }

  private static String legacy(String storages, long elements, String data) {
    String magic = "\u0080\2\u008a\nl\u00fc\u009cF\u00f9 j\u00a8P\u0019.";
    String number = "\u0080\2M\u00e9\u0003.";
    String system = "\u0080\2}" + text("little_endian") + "\u0088s.";
    return magic
        + number
        + system
        + "\u0080\2}"
        + text("w")
        + floats(1)
        + "s.\u0080\2]"
        + storages
        + "."
        + number(8, elements)
        + data;
  }

  private static Contents readLegacy(String file) {
    return TorchFile.readLegacy(segment(file), Arena.ofAuto(), Budget.forFile());
  }

  @Test
  void storagesOfTheOldFormatAreWithinTheFile() {
    String zero = text("0") + "a";
    String whole = legacy(zero, 1, "\0\0\u0080\u003f");
    assertArrayEquals(new float[] {1}, readLegacy(whole).tensors().get("w").read().data());
    assertRejected("claims 2 elements", () -> readLegacy(legacy(zero, 2, "\0\0\u0080\u003f")));
    assertRejected("claims -1 elements", () -> readLegacy(legacy(zero, -1, "\0\0\u0080\u003f")));
    assertRejected("claims 1 elements", () -> readLegacy(legacy(zero, 1, "\0\0\u0080")));
    String empty = legacy(zero, 0, "");
    assertRejected("claims 1 elements of f32 but has 0 bytes", () -> readLegacy(empty));
    assertRejected(
        "ends before storage 0", () -> readLegacy(empty.substring(0, empty.length() - 1)));
    assertRejected("storage 0 is missing", () -> readLegacy(legacy("", 0, "")));
    assertRejected("belongs to no tensor", () -> readLegacy(legacy(text("1") + "a", 0, "")));
    assertRejected(
        "big-endian",
        () ->
            readLegacy(
                whole.replace(text("little_endian") + "\u0088", text("little_endian") + "\u0089")));
    assertRejected("not 1001", () -> readLegacy(whole.replace("M\u00e9\u0003", "M\u00e8\u0003")));
    assertRejected("torch.save did not write it", () -> readLegacy("\u0080\2K\1."));
  }

  private static String npy(int major, String header, String data) {
    return "\u0093NUMPY"
        + (char) major
        + "\0"
        + number(major > 1 ? 4 : 2, header.length())
        + header
        + data;
  }

  private static String bytes(String shape) {
    return "{'descr': '|u1', 'fortran_order': False, 'shape': (" + shape + "), }";
  }

  @Test
  void arraysOfAnArchiveAreInTheirOrder() {
    var files = new LinkedHashMap<String, String>();
    var names = List.of("zeta", "alpha", "m", "beta", "omega", "x");
    for (String name : names) {
      files.put(name + ".npy", npy(1, bytes("1,"), "a"));
    }
    files.put("notes.txt", "not an array");
    assertEquals(names, List.copyOf(torch(files).tensors().keySet()));
    String whole = stored(Map.of("a.npy", npy(1, bytes("1,"), "a")));
    TorchFile.readZip(segment(whole), Arena.ofAuto(), left(4000));
    assertRejected(
        "more than", () -> TorchFile.readZip(segment(whole), Arena.ofAuto(), left(1500)));
  }

  @Test
  void npyHeaderIsWithinTheFile() {
    assertEquals(0, Npy.parse(segment(npy(1, bytes("0,"), ""))).size());
    assertEquals(0, Npy.parse(segment(npy(2, bytes("0,"), ""))).size());
    assertRejected(
        "header claims", () -> Npy.parse(segment(npy(1, bytes("0,"), "").replaceFirst(".$", ""))));
    assertRejected("not a .npy", () -> Npy.parse(segment("\u0093NUMPY\1\0\0\0x")));
    assertRejected("does not describe", () -> Npy.parse(segment("\u0093NUMPY\1\0\0\0xx")));
    String padded = bytes("1,") + " ".repeat((1 << 16) - bytes("1,").length());
    assertEquals(1, Npy.parse(segment(npy(2, padded, "a"))).size());
    assertRejected("header claims", () -> Npy.parse(segment(npy(2, padded + " ", "a"))));
    assertRejected(
        "header claims 4294967295",
        () -> Npy.parse(segment("\u0093NUMPY\2\0\u00ff\u00ff\u00ff\u00ffxx")));
    assertThrows(
        IllegalArgumentException.class,
        () -> Npy.parse(segment(npy(1, bytes("9".repeat(18) + ","), "a"))));
    assertRejected(
        "shape is invalid", () -> Npy.parse(segment(npy(1, bytes("1".repeat(19) + ","), "a"))));
  }

  /** The format's rules: a multiple of 64 bytes, a comma after a single extent, a line end. */
  @Test
  void npyHeaderIsWritten() throws IOException {
    Path file = folder.resolve("x.npy");
    for (int axes = 1; axes < 60; axes++) {
      int[] shape = new int[axes];
      Arrays.fill(shape, 1);
      shape[0] = 3;
      Npy.write(file, Tensor.of(new float[] {1, 2, 3}, shape));
      assertArrayEquals(shape, Npy.read(file).shape());
      byte[] bytes = Files.readAllBytes(file);
      int data = bytes.length - 12;
      String header = new String(bytes, 10, data - 10, ISO_8859_1);
      assertEquals(0, data % 64);
      assertTrue(header.length() < 64 + header.strip().length() + 2, header);
      assertTrue(header.endsWith("\n"));
      assertEquals(axes == 1, header.contains("(3,)"), header);
      assertFalse(axes > 1 && header.contains(",)"), header);
    }
    try (var rows = new Npy.Rows(file, 2)) {
      rows.add(new float[] {1, 2});
      rows.complete();
    }
    assertEquals(256 + 8, Files.size(file));
    assertArrayEquals(new float[] {1, 2}, Npy.read(file).data());
  }

  // --- NumPy's arrays in pickles --------------------------------------------------------------

  private static byte[] decoded(byte[] utf8) {
    return new NumpyArray.Bytes(MemorySegment.ofArray(utf8), true)
        .read(Arena.ofAuto())
        .toArray(ValueLayout.JAVA_BYTE);
  }

  @Test
  void bytesInTextsAreDecoded() {
    byte[] all = new byte[256];
    for (int i = 0; i < 256; i++) {
      all[i] = (byte) i;
    }
    assertArrayEquals(all, decoded(new String(all, ISO_8859_1).getBytes(UTF_8)));
    for (String wrong :
        new String[] {
          "\u0080", "\u00c3", "\u00c4\u0080", "\u00c3a", "\u00c3\u00c0", "a\u00bf", "\u00c1\u0080"
        }) {
      assertRejected("characters that are no bytes", () -> decoded(wrong.getBytes(ISO_8859_1)));
    }
  }

  @Test
  void arraysWithoutTypesOrValuesAreNamed() {
    String array = "cnumpy.core.multiarray\n_reconstruct\n)R";
    assertRejected(
        "tensor w is a NumPy array without values", () -> root("}" + text("w") + array + "s"));
    assertRejected(
        "without a byte order", () -> pickle("cnumpy\ndtype\n" + text("f4") + "\u0085RK\3\u0085b"));
    pickle("cnumpy\ndtype\n" + text("f4") + "\u0085RK\3" + text("<") + "\u0086b");
    assertRejected("not an object", () -> pickle("cnumpy\ndtype\n" + text("f4") + "\u0085RNb"));
  }

  @Test
  void storedTensorsKnowTheirOrder() {
    MemorySegment bytes = MemorySegment.ofArray(new byte[6]);
    assertTrue(
        new StoredTensor(DType.U8, List.of(2L, 3L), List.of(3L, 1L), 0, bytes).isContiguous());
    assertTrue(
        new StoredTensor(DType.U8, List.of(1L, 3L), List.of(9L, 1L), 0, bytes).isContiguous());
    assertFalse(
        new StoredTensor(DType.U8, List.of(3L, 2L), List.of(1L, 3L), 0, bytes).isContiguous());
    assertTrue(
        new StoredTensor(DType.U8, List.of(0L, 2L), List.of(1L, 3L), 0, bytes).isContiguous());
    assertEquals("I64[]", StoredTensor.ofScalar(5).toString().toUpperCase(java.util.Locale.ROOT));
    assertArrayEquals(new float[] {5}, StoredTensor.ofScalar(5).toTensor().data());
    var axes = java.util.Collections.nCopies(64, 1L);
    assertEquals(1, StoredTensor.contiguous(DType.U8, axes, bytes).size());
    var more = java.util.Collections.nCopies(65, 1L);
    assertThrows(
        IllegalArgumentException.class, () -> StoredTensor.contiguous(DType.U8, more, bytes));
  }
}
