package io.github.resnet4j.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import io.github.resnet4j.kernel.Kernels;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipInputStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Compares JPEG files with Pillow. {@code golden/jpeg.zip} has small files of several encoders,
 * with all samplings, valid and damaged; {@code jpeg.json} has Pillow's results. The build runs
 * this with machine code and with plain loops.
 */
@Tag("kernels")
class JpegTest {
  @BeforeAll
  static void useMachineCodeForSmallImages() {
    Kernels.best(); // if it is machine code, the decoder uses it from the first image on
  }

  private static Map<String, byte[]> files() throws IOException {
    var files = new LinkedHashMap<String, byte[]>();
    try (var zip = new ZipInputStream(Files.newInputStream(Golden.path("jpeg.zip")))) {
      for (var entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        files.put(entry.getName(), zip.readAllBytes());
      }
    }
    return files;
  }

  private static String answer(byte[] file, int width, int height) {
    try {
      Pixels pixels = ImageDecoder.DEFAULT.draft("file", file, width, height);
      var crc = new CRC32();
      crc.update(pixels.data());
      return pixels.width() + "x" + pixels.height() + " " + crc.getValue();
    } catch (ImageException e) {
      assertTrue(e.getMessage().startsWith("file: "), e.getMessage());
      return "refused";
    }
  }

  @Test
  void samplesAndErrorsMatchPillow() throws IOException {
    int compared = 0;
    var different = new LinkedHashMap<String, String>();
    Map<String, byte[]> files = files();
    for (var golden : Golden.json("jpeg.json").entrySet()) {
      for (var expected : golden.getValue().entrySet()) {
        String[] least = expected.getKey().split(" ");
        boolean whole = least.length == 1;
        String answer =
            answer(
                files.get(golden.getKey()),
                whole ? Integer.MAX_VALUE : Integer.parseInt(least[0]),
                whole ? Integer.MAX_VALUE : Integer.parseInt(least[1]));
        compared++;
        if (!answer.equals(expected.getValue())) {
          different.put(golden.getKey() + " " + expected.getKey(), answer);
        }
      }
    }
    assertEquals(Map.of(), different);
    assertTrue(compared > 500, "only %d comparisons".formatted(compared));
  }

  @Test
  void unsupportedCodingsAreNamed() throws IOException {
    byte[] file = Files.readAllBytes(Golden.path("images/baseline-420.jpg"));
    int frame = find(file, 0xc0, 0);
    assertRejected("lossless coding", with(file, frame + 1, 0xc3));
    assertRejected("arithmetic coding", with(file, frame + 1, 0xc9));
    assertRejected("hierarchical coding", with(file, frame + 1, 0xc5));
    assertRejected("12 bits per sample", with(file, frame + 4, 12));
  }

  @Test
  void heightInDnlSegmentIsRead() throws IOException {
    byte[] file = Files.readAllBytes(Golden.path("images/baseline-420.jpg"));
    Pixels expected = ImageDecoder.DEFAULT.decode("file", file);
    byte[] later = file.clone();
    int frame = find(file, 0xc0, 0);
    later[frame + 5] = 0;
    later[frame + 6] = 0;
    var out = new ByteArrayOutputStream();
    out.write(later, 0, later.length - 2);
    out.write(bytes(0xff, 0xdc, 0, 4, file[frame + 5], file[frame + 6], 0xff, 0xd9));
    Pixels pixels = ImageDecoder.DEFAULT.decode("file", out.toByteArray());
    assertEquals(expected.height(), pixels.height());
    assertArrayEquals(expected.data(), pixels.data());
    assertRejected("has no pixels", later);
  }

  @Test
  void truncatedImagesAreRejected() throws IOException {
    byte[] file = Files.readAllBytes(Golden.path("images/baseline-420.jpg"));
    for (int length : new int[] {3, 100, file.length / 2, file.length - 2}) {
      assertRejected("is truncated", Arrays.copyOf(file, length));
    }
  }

  @Test
  void largeImagesAreRejectedBeforeAllocation() throws IOException {
    byte[] file = Files.readAllBytes(Golden.path("images/progressive.jpg"));
    int frame = find(file, 0xc2, 0);
    byte[] large = file.clone();
    Arrays.fill(large, frame + 5, frame + 9, (byte) 0xef);
    assertRejected("61423 × 61423 pixels, more than the 89,478,485 that are allowed", large);
  }

  @Test
  void thousandsOfScansAreRejected() throws IOException {
    var out = new ByteArrayOutputStream();
    out.write(bytes(0xff, 0xd8, 0xff, 0xdb, 0, 67, 0));
    for (int i = 0; i < 64; i++) {
      out.write(1);
    }
    out.write(bytes(0xff, 0xc2, 0, 11, 8, 0x0f, 0xa0, 0x0f, 0xa0, 1, 1, 0x11, 0)); // 4000 × 4000
    for (int table : new int[] {0, 0x10}) {
      out.write(bytes(0xff, 0xc4, 0, 20, table, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    }
    for (int scan = 0; scan < 5000; scan++) {
      out.write(bytes(0xff, 0xda, 0, 8, 1, 1, 0, scan == 0 ? 0 : 1, scan == 0 ? 0 : 63, 0));
    }
    out.write(bytes(0xff, 0xd9));
    assertRejected("scans, too many for its size", out.toByteArray());
  }

  private static byte[] bytes(int... values) {
    byte[] bytes = new byte[values.length];
    for (int i = 0; i < values.length; i++) {
      bytes[i] = (byte) values[i];
    }
    return bytes;
  }

  private static int find(byte[] file, int marker, int from) {
    int at = from;
    while (file[at] != (byte) 0xff || file[at + 1] != (byte) marker) {
      at++;
    }
    return at;
  }

  private static byte[] with(byte[] file, int at, int value) {
    byte[] changed = file.clone();
    changed[at] = (byte) value;
    return changed;
  }

  private static void assertRejected(String reason, byte[] file) {
    var error = assertThrows(ImageException.class, () -> ImageDecoder.DEFAULT.decode("file", file));
    assertTrue(error.getMessage().contains(reason), error.getMessage());
  }
}
