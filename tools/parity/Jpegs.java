import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.Pixels;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.CRC32;

/**
 * Decodes the files whose names come over standard input, one a line, with the least width and
 * height of a draft behind a tab where one is wanted; jpeg_live.py runs it. Answers with extents and
 * CRC of the pixels, or with the reason of a refusal.
 */
void main() throws Exception {
  var lines = new BufferedReader(new InputStreamReader(System.in));
  for (String line = lines.readLine(); line != null; line = lines.readLine()) {
    String[] fields = line.split("\t");
    byte[] bytes = Files.readAllBytes(Path.of(fields[0]));
    String answer;
    try {
      Pixels pixels =
          fields.length == 1
              ? ImageDecoder.DEFAULT.decode("it", bytes)
              : ImageDecoder.DEFAULT.draft(
                  "it", bytes, Integer.parseInt(fields[1]), Integer.parseInt(fields[2]));
      var crc = new CRC32();
      crc.update(pixels.data());
      answer = pixels.width() + "x" + pixels.height() + " " + crc.getValue();
    } catch (ImageException e) {
      answer = "refused: " + e.getMessage();
    }
    IO.println(answer);
  }
}
