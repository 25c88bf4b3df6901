package io.github.resnet4j.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Compares decoded pixels with Pillow's. */
class DecodingTest {
  @TempDir private Path folder;

  static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static Pixels decode(String name) throws IOException {
    return ImageDecoder.DEFAULT.decode(Golden.path("images/" + name));
  }

  static Stream<Map.Entry<String, Map<String, Object>>> exact() {
    return Golden.json("decoded.json").entrySet().stream();
  }

  @ParameterizedTest
  @MethodSource("exact")
  void pixelsMatchPillow(Map.Entry<String, Map<String, Object>> golden) throws IOException {
    Pixels pixels = decode(golden.getKey());
    assertEquals(golden.getValue().get("size"), List.of(pixels.width(), pixels.height()));
    assertEquals(golden.getValue().get("sha256"), sha256(pixels.data()), golden.getKey());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8})
  void exifOrientationIsAppliedOnRequest(int orientation) throws IOException {
    String name = "exif-" + orientation + ".jpg";
    var upright = (Map<?, ?>) Golden.json("decoded.json").get(name).get("upright");
    Pixels pixels =
        new ImageDecoder(true, ImageDecoder.DEFAULT_MAX_PIXELS)
            .decode(Golden.path("images/" + name));
    assertEquals(upright.get("size"), List.of(pixels.width(), pixels.height()));
    assertEquals(upright.get("sha256"), sha256(pixels.data()));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "baseline-420.jpg",
        "progressive.jpg",
        "gray.jpg",
        "cmyk.jpg",
        "rgb.png",
        "palette.png",
        "rgb.bmp",
        "palette.gif",
        "lossless.webp",
        "lossy.webp",
      })
  void truncatedImagesAreRejected(String name) throws IOException {
    byte[] bytes = Files.readAllBytes(Golden.path("images/" + name));
    for (int length : new int[] {0, 1, 10, 30, bytes.length / 2, bytes.length * 4 / 5}) {
      Path file = folder.resolve(name);
      Files.write(file, Arrays.copyOf(bytes, length));
      var error =
          assertThrows(
              ImageException.class, () -> ImageDecoder.DEFAULT.decode(file), "cut at " + length);
      assertTrue(error.getMessage().startsWith(file.toString()), error.getMessage());
    }
  }

  /** Random damage: the result is pixels or an error that names the file. */
  @ParameterizedTest
  @MethodSource("exact")
  void damagedImagesAreReadOrRejected(Map.Entry<String, Map<String, Object>> golden)
      throws IOException {
    byte[] original = Files.readAllBytes(Golden.path("images/" + golden.getKey()));
    var random = new SplittableRandom(original.length);
    for (int round = 0; round < 40; round++) {
      byte[] bytes = original.clone();
      for (int i = 0; i < 3; i++) {
        bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
      }
      try {
        Pixels pixels = new ImageDecoder(true, 1 << 20).decode("damaged", bytes);
        assertEquals(pixels.width() * pixels.height() * 3, pixels.data().length);
      } catch (ImageException e) {
        assertTrue(e.getMessage().startsWith("damaged: "), e.getMessage());
      }
    }
  }

  /** For all formats: an interrupted thread does not finish decoding. */
  @ParameterizedTest
  @MethodSource("exact")
  void interruptedThreadStopsDecoding(Map.Entry<String, Map<String, Object>> golden)
      throws IOException {
    byte[] bytes = Files.readAllBytes(Golden.path("images/" + golden.getKey()));
    Thread.currentThread().interrupt();
    try {
      var error = assertThrows(ImageException.class, () -> ImageDecoder.DEFAULT.decode("x", bytes));
      assertTrue(error.getMessage().contains("interrupted"), error.getMessage());
    } finally {
      assertTrue(Thread.interrupted(), "the thread stays interrupted");
    }
  }

  /** Files found by {@code tools/fuzz/run}. */
  @Test
  void corpusFilesAreReadOrRejected() throws IOException {
    int files = 0;
    try (var corpus = Files.list(Golden.corpus("images"))) {
      for (Path file : corpus.toList()) {
        files++;
        try {
          Pixels pixels = new ImageDecoder(true, 1 << 20).decode(file);
          assertEquals(pixels.width() * pixels.height() * 3, pixels.data().length);
        } catch (ImageException e) {
          assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
        }
      }
    }
    assertTrue(files > 20, "the corpus has " + files);
  }

  @Test
  void decompressionBombIsRejected() throws IOException {
    // 60,000 × 60,000 pixels in a valid header of 33 bytes.
    byte[] png = Files.readAllBytes(Golden.path("images/rgb.png"));
    byte[] bomb = png.clone();
    ByteBuffer.wrap(bomb).putInt(16, 60_000).putInt(20, 60_000);
    var crc = new CRC32();
    crc.update(bomb, 12, 17);
    ByteBuffer.wrap(bomb).putInt(29, (int) crc.getValue());
    var error =
        assertThrows(ImageException.class, () -> ImageDecoder.DEFAULT.decode("bomb.png", bomb));
    assertTrue(
        error.getMessage().contains("60000 × 60000 pixels, more than the 89,478,485"),
        error.getMessage());
  }

  @Test
  void otherFilesAreRejectedWithReason() {
    assertRejected("is empty", new byte[0]);
    assertRejected("is not an image in a known format (bmp, gif, jpeg, png", "hello".getBytes());
    var absent =
        assertThrows(
            ImageException.class, () -> ImageDecoder.DEFAULT.decode(folder.resolve("no.jpg")));
    assertTrue(absent.getMessage().endsWith("no.jpg: does not exist"));
    var directory = assertThrows(ImageException.class, () -> ImageDecoder.DEFAULT.decode(folder));
    assertTrue(directory.getMessage().endsWith("is a folder"));
  }

  private static void assertRejected(String reason, byte[] bytes) {
    var error = assertThrows(ImageException.class, () -> ImageDecoder.DEFAULT.decode("x", bytes));
    assertTrue(error.getMessage().contains(reason), error.getMessage());
  }
}
