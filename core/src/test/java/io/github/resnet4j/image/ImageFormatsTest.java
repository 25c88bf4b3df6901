package io.github.resnet4j.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.ZipInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The formats other than JPEG: Pillow's pixels and errors, and malicious files. */
class ImageFormatsTest {
  record File(String name, byte[] bytes, Map<String, Object> expected) {
    @Override
    public String toString() {
      return name;
    }
  }

  static List<File> files() throws IOException {
    Map<String, Map<String, Object>> expected = Golden.json("formats.json");
    var files = new ArrayList<File>();
    try (var archive = new ZipInputStream(Files.newInputStream(Golden.path("formats.zip")))) {
      for (var entry = archive.getNextEntry(); entry != null; entry = archive.getNextEntry()) {
        files.add(new File(entry.getName(), archive.readAllBytes(), expected.get(entry.getName())));
      }
    }
    assertEquals(expected.size(), files.size());
    assertTrue(files.size() > 200, "there are " + files.size());
    return files;
  }

  @ParameterizedTest
  @MethodSource("files")
  void pixelsAndErrorsMatchPillow(File file) throws IOException {
    if (file.expected.containsKey("refused")) {
      var error = assertThrows(ImageException.class, () -> decode(file.bytes));
      assertTrue(error.getMessage().startsWith("x: "), error.getMessage());
      return;
    }
    Pixels pixels = decode(file.bytes);
    assertEquals(file.expected.get("size"), List.of(pixels.width(), pixels.height()));
    assertEquals(file.expected.get("sha256"), DecodingTest.sha256(pixels.data()));
  }

  private static Pixels decode(byte[] bytes) throws ImageException {
    return ImageDecoder.DEFAULT.decode("x", bytes);
  }

  private static void assertRejected(String reason, byte[] bytes) {
    var error = assertThrows(ImageException.class, () -> decode(bytes));
    assertTrue(error.getMessage().contains(reason), error.getMessage());
  }

  @ParameterizedTest
  @CsvSource({
    "AVIF, 0000001c6674797061766966",
    "HEIC, 0000001c6674797068656963",
    "JPEG 2000, 0000000c6a5020200d0a870a",
    "JPEG 2000, ff4fff51002f",
    "JPEG XL, 0000000c4a584c200d0a870a",
    "JPEG XL, ff0a1234",
    "SVG, 3c3f786d6c3f3e3c737667",
    "PDF, 255044462d312e37",
    "Photoshop, 384250530001",
    "Windows icon, 000001000100",
    "camera raw, 49492a00100000004352",
  })
  void unsupportedFormatsAreNamed(String name, String magic) {
    assertRejected(
        "is in the format " + name + ", which is not supported; convert it to PNG or JPEG",
        HexFormat.of().parseHex(magic));
  }

  @Test
  void imageIoIsNotUsedForOtherFormats() {
    assertRejected(
        "is not an image in a known format", new byte[] {0, 0, 8, 8, 1, 2, 3, 4}); // WBMP
  }

  @Test
  void imageWithinBmpIsRejected() throws IOException {
    byte[] bmp =
        ByteBuffer.allocate(54 + 100)
            .order(ByteOrder.LITTLE_ENDIAN)
            .put("BM".getBytes(StandardCharsets.US_ASCII))
            .putInt(154)
            .putInt(0)
            .putInt(54)
            .putInt(40)
            .putInt(8)
            .putInt(8)
            .putShort((short) 1)
            .putShort((short) 24)
            .putInt(5)
            .array();
    assertRejected("is a PNG within a BMP, which is not supported", bmp);
    bmp[30] = 4;
    assertRejected("is a JPEG within a BMP, which is not supported", bmp);
  }

  @Test
  void pngColorProfileIsNotDecompressed() throws IOException {
    byte[] png = Files.readAllBytes(Golden.path("images/rgb.png"));
    var profile = new ByteArrayOutputStream();
    profile.write(new byte[] {'p', 0, 0});
    try (var deflater = new DeflaterOutputStream(profile)) {
      deflater.write(new byte[64 << 20]); // Pillow rejects more than 1 MB
    }
    var whole = new ByteArrayOutputStream();
    whole.write(png, 0, 33);
    whole.write(chunk("iCCP", profile.toByteArray()));
    whole.write(png, 33, png.length - 33);
    assertEquals(
        DecodingTest.sha256(decode(png).data()),
        DecodingTest.sha256(decode(whole.toByteArray()).data()));
  }

  private static byte[] chunk(String type, byte[] content) {
    ByteBuffer chunk = ByteBuffer.allocate(content.length + 12).putInt(content.length);
    chunk.put(type.getBytes(StandardCharsets.US_ASCII)).put(content);
    var crc = new CRC32();
    crc.update(chunk.array(), 4, content.length + 4);
    return chunk.putInt((int) crc.getValue()).array();
  }

  /** A tile of 2,147,483,632 columns in an image of 8 × 8. */
  @Test
  void tileSizeIsCheckedAgainstPixelLimit() {
    int[][] tags = {
      {256, 8},
      {257, 8},
      {258, 8},
      {259, 1},
      {262, 1},
      {322, 2147483632},
      {323, 16},
      {324, 8},
      {325, 64}
    };
    ByteBuffer tiff = ByteBuffer.allocate(10 + 12 * tags.length + 4).order(ByteOrder.LITTLE_ENDIAN);
    tiff.put(new byte[] {'I', 'I', 42, 0}).putInt(8).putShort((short) tags.length);
    for (int[] tag : tags) {
      tiff.putShort((short) tag[0]).putShort((short) 4).putInt(1).putInt(tag[1]);
    }
    assertRejected(
        "2147483632 × 8 pixels, more than the 89,478,485 that are allowed", tiff.array());
  }

  /** The rotation itself is compared with Pillow in DecodingTest. */
  @ParameterizedTest
  @ValueSource(ints = {1, 3, 6, 8})
  void exifOrientationOfPngAndWebpIsAppliedOnRequest(int orientation) throws IOException {
    byte[] tiff =
        ByteBuffer.allocate(26)
            .put(new byte[] {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1})
            .putShort((short) 0x0112)
            .putShort((short) 3)
            .putInt(1)
            .putShort((short) orientation)
            .array();
    byte[] png = Files.readAllBytes(Golden.path("images/rgb.png"));
    var whole = new ByteArrayOutputStream();
    whole.write(png, 0, 33);
    whole.write(chunk("eXIf", tiff));
    whole.write(png, 33, png.length - 33);
    turnsUpright(orientation, whole.toByteArray());

    byte[] webp = Files.readAllBytes(Golden.path("images/lossless.webp"));
    ByteBuffer riff =
        ByteBuffer.allocate(webp.length + 8 + tiff.length).order(ByteOrder.LITTLE_ENDIAN).put(webp);
    riff.put("EXIF".getBytes(StandardCharsets.US_ASCII)).putInt(tiff.length).put(tiff);
    riff.putInt(4, riff.capacity() - 8);
    turnsUpright(orientation, riff.array());
  }

  private static void turnsUpright(int orientation, byte[] bytes) throws ImageException {
    Pixels upright = new ImageDecoder(true, ImageDecoder.DEFAULT_MAX_PIXELS).decode("x", bytes);
    Pixels expected = decode(bytes).upright(orientation);
    assertEquals(expected.width(), upright.width());
    assertArrayEquals(expected.data(), upright.data());
  }

  @Test
  void extensionsAreCaseInsensitive() {
    for (String name : List.of("a.png", "a/b.JPG", "Mixed.Png", "x.jpe", "x.JFIF", "s.tiff")) {
      assertTrue(ImageDecoder.isImageName(name), name);
    }
    for (String name : List.of("a.txt", "png", "a.png.gz", "")) {
      assertFalse(ImageDecoder.isImageName(name), name);
    }
  }
}
