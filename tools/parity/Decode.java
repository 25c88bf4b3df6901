import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;

/** Prints for each file of a folder its extents and the SHA-256 of its pixels; images_live.py runs it. */
void main(String[] folder) throws Exception {
  try (var files = Files.list(Path.of(folder[0]))) {
    for (Path file : files.sorted().toList()) {
      IO.println(file.getFileName() + "\t" + decoded(file));
    }
  }
}

String decoded(Path file) throws Exception {
  try {
    var pixels = ImageDecoder.DEFAULT.decode(file);
    byte[] hash = MessageDigest.getInstance("SHA-256").digest(pixels.data());
    return pixels.width() + "x" + pixels.height() + " " + HexFormat.of().formatHex(hash);
  } catch (ImageException e) {
    return "refused: " + e.getMessage().replace('\n', ' ');
  }
}
