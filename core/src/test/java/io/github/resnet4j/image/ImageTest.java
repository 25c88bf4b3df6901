package io.github.resnet4j.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ImageTest {
  /** Java's decoder reads the expected pixels; ours is compared with Pillow in other tests. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "rgb.png",
        "rgba.png",
        "gray.png",
        "gray-alpha.png",
        "palette.png",
        "palette-4-bit.png",
        "palette-transparent.png",
        "rgb.bmp"
      })
  void bufferedImageHasPixelsOfItsFile(String name) throws IOException {
    Path file = Golden.path("images/" + name);
    Pixels expected = ImageDecoder.DEFAULT.decode(file);
    Pixels found = Image.of(ImageIO.read(file.toFile())).decode(ImageDecoder.DEFAULT);
    assertEquals(expected.width(), found.width());
    assertEquals(expected.height(), found.height());
    assertArrayEquals(expected.data(), found.data());
  }

  @Test
  void bytesAndStreamsHavePixelsOfTheirFile() throws IOException {
    Path file = Golden.path("images/baseline-420.jpg");
    byte[] expected = ImageDecoder.DEFAULT.decode(file).data();
    byte[] bytes = Files.readAllBytes(file);
    assertArrayEquals(expected, Image.of(file).decode(ImageDecoder.DEFAULT).data());
    assertArrayEquals(expected, Image.of("cat", bytes).decode(ImageDecoder.DEFAULT).data());
    boolean[] closed = new boolean[1];
    var stream =
        new ByteArrayInputStream(bytes) {
          @Override
          public void close() {
            closed[0] = true;
          }
        };
    assertArrayEquals(expected, Image.of("cat", stream).decode(ImageDecoder.DEFAULT).data());
    assertTrue(closed[0]);
  }

  @Test
  void errorsNameTheImage() {
    var words = Image.of("words", new byte[] {'a', 'b', 'c'});
    assertEquals("words", words.toString());
    var error = assertThrows(ImageException.class, () -> words.decode(ImageDecoder.DEFAULT));
    assertTrue(error.getMessage().startsWith("words: is not an image"), error.getMessage());
    var missing = Image.of(Path.of("no", "such.png"));
    assertThrows(ImageException.class, () -> missing.decode(ImageDecoder.DEFAULT));
  }
}
