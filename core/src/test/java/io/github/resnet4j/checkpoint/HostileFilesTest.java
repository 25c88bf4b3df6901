package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Malicious or damaged files: each is rejected quickly, with its name and the reason. */
@Tag("hostile")
class HostileFilesTest {
  @TempDir private Path folder;

  /** Opening must fail within a second, name the file, and give the reason. */
  private static void assertRejected(Path file, String reason) {
    var error =
        assertTimeoutPreemptively(
            Duration.ofSeconds(
                10), // one second is enough; a busy machine may pause the test itself
            () -> assertThrows(CheckpointException.class, () -> open(file)));
    assertTrue(error.getMessage().startsWith(file.toString()), error.getMessage());
    assertTrue(error.getMessage().contains(reason), error.getMessage());
  }

  private static void open(Path file) throws IOException {
    try (var checkpoint = Checkpoint.open(file)) {
      checkpoint.torchvisionTensors().values().forEach(StoredTensor::toTensor);
    }
  }

  /** A zip in the format of torch.save, with a given pickle. */
  private Path withPickle(byte[] pickle) throws IOException {
    var entries = new LinkedHashMap<String, byte[]>();
    entries.put("archive/data.pkl", pickle);
    entries.put("archive/data/0", new byte[16]);
    return zip(entries);
  }

  private Path zip(Map<String, byte[]> entries) throws IOException {
    Path file = folder.resolve("hostile.pth");
    try (var zip = new ZipOutputStream(Files.newOutputStream(file))) {
      for (var entry : entries.entrySet()) {
        var stored = new ZipEntry(entry.getKey());
        var crc = new CRC32();
        crc.update(entry.getValue());
        stored.setMethod(ZipEntry.STORED);
        stored.setSize(entry.getValue().length);
        stored.setCrc(crc.getValue());
        zip.putNextEntry(stored);
        zip.write(entry.getValue());
      }
    }
    return file;
  }

  private static byte[] latin1(String text) {
    return text.getBytes(StandardCharsets.ISO_8859_1);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "posix\nsystem",
        "os\nsystem",
        "nt\nsystem",
        "builtins\neval",
        "builtins\nexec",
        "builtins\n__import__",
        "__builtin__\ngetattr",
        "torch\nload",
        "torch.hub\nload",
        "torch.storage\n_load_from_bytes",
        "subprocess\nPopen",
        "collections\nnamedtuple",
        "numpy\nload",
        "numpy.core.multiarray\nfromfile",
        "torch.serialization\n_load",
        "torch\nFloatStorage.from_file",
        "collections.OrderedDict\n__reduce__",
      })
  void functionsAreNeverCalled(String global) throws IOException {
    String name = global.replace("\n", ".");
    byte[] byName = latin1("\u0080\u0002c" + global + "\nX\u0007\0\0\0echo hi\u0085R.");
    assertRejected(withPickle(byName), "names " + name);
    // The same with STACK_GLOBAL, as in protocol 4.
    String[] parts = global.split("\n");
    byte[] byStack =
        latin1(
            "\u0080\u0004\u008c"
                + (char) parts[0].length()
                + parts[0]
                + "\u008c"
                + (char) parts[1].length()
                + parts[1]
                + "\u0093)R.");
    assertRejected(withPickle(byStack), "names " + name);
  }

  @Test
  void forbiddenNameIsRejectedWithoutCall() throws IOException {
    assertRejected(withPickle(latin1("\u0080\u0002cos\nsystem\n0}.")), "names os.system");
  }

  @Test
  void nestedCallIsRejected() throws IOException {
    String nested =
        "\u0080\u0002ctorch._utils\n_rebuild_tensor_v2\n(cbuiltins\neval\nX\u0001\0\0\0a\u0085RtR.";
    assertRejected(withPickle(latin1(nested)), "names builtins.eval");
  }

  @Test
  void stringIsNotCallable() throws IOException {
    assertRejected(withPickle(latin1("\u0080\u0002X\u0002\0\0\0os)R.")), "calls something");
  }

  @Test
  void rebuildFromTypeCallsOnlyAllowedFunctions() throws IOException {
    String pickle =
        "\u0080\u0002ctorch._tensor\n_rebuild_from_type_v2\n(cposix\nsystem\nctorch\nTensor\n)}tR.";
    assertRejected(withPickle(latin1(pickle)), "names posix.system");
  }

  /**
   * Each level contains the level below ten times: 10^30 values for a reader that visits all of
   * them.
   */
  private static String memoBomb() {
    var pickle = new StringBuilder("]q\0");
    for (int level = 0; level < 30; level++) {
      pickle.append("0]q").append((char) (level + 1)).append("(");
      pickle.repeat("h" + (char) level, 10);
      pickle.append("e");
    }
    return pickle.toString();
  }

  @Test
  void memoBombIsNotExpanded() throws IOException {
    assertRejected(withPickle(latin1("\u0080\u0002" + memoBomb() + ".")), "holds no dict");
  }

  @Test
  void memoBombInMetadataIsNotExpanded() throws IOException {
    String pickle =
        "\u0080\u0002}(X\u0001\0\0\0w"
            + tensor("4", "4", "1")
            + "X\u0008\0\0\0resnet4j"
            + memoBomb()
            + "q\u0050"
            + "0}X\u0001\0\0\0xh\u0050su.";
    assertRejected(withPickle(latin1(pickle)), "notes take more than 16 MB");
  }

  @Test
  void deeplyNestedMetadataIsRejected() throws IOException {
    String pickle =
        "\u0080\u0002}(X\u0001\0\0\0w"
            + tensor("4", "4", "1")
            + "X\u0008\0\0\0resnet4j}X\u0001\0\0\0x"
            + "]".repeat(9000)
            + "a".repeat(8999)
            + "su.";
    assertRejected(withPickle(latin1(pickle)), "notes are nested more than 32 times");
  }

  @Test
  void dictThatContainsItselfIsRejected() throws IOException {
    String pickle = "\u0080\u0002}q\0X\u0005\0\0\0modelh\0s.";
    assertRejected(withPickle(latin1(pickle)), "no tensors in it");
  }

  /** A tensor in protocol 2: elements of the storage, one extent, one stride, as digits. */
  private static String tensor(String elements, String extent, String stride) {
    return "ctorch._utils\n_rebuild_tensor_v2\n((X\u0007\0\0\0storagectorch\nFloatStorage\n"
        + "X\u0001\0\0\0"
        + "0X\u0003\0\0\0cpu"
        + integer(elements)
        + "tQK\0("
        + integer(extent)
        + "t("
        + integer(stride)
        + "t\u0089}tR";
  }

  private static String integer(String digits) {
    var bytes = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(Long.parseLong(digits));
    return "\u008a\u0008" + new String(bytes.array(), StandardCharsets.ISO_8859_1);
  }

  @ParameterizedTest
  @CsvSource({
    "4, 5, 1, does not fit into a storage of 4",
    "4, 2, 4, does not fit into a storage of 4",
    "4, 4611686018427387904, 1, does not fit",
    "4, 2, 9223372036854775807, does not fit",
    "4, -1, 1, does not fit",
    "4, 2, -1, does not fit",
    "1000000000000, 4, 1, 'claims 1,000,000,000,000 elements'",
    "4611686018427387905, 4, 1, claims",
    "-1, 4, 1, claims -1 elements",
  })
  void tensorsOutsideTheirStorageAreRejected(
      String elements, String extent, String stride, String reason) throws IOException {
    String pickle = "\u0080\u0002}X\u0001\0\0\0w" + tensor(elements, extent, stride) + "s.";
    assertRejected(withPickle(latin1(pickle)), reason);
  }

  /**
   * With strides of zero a few bytes represent any number of elements; a limited number is allowed.
   */
  @ParameterizedTest
  @CsvSource({
    "4, 1, false",
    "1000000, 0, false",
    "2000000, 0, true",
    "2147483648, 0, true",
    "4611686018427387904, 0, true",
  })
  void inflatedTensorsAreRejected(String extent, String stride, boolean refused)
      throws IOException {
    String pickle = "\u0080\u0002}X\u0001\0\0\0w" + tensor("4", extent, stride) + "s.";
    Path file = withPickle(latin1(pickle));
    if (refused) {
      assertRejected(file, "more elements than the file has bytes");
    } else {
      open(file);
    }
  }

  /** Found by fuzzing: without elements, the offset was not compared with the storage. */
  @Test
  void emptyTensorOutsideItsStorageIsRejected() {
    var storage = MemorySegment.ofArray(new byte[16]);
    var end = new StoredTensor(DType.F32, List.of(0L), List.of(1L), 4, storage);
    assertTrue(end.toTensor().size() == 0);
    var wide = List.of(1L << 20, 1L << 20, 0L);
    assertEquals(0, StoredTensor.contiguous(DType.F32, wide, storage).toTensor().size());
    assertThrows(
        IllegalArgumentException.class,
        () -> new StoredTensor(DType.F32, List.of(0L), List.of(1L), 5, storage));
  }

  @ParameterizedTest
  @CsvSource({
    "'.', pops more values from its stack",
    "'t.', pops more values from its stack",
    "'h\u0005.', recalls value 5",
    "'X\u00ff\u00ff\u00ff\u007f', is truncated",
    "'\u008e\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u007f', is truncated",
    "'\u008b\u00ff\u00ff\u00ff\u007f', an integer of 2147483647 bytes",
    "'S01\n.', operation 0x53",
    "'\u0097.', operation 0x97",
    "'Nb.', pops more",
    "'NNa.', appends to something that is not a list",
    "'NNNs.', sets items on something that is not a dict",
    "'}', is truncated",
    "'N.', holds no dict",
  })
  void invalidPicklesAreRejected(String body, String reason) throws IOException {
    assertRejected(withPickle(latin1("\u0080\u0002" + body)), reason);
  }

  @Test
  void endlessPicklesAreRejected() throws IOException {
    byte[] pickle = new byte[5_000_000];
    Arrays.fill(pickle, (byte) ']');
    assertRejected(withPickle(pickle), "names and notes take more than 96 MB");
  }

  @Test
  void compressedEntriesAreRejected() throws IOException {
    Path file = folder.resolve("bomb.pth");
    try (var zip = new ZipOutputStream(Files.newOutputStream(file))) {
      zip.putNextEntry(new ZipEntry("archive/data.pkl"));
      byte[] zeros = new byte[1 << 20];
      for (int i = 0; i < 64; i++) {
        zip.write(zeros);
      }
    }
    assertRejected(file, "compressed, which torch.save never does");
  }

  @ParameterizedTest
  @ValueSource(strings = {"../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\b", "a/.."})
  void zipEntryOutsideItsFolderIsRejected(String name) throws IOException {
    assertRejected(zip(Map.of(name, new byte[1])), "outside its folder");
  }

  @Test
  void zipWithoutPickleIsRejected() throws IOException {
    assertRejected(zip(Map.of("archive/readme", new byte[1])), "no data.pkl");
  }

  /** Each would be read in full for its checksum: 150,000 entries, one body. */
  @Test
  void overlappingZipEntriesAreRejected() throws IOException {
    byte[] bytes =
        Files.readAllBytes(
            zip(Map.of("archive/data.pkl", latin1("\u0080\u0002}."), "archive/a", new byte[9])));
    int first = indexOf(bytes, latin1("PK\1\2"));
    int second =
        first + 4 + indexOf(Arrays.copyOfRange(bytes, first + 4, bytes.length), latin1("PK\1\2"));
    System.arraycopy(bytes, first + 42, bytes, second + 42, 4); // the offset of its header
    assertRejected(Files.write(folder.resolve("shared.pth"), bytes), "lies inside another one");
  }

  @Test
  void missingStorageIsNamed() throws IOException {
    String pickle = "\u0080\u0002}X\u0001\0\0\0w" + tensor("4", "4", "1") + "s.";
    assertRejected(zip(Map.of("archive/data.pkl", latin1(pickle))), "data/0 is missing");
  }

  @Test
  void flippedBitIsDetectedByChecksum() throws IOException {
    byte[] bytes = Files.readAllBytes(Golden.path("checkpoints/zip.pth"));
    byte[] name = latin1("data/0");
    int at = indexOf(bytes, name) + 200; // after the name and its padding: the first weights
    bytes[at] ^= 1;
    Path file = Files.write(folder.resolve("flipped.pth"), bytes);
    assertRejected(file, "checksum differs");
  }

  private static int indexOf(byte[] bytes, byte[] pattern) {
    for (int i = 0; i < bytes.length - pattern.length; i++) {
      if (Arrays.equals(bytes, i, i + pattern.length, pattern, 0, pattern.length)) {
        return i;
      }
    }
    throw new AssertionError("not found");
  }

  @ParameterizedTest
  @ValueSource(strings = {"zip.pth", "legacy.pth", "plain.safetensors", "training.pth"})
  void truncatedFilesAreRejected(String name) throws IOException {
    byte[] bytes = Files.readAllBytes(Golden.path("checkpoints/" + name));
    Path file = folder.resolve("truncated");
    for (int length = 0; length < bytes.length; length += Math.max(1, bytes.length / 97)) {
      Files.write(file, Arrays.copyOf(bytes, length));
      assertThrows(CheckpointException.class, () -> open(file), name + " cut at " + length);
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {Long.MAX_VALUE, -1, Long.MIN_VALUE, 100_000_000, 1L << 32})
  void safetensorsHeaderLongerThanFileIsRejected(long length) throws IOException {
    byte[] bytes =
        ByteBuffer.allocate(64)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(length)
            .put((byte) '{')
            .array();
    assertRejected(Files.write(folder.resolve("x.safetensors"), bytes), "its header claims");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '\0',
      value = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}} | cannot be at",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}} | cannot be at",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[0,32]}} | cannot be at",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}} | expected a size",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}} | expected a size",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}} |"
            + " invalid shape",
        "{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}} | of type F31, which is"
            + " not supported",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}} | lacks dtype, shape or data_offsets",
        "{\"a\":{},\"a\":{}} | JSON is invalid",
        "{\"a\": | JSON is invalid",
      })
  void safetensorsHeadersAreChecked(String json, String reason) throws IOException {
    assertRejected(safetensors(json), reason);
  }

  @Test
  void deeplyNestedJsonIsRejected() throws IOException {
    assertRejected(safetensors("{\"a\":".repeat(100_000)), "JSON is invalid");
  }

  @ParameterizedTest
  @ValueSource(strings = {"null", "1", "[]", "\"text\"", "[[[[[[", "", "{\"a\":{}"})
  void metadataMustBeAnObject(String notes) throws IOException {
    String json = "{\"__metadata__\":{\"resnet4j\":\"" + notes.replace("\"", "\\\"") + "\"}}";
    assertRejected(
        safetensors(json), notes.matches("null|1|\\[]|\".*") ? "its notes are not" : "JSON");
  }

  @ParameterizedTest
  @ValueSource(strings = {"{\"a\":null}", "{\"a\":[]}", "{\"__metadata__\":null,\"a\":1}"})
  void nullsAndListsInHeaderAreRejected(String json) throws IOException {
    assertRejected(safetensors(json), "lacks dtype, shape or data_offsets");
  }

  @Test
  void headerOfManySmallValuesIsRejected() throws IOException {
    assertRejected(safetensors("{\"a\":[" + "{},".repeat(5_000_000) + "1]}"), "JSON is invalid");
  }

  private Path safetensors(String json) throws IOException {
    byte[] header = json.getBytes(StandardCharsets.UTF_8);
    var bytes = ByteBuffer.allocate(8 + header.length + 16).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(header.length).put(header);
    return Files.write(folder.resolve("x.safetensors"), bytes.array());
  }

  @Test
  void indexWithPathsIsRejected() throws IOException {
    for (String shard : List.of("../secret.safetensors", "/etc/passwd", "a/b.safetensors")) {
      Path index = folder.resolve("model.safetensors.index.json");
      Files.writeString(index, "{\"weight_map\": {\"w\": \"" + shard + "\"}}");
      assertRejected(index, "not a file in the same folder");
    }
    Path index = folder.resolve("model.safetensors.index.json");
    Files.writeString(index, "{\"weight_map\": {\"w\": \"none.safetensors\"}}");
    var error = assertThrows(CheckpointException.class, () -> open(index));
    assertTrue(error.getMessage().contains("does not exist, although the index names it"));
  }

  @Test
  @EnabledOnOs({OS.LINUX, OS.MAC})
  void pipeIsRejected() throws Exception {
    Path pipe = folder.resolve("pipe.pth");
    assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
    assertRejected(pipe, "is not a regular file");
    Path index = folder.resolve("model.safetensors.index.json");
    Files.writeString(index, "{\"weight_map\": {\"w\": \"shard.safetensors\"}}");
    Path shard = folder.resolve("shard.safetensors");
    assertEquals(0, new ProcessBuilder("mkfifo", shard.toString()).start().waitFor());
    var error =
        assertTimeoutPreemptively(
            Duration.ofSeconds(10),
            () -> assertThrows(CheckpointException.class, () -> open(index)));
    assertTrue(error.getMessage().contains("is not a regular file"), error.getMessage());
  }

  @Test
  void errorsAreOneShortLine() throws IOException {
    String name = "\u001b[2J\n" + "a".repeat(2000);
    String json = "{\"" + name.replace("\u001b", "\\u001b").replace("\n", "\\n") + "\":[]}";
    var error = assertThrows(CheckpointException.class, () -> open(safetensors(json)));
    assertTrue(error.getMessage().matches("[^\\p{Cntrl}]{1,3000}"), error.getMessage());
  }

  @Test
  void otherFileTypesAreNamed() throws IOException {
    assertRejected(write("x.pth", ""), "is empty");
    assertRejected(write("x.pth", "<!DOCTYPE html>"), "a web page");
    assertRejected(
        write("x.pth", "version https://git-lfs.github.com/spec/v1\noid"), "Git LFS pointer");
    assertRejected(write("x.pth", "hello, world, this is text"), "neither a .pth");
    assertRejected(write("x.json", "{\"a\": 1}"), "without a weight_map");
    assertRejected(folder.resolve("absent.pth"), "does not exist");
    assertRejected(folder, "is a folder");
    assertRejected(Golden.path("checkpoints/whole-model.pth"), "save model.state_dict() alone");
  }

  private Path script(String pickle) throws IOException {
    var entries = new LinkedHashMap<String, byte[]>();
    entries.put("archive/data.pkl", latin1("\u0080\u0002" + pickle));
    entries.put("archive/constants.pkl", new byte[0]);
    entries.put("archive/data/0", new byte[16]);
    return zip(entries);
  }

  /** A TorchScript archive's classes are only names of objects; any other name is refused. */
  @Test
  void torchScriptArchivesAreBounded() throws IOException {
    String module = "c__torch__\nModule\n)\u0081";
    String itself = module + "q\0}(X\1\0\0\0ah\0ub.";
    assertRejected(script(itself), "nested more than 64 times");
    var doubling = new StringBuilder(module + "q\0");
    for (int i = 1; i < 60; i++) { // 2^60 paths
      doubling
          .append(module)
          .append("}(X\1\0\0\0ah")
          .append((char) (i - 1))
          .append("X\1\0\0\0bh")
          .append((char) (i - 1))
          .append("ubq")
          .append((char) i);
    }
    assertRejected(script(doubling + "."), "its names and notes take more than 96 MB");
    assertRejected(script("cos\nsystem\n)R."), "names os.system");
    assertRejected(script(module + "."), "no named tensors");
    assertRejected(withPickle(latin1("\u0080\u0002" + itself)), "names __torch__.Module");
  }

  /** A NumPy array with these elements of the state, from version to bytes. */
  private static String array(String shape, String type, String bytes) {
    return "}X\1\0\0\0wcnumpy.core.multiarray\n"
        + "_reconstruct\n"
        + "cnumpy\n"
        + "ndarray\n"
        + "K\0\u0085C\1b\u0087R(K\1"
        + shape
        + "cnumpy\ndtype\nX\2\0\0\0"
        + type
        + "\u0089\u0088\u0087R(K\3X\1\0\0\0<NNNJ\u00ff\u00ff\u00ff\u00ffJ\u00ff\u00ff\u00ff\u00ffK\0tb\u0089"
        + bytes
        + "tbs.";
  }

  @Test
  void numpyArraysAreCheckedAgainstTheirBytes() throws IOException {
    String eight = "C\u00088bytes!!";
    try (var checkpoint = Checkpoint.open(pickled(array("K\2\u0085", "f4", eight)))) {
      assertEquals(2, checkpoint.tensors().get("w").size());
    }
    assertRejected(pickled(array("K\3\u0085", "f4", eight)), "does not fit into a storage");
    assertRejected(
        pickled(array("J\u00ff\u00ff\u00ff\u007fJ\u00ff\u00ff\u00ff\u007f\u0086", "f4", eight)),
        "does not fit");
    assertRejected(
        pickled(array("J\u00ff\u00ff\u00ff\u00ff\u0085", "f4", eight)),
        "does not fit into a storage");
    assertRejected(pickled(array("K\2\u0085", "c8", eight)), "of type '<c8'");
    assertRejected(pickled(array("K\2\u0085", "f4", "]")), "of type '<f4'");
    assertRejected(pickled(array("K\2\u0085", "f4", "N")), "where bytes are expected");
    // A long text as bytes, with a character that is no byte.
    String text = "x".repeat(1 << 16) + "\u00e2\u0082\u00ac"; // a euro sign in UTF-8
    String encoded = "c_codecs\nencode\nX\3\0\1\0" + text + "X\6\0\0\0latin1\u0086R";
    assertRejected(pickled(array("K\2\u0085", "f4", encoded)), "characters that are no bytes");
  }

  private Path pickled(String pickle) throws IOException {
    return Files.write(folder.resolve("hostile.pkl"), latin1("\u0080\u0002" + pickle));
  }

  /** A .pt2 with a list of weights. */
  private Path exported(String config) throws IOException {
    var entries = new LinkedHashMap<String, byte[]>();
    entries.put("m/data/weights/model_weights_config.json", latin1(config));
    entries.put("m/data/weights/weight_0", new byte[16]);
    return zip(entries);
  }

  @Test
  void exportedProgramsAreCheckedAgainstTheirBytes() throws IOException {
    String form =
        "{\"config\": {\"w\": {\"path_name\": \"weight_0\", \"tensor_meta\": {\"dtype\": %s,"
            + " \"layout\": %s, \"sizes\": [{\"as_int\": %s}], \"strides\": [{\"as_int\": 1}],"
            + " \"storage_offset\": {\"as_int\": 0}}}}}";
    try (var checkpoint = Checkpoint.open(exported(form.formatted("7", "7", "4")))) {
      assertEquals(4, checkpoint.tensors().get("w").size());
    }
    assertRejected(exported(form.formatted("7", "7", "5")), "does not fit into a storage");
    assertRejected(exported(form.formatted("7", "7", "-1")), "does not fit into a storage");
    assertRejected(exported(form.formatted("29", "7", "4")), "tensor w is of type 29");
    assertRejected(exported(form.formatted("7", "1", "4")), "tensor w is not dense");
    assertRejected(exported(form.formatted("7", "7", "\"x\"")), "where a number is expected");
    assertRejected(
        exported(form.formatted("7", "7", "4").replace("weight_0", "../weight_0")), "is missing");
    assertRejected(exported("[]"), "not a JSON object");
    assertRejected(exported("{}"), "has no 'config'");
    assertRejected(exported("[".repeat(100_000)), "its JSON is invalid");
  }

  private Path write(String name, String text) throws IOException {
    return Files.writeString(folder.resolve(name), text);
  }

  /** A sparse file that claims a storage of many gigabytes: nothing is read. */
  @Test
  void hugeSparseFileIsRejectedWithoutReading() throws IOException {
    Path file = folder.resolve("sparse.pth");
    Files.write(file, latin1("PK\u0003\u0004"));
    try (var sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.setLength(64L << 30);
    }
    assertRejected(file, "the zip directory at the end is missing");
    assertFalse(Files.size(file) < 64L << 30);
  }

  /** Spaces that two parts of the pattern could match. */
  @Test
  void longNpyHeaderIsParsedInLinearTime() throws IOException {
    byte[] header =
        latin1("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)" + " ".repeat(65_000) + "x");
    var bytes = ByteBuffer.allocate(10 + header.length + 16).order(ByteOrder.LITTLE_ENDIAN);
    bytes.put(latin1("\u0093NUMPY\u0001\0")).putShort((short) header.length).put(header);
    Path file = Files.write(folder.resolve("x.npy"), bytes.array());
    assertTimeoutPreemptively(
        Duration.ofSeconds(10),
        () -> assertThrows(CheckpointException.class, () -> Npy.read(file)));
  }

  /** A sparse file: a few bytes on the disk. */
  @Test
  void arraysLargerThanHeapAreRejected() throws IOException {
    long heap = Runtime.getRuntime().maxMemory();
    long elements = Math.min(heap / 4, Integer.MAX_VALUE - 8L);
    byte[] header =
        latin1("{'descr': '<f4', 'fortran_order': False, 'shape': (" + elements + ",), }");
    Path file = folder.resolve("x.npy");
    try (var sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.write(latin1("\u0093NUMPY\u0001\0"));
      sparse.write(header.length);
      sparse.write(0);
      sparse.write(header);
      sparse.setLength(elements * 4 + header.length + 10);
    }
    var error = assertThrows(CheckpointException.class, () -> Npy.read(file));
    assertTrue(error.getMessage().contains("the JVM has"), error.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000, 4000000000), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
        "__import__('os').system('echo hi')",
        "",
      })
  void npyHeadersAreNotEvaluated(String header) throws IOException {
    byte[] text = latin1(header);
    var bytes = new ByteArrayOutputStream();
    bytes.writeBytes(latin1("\u0093NUMPY\u0001\0"));
    bytes.write(text.length);
    bytes.write(0);
    bytes.writeBytes(text);
    bytes.writeBytes(new byte[16]);
    Path file = Files.write(folder.resolve("x.npy"), bytes.toByteArray());
    var error = assertThrows(CheckpointException.class, () -> Npy.read(file));
    assertTrue(error.getMessage().startsWith(file.toString()), error.getMessage());
  }
}
