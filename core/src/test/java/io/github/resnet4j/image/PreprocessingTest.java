package io.github.resnet4j.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.Golden;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Compares the network's input with torchvision's and timm's transforms, bit for bit. */
class PreprocessingTest {
  @TempDir private Path folder;

  static Stream<Map.Entry<String, Map<String, Object>>> cases() {
    return Golden.json("preprocessing.json").entrySet().stream();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void inputsAreBitIdentical(Map.Entry<String, Map<String, Object>> golden) throws IOException {
    @SuppressWarnings("unchecked") // the files are ours
    var fields = (Map<String, ?>) golden.getValue().get("fields");

    Tensor x =
        Preprocessing.fromFields(fields).apply(image((String) golden.getValue().get("source")));

    var first = Golden.list(golden.getValue().get("first"));
    for (int i = 0; i < first.size(); i++) {
      assertEquals((float) Golden.number(first.get(i)), x.data()[i], golden.getKey());
    }
    var bytes = ByteBuffer.allocate(4 * x.size()).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(x.data());
    assertEquals(
        golden.getValue().get("sha256"), DecodingTest.sha256(bytes.array()), golden.getKey());
  }

  /** A golden image, or noise that golden.py creates with the same generator. */
  private static Pixels image(String source) throws IOException {
    if (!source.startsWith("noise ")) {
      return ImageDecoder.DEFAULT.decode(Golden.path("images/" + source));
    }
    String[] size = source.substring("noise ".length()).split("x");
    int width = Integer.parseInt(size[0]);
    int height = Integer.parseInt(size[1]);
    float[] uniform = TorchRandom.manualSeed(width).rand(height * width * 3).data();
    byte[] data = new byte[uniform.length];
    for (int i = 0; i < data.length; i++) {
      data[i] = (byte) (int) (uniform[i] * 256);
    }
    return new Pixels(width, height, 3, data);
  }

  @Test
  void grayMatchesPillow() {
    var rgb = new Pixels(2, 1, 3, new byte[] {(byte) 255, 0, 0, 10, 20, 30});
    assertArrayEquals(new byte[] {76, 18}, rgb.toGray().data());
    var gray = new Preprocessing(1, 1, 1, Interpolation.BILINEAR, List.of(0.5f), List.of(0.5f));
    assertEquals("[1, 1, 1, 1]", gray.apply(rgb).toString());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '\0',
      value = {
        "{\"crop_size\": 224, \"resize_size\": 232} | 232 224 224 bilinear",
        "{\"crop_size\": [224], \"resize_size\": [256], \"interpolation\": \"BICUBIC\"} | 256 224"
            + " 224 bicubic",
        "{\"input_size\": [3, 224, 224], \"crop_pct\": 0.95, \"interpolation\": \"bicubic\"} | 235"
            + " 224 224 bicubic",
        "{\"pretrained_cfg\": {\"input_size\": [3, 160, 160], \"crop_pct\": 0.875}} | 182 160 160"
            + " bilinear",
        "{\"size\": 224, \"crop_pct\": 0.875, \"resample\": 3} | 256 224 224 bicubic",
        "{\"size\": {\"shortest_edge\": 224}, \"crop_pct\": 0.875, \"resample\": 2} | 256 224 224"
            + " bilinear",
        "{\"size\": {\"shortest_edge\": 256}, \"crop_size\": {\"height\": 224, \"width\": 192}} |"
            + " 256 224 192 bilinear",
      })
  void foreignConfigurationsAreRead(String json, String expected) throws IOException {
    Path file = Files.writeString(folder.resolve("p.json"), json);
    var p = Preprocessing.fromJson(file);
    assertEquals(
        expected,
        "%d %d %d %s".formatted(p.resize(), p.cropHeight(), p.cropWidth(), p.interpolation()));
    assertEquals(Preprocessing.IMAGENET_MEAN, p.mean());
    // Our own format is read back unchanged.
    assertEquals(p, Preprocessing.fromFields(JSON.std.mapFrom(JSON.std.asString(p.toFields()))));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '\0',
      value = {
        "{} | none of crop_size, input_size and size",
        "{\"crop_size\": 0} | crop height must be 1 to 16384, was 0",
        "{\"crop_size\": 300, \"resize_size\": 256} | resize must be at least the crop's larger"
            + " side",
        "{\"crop_size\": 224, \"interpolation\": \"lanczos\"} | must be bilinear or bicubic, was"
            + " lanczos",
        "{\"crop_size\": 224, \"mean\": [0.5, 0.5]} | mean must be three values, or one for gray",
        "{\"crop_size\": 224, \"std\": [0.5, 0, 0.5]} | std must be as many positive values",
        "{\"crop_size\": 224, \"std\": [0.5, 1e999, 0.5]} | std must be as many positive values",
        "{\"crop_size\": 224, \"mean\": [0.5, 1e999, 0.5]} | mean must be three values",
        "{\"crop_size\": 224, \"mean\": \"x\"} | mean must be a list of numbers, was x",
        "{\"crop_size\": \"x\"} | crop_size must be integers, was x",
        "{\"crop_size\": 224, \"crop_pct\": 2} | crop_pct must be above 0 and at most 1, was 2",
        "{\"crop_size\": 224, \"crop_mode\": \"border\"} | crop_mode must be center, was border",
        "{\"size\": 224, \"resample\": 1} | resample must be 2 or 3, was 1",
      })
  void invalidFieldsAreNamed(String json, String reason) throws IOException {
    Path file = Files.writeString(folder.resolve("p.json"), json);
    var error = assertThrows(IllegalArgumentException.class, () -> Preprocessing.fromJson(file));
    assertTrue(error.getMessage().startsWith(file.toString()), error.getMessage());
    assertTrue(error.getMessage().contains(reason), error.getMessage());
  }

  @Test
  void invalidJsonIsReported() throws IOException {
    Path file = Files.writeString(folder.resolve("p.json"), "resize: 256");
    var error = assertThrows(IOException.class, () -> Preprocessing.fromJson(file));
    assertTrue(error.getMessage().startsWith(file + ": is not JSON"), error.getMessage());
  }
}
