import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Any bytes are read as a checkpoint or refused with a {@link CheckpointException}. */
public final class CheckpointTarget {
  private static final Path FILE;

  static {
    try {
      FILE = Files.createTempFile("fuzz", ".pth");
    } catch (IOException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private CheckpointTarget() {}

  public static void fuzzerTestOneInput(byte[] bytes) throws IOException {
    Files.write(FILE, bytes);
    try (var checkpoint = Checkpoint.open(FILE)) {
      for (var tensor : checkpoint.torchvisionTensors().values()) {
        if (tensor.size() < 1 << 20) {
          tensor.toTensor();
        }
      }
    } catch (CheckpointException e) {
      // Refused, as it should be.
    }
  }
}
