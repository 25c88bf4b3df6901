import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;

/** Any bytes are decoded or rejected with an {@link ImageException}. */
public final class ImageTarget {
  private static final ImageDecoder DECODER = new ImageDecoder(true, 1 << 20);

  private ImageTarget() {}

  public static void fuzzerTestOneInput(byte[] bytes) {
    try {
      DECODER.decode("fuzz", bytes);
    } catch (ImageException e) {
      // Rejected as specified.
    }
  }
}
