import io.github.resnet4j.Model;
import io.github.resnet4j.Recognition;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.CheckpointException;
import io.github.resnet4j.checkpoint.StoredTensor;
import java.io.IOException;
import java.nio.file.Path;

/** Any bytes are read as a checkpoint or rejected with a {@link CheckpointException}. */
public final class CheckpointTarget {
  private static final Path NAME = Path.of("fuzz.pth");

  private CheckpointTarget() {}

  public static void fuzzerTestOneInput(byte[] bytes) throws IOException {
    try (var checkpoint = Checkpoint.of(NAME, bytes)) {
      checkpoint.torchvisionTensors().values().forEach(StoredTensor::toTensor);
      Recognition.of(checkpoint);
      Model.read(NAME.toString(), bytes); // including the network's metadata
    } catch (CheckpointException e) {
      // Rejected as specified.
    }
  }
}
