package io.github.resnet4j.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Pickles that create far more than their size, or that contain themselves: memory and time are
 * limited by what is created, and the stack cannot overflow. These tests run with a heap of 256 MB.
 */
@Tag("hostile")
class PickleProgramsTest {
  private static final String TOO_MUCH = "its names and notes take more than 96 MB";

  /** A list of 100,000 None as value 0, with which a program continues. */
  private static String longList() {
    return "]q\0(" + "N".repeat(100_000) + "e0";
  }

  private static Object read(String program) {
    byte[] bytes = ("\u0080\u0002" + program).getBytes(StandardCharsets.ISO_8859_1);
    return assertTimeoutPreemptively(
        Duration.ofSeconds(10), // two seconds are enough; a busy machine may pause the test itself
        () -> Unpickler.read(MemorySegment.ofArray(bytes), 0, Budget.forFile()).value());
  }

  private static void assertRejected(String program, String reason) {
    var error = assertThrows(Malformed.class, () -> read(program));
    assertTrue(error.getMessage().contains(reason), error.getMessage());
  }

  /** The operation that names a class. */
  private static String global(String path) {
    int dot = path.lastIndexOf('.');
    return "c" + path.substring(0, dot) + "\n" + path.substring(dot + 1) + "\n";
  }

  /** A dict of 20,000 integers, on the stack and as value 1. */
  private static String longDict() {
    var dict = new StringBuilder("}q\1(");
    for (int i = 0; i < 20_000; i++) {
      dict.append('J').append((char) (i & 0xff)).append((char) (i >> 8)).append("\0\0N");
    }
    return dict + "u";
  }

  @ParameterizedTest
  @ValueSource(strings = {"builtins.list", "__builtin__.list", "builtins.set", "torch.Size"})
  void copiesOfAListAreCounted(String path) {
    assertRejected(longList() + (global(path) + "h\0\u0085R").repeat(100_000) + ".", TOO_MUCH);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "builtins.dict",
        "__builtin__.dict",
        "collections.OrderedDict",
        "collections.Counter",
        "argparse.Namespace"
      })
  void copiesOfPairsAndDictsAreCounted(String path) {
    String copy = global(path) + "h\1\u0085R0";
    // 100,000 times the same pair is one item, but as much work.
    String pairs = "NN\u0086q\0]q\1(" + "h\0".repeat(100_000) + "e0";
    assertRejected(pairs + copy.repeat(100_000) + ".", TOO_MUCH);
    assertRejected(longDict() + copy.repeat(100_000) + ".", TOO_MUCH);
  }

  @Test
  void extendingAListFromTheStackIsCounted() {
    assertRejected("](" + "N".repeat(10_000_000) + "e.", TOO_MUCH);
  }

  @Test
  void attributesCopiedFromADictAreCounted() {
    assertRejected(longDict() + "}h\1b".repeat(100_000) + ".", TOO_MUCH);
  }

  @ParameterizedTest
  @CsvSource({
    "dicts, }",
    "dicts by mark, (d",
    "lists with an item, ]Na",
    "lists, ]",
    "tuples of one, N\u0085",
    "memo, N\u0094",
    "integers, 'J\1\1\1\1'",
    "objects, )\u0081",
    "empty texts, 'X\0\0\0\0'",
    "sixteen letters, X\u0010\0\0\0aaaaaaaaaaaaaaaa",
    "texts of Python 2, U\u0001a",
    "marks, (",
  })
  void smallOperationsAreCounted(String kind, String operation) {
    String program =
        operation.startsWith(")")
            ? "ccollections\nOrderedDict\nq\0" + "h\0)\u0081".repeat(1_000_000)
            : operation.repeat(20_000_000 / operation.length());
    assertRejected(program + ".", TOO_MUCH);
  }

  /** The bytes are skipped: they are not needed. */
  @Test
  void bytesAreNotCounted() {
    String encode = "X\u0000\u0000\u0010\u0000" + "a".repeat(1 << 20) + "q\0c_codecs\nencode\nq\1";
    assertTrue(read(encode + "h\1h\0\u0085R0".repeat(100_000) + ".") instanceof PickleGlobal);
  }

  /** Comparing the key with its equal in full, a million times 16 MB, would take an hour. */
  @Test
  void longEqualKeysAreNotCompared() {
    String key = "X\0\0\u0080\0" + "a".repeat(8 << 20);
    String program = key + "q\0" + key + "q\1}(" + "h\0Nh\1N".repeat(100_000) + "u.";
    assertTrue(read(program) instanceof Unpickler.Dict dict && dict.items().size() == 200_000);
  }

  @Test
  void recursiveCallIsRejected() {
    String name = "ctorch._tensor\n_rebuild_from_type_v2\n";
    assertRejected("]q\0" + name + "q\1aNah\0a0h\1h\0R.", "nests calls of torch._tensor");
  }

  @Test
  void nestedCallsAreRejected() {
    String name = "ctorch._tensor\n_rebuild_from_type_v2\nq\0";
    String nested = "h\0N".repeat(50_000) + ")" + "\u0087".repeat(50_000);
    assertRejected(name + nested + "R.", "nests calls of torch._tensor");
  }

  @Test
  void nestingNeedsNoStack() {
    assertTrue(read("]".repeat(100_000) + "a".repeat(99_999) + ".") instanceof Object);
    assertTrue(read("N" + "\u0085".repeat(500_000) + ".") instanceof Object);
    assertTrue(read("}q\0" + "X\1\0\0\0a}".repeat(100_000) + "s".repeat(100_000) + ".") != null);
  }

  /** Keys are hashed and compared by content; a tuple could contain itself, or be too large. */
  @Test
  void containersAsKeysAreNotHashed() {
    String itself = "]q\0h\0a0}h\0Nsq\1h\1Ns.";
    assertTrue(read(itself) instanceof Unpickler.Dict);
    var doubled = new StringBuilder(")");
    for (int level = 0; level < 100; level++) {
      doubled.append("q").append((char) level).append("h").append((char) level).append("\u0086");
    }
    assertTrue(read(doubled + "q\u0070" + "0}h\u0070Ns.") instanceof Unpickler.Dict);
  }

  /** A message must not quote a value that contains itself. */
  @Test
  void errorsDoNotPrintContainers() {
    String itself = "]q\0h\0a";
    for (String program :
        new String[] {"cbuiltins\nlist\nN\u0085R", "Q", "\u0093", "NRb", "Nh\0s"}) {
      assertThrows(Malformed.class, () -> read(itself + program + "."), program);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "I1099511627776, 1099511627776",
    "I-7, -7",
    "I01, true",
    "I00, false",
  })
  void integersAsDigitsAreRead(String program, String value) {
    assertEquals(value, read(program + "\n.").toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"I\n.", "I1e5\n.", "I0x1\n.", "I9999999999999999999\n."})
  void invalidDigitsAreRejected(String program) {
    assertRejected(program, "digits are expected");
  }

  @Test
  void shapesMustBeTuplesOfFewIntegers() {
    String storage = "(X\u0007\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" + "0X\3\0\0\0cpuK\4tQ";
    String call = "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K\0(";
    assertRejected(call + "K\1".repeat(65) + "t(K\1ttR.", "a tuple of up to 64 integers");
    assertRejected(call + "Nt(K\1ttR.", "an integer is expected");
  }
}
