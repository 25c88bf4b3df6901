import io.github.resnet4j.image.jpeg.JpegDecoder;
import java.io.IOException;

/** Bytes behind a JPEG's first ones are decoded, whole and reduced, or refused as they should be. */
public final class JpegTarget {
  private static final JpegDecoder.Limits LIMITS =
      (width, height) -> {
        if (width * height > 1 << 18) {
          throw new IOException("too large");
        }
      };

  private JpegTarget() {}

  public static void fuzzerTestOneInput(byte[] bytes) {
    if (bytes.length < 3) {
      return;
    }
    bytes[0] = (byte) 0xff;
    bytes[1] = (byte) 0xd8;
    bytes[2] = (byte) 0xff;
    try {
      JpegDecoder.decode(bytes, Integer.MAX_VALUE, Integer.MAX_VALUE, LIMITS);
      JpegDecoder.decode(bytes, 16, 16, LIMITS);
    } catch (IOException e) {
      // Refused, as it should be.
    }
  }
}
