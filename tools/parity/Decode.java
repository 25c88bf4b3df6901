import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;

/** Prints the size and the SHA-256 of the pixels of each file in a folder; used by images_live.py. */
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
    return "rejected: " + e.getMessage().replace('\n', ' ');
  }
}
