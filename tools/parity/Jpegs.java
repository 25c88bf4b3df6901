import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.Pixels;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.CRC32;

/**
 * Decodes the files named on standard input, one per line, optionally followed by the minimum width and height of a draft, separated by tabs. Prints the size and the CRC of the pixels, or the reason of a rejection; used by jpeg_live.py.
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
