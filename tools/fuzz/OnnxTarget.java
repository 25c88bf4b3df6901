import io.github.resnet4j.onnx.OnnxException;
import io.github.resnet4j.onnx.OnnxImport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Any bytes are imported as a network or rejected with an {@link OnnxException}. */
public final class OnnxTarget {
  private static final Path FILE;

  static {
    try {
      FILE = Files.createTempFile("fuzz", ".onnx");
    } catch (IOException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private OnnxTarget() {}

  public static void fuzzerTestOneInput(byte[] bytes) throws IOException {
    Files.write(FILE, bytes);
    try {
      OnnxImport.read(FILE);
    } catch (OnnxException e) {
      // Rejected as specified.
    }
  }
}
