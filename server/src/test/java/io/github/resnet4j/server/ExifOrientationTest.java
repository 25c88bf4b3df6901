package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.figures.FigureFile;
import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.server.Client.Answer;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Phones store images in the orientation of the sensor, with a tag that says how to rotate them.
 */
class ExifOrientationTest {
  @TempDir private static Path folder;
  private static Client client;

  /** A six on its side, 160 × 200, with the EXIF orientation "rotate 90° clockwise". */
  private static byte[] stored;

  /** The stored pixels, rotated by the test. */
  private static byte[] rotated;

  @BeforeAll
  static void start() throws IOException {
    client = new Client(Client.options(folder));
    BufferedImage six = ImageIO.read(new ByteArrayInputStream(Client.digit(6)));
    var tall = new BufferedImage(200, 160, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < 160; y++) {
      for (int x = 0; x < 200; x++) {
        tall.setRGB(x, y, six.getRGB(Math.clamp(x - 20, 0, 159), y));
      }
    }
    var jpeg = new ByteArrayOutputStream();
    ImageIO.write(counterclockwise(tall), "jpeg", jpeg);
    stored = withOrientation6(jpeg.toByteArray());
    BufferedImage pixels = FigureFile.image(ImageDecoder.DEFAULT.decode("stored", stored));
    assertEquals(160, pixels.getWidth());
    // Three quarter turns counterclockwise equal one clockwise.
    rotated = png(counterclockwise(counterclockwise(counterclockwise(pixels))));
  }

  private static BufferedImage counterclockwise(BufferedImage image) {
    int width = image.getWidth();
    var turned = new BufferedImage(image.getHeight(), width, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < image.getHeight(); y++) {
      for (int x = 0; x < width; x++) {
        turned.setRGB(y, width - 1 - x, image.getRGB(x, y));
      }
    }
    return turned;
  }

  private static byte[] png(BufferedImage image) throws IOException {
    var png = new ByteArrayOutputStream();
    ImageIO.write(image, "png", png);
    return png.toByteArray();
  }

  /** Inserts the EXIF tag 0x0112 as the first segment of a JPEG. */
  private static byte[] withOrientation6(byte[] jpeg) {
    return ByteBuffer.allocate(jpeg.length + 36)
        .put(jpeg, 0, 2)
        .putShort((short) 0xffe1)
        .putShort((short) 34)
        .put("Exif\0\0MM\0*".getBytes(StandardCharsets.US_ASCII))
        .putInt(8) // offset of the first directory
        .putShort((short) 1) // number of entries
        .putShort((short) 0x0112)
        .putShort((short) 3) // type: 16-bit integer
        .putInt(1)
        .putShort((short) 6)
        .putShort((short) 0)
        .putInt(0) // no further directory
        .put(jpeg, 2, jpeg.length - 2)
        .array();
  }

  @AfterAll
  static void stop() throws IOException {
    client.close();
  }

  private static Answer post(String path, byte[] image) throws Exception {
    Answer answer = client.post(path, "application/octet-stream", image);
    assertEquals(200, answer.status(), answer::toString);
    return answer;
  }

  private static Object best(Answer answer) {
    return ((Map<?, ?>) ((List<?>) answer.json().get("predictions")).getFirst()).get("index");
  }

  @Test
  void imageIsRotatedIfRequested() throws Exception {
    assertEquals(6, best(post("/classify?exif_orientation=true", stored)));
    assertEquals(
        post("/features", rotated).json().get("features"),
        post("/features?exif_orientation=true", stored).json().get("features"));
  }

  @Test
  void imageIsNotRotatedByDefault() throws Exception {
    Object features = post("/features", stored).json().get("features");
    assertEquals(features, post("/features?exif_orientation=false", stored).json().get("features"));
    assertNotEquals(
        features, post("/features?exif_orientation=true", stored).json().get("features"));
  }

  @Test
  void explanationUsesTheRotatedImage() throws Exception {
    for (boolean turn : new boolean[] {true, false}) {
      Answer answer =
          client.send(
              "/explain?exif_orientation=" + turn,
              request ->
                  request
                      .header("Accept", "application/json")
                      .header("Content-Type", "image/jpeg")
                      .POST(BodyPublishers.ofByteArray(stored)));
      assertEquals(200, answer.status(), answer::toString);
      assertEquals(turn, answer.json().get("index").equals(6), answer::toString);
    }
  }

  @Test
  void otherValuesAreRejected() throws Exception {
    for (String path : List.of("/classify", "/features", "/explain")) {
      for (String value : List.of("yes", "1", "", "TRUE")) {
        Answer answer = client.post(path + "?exif_orientation=" + value, "image/jpeg", stored);
        assertEquals(400, answer.status(), answer::toString);
        assertTrue(
            answer.toString().contains("exif_orientation must be true or false"), answer::toString);
      }
    }
  }
}
