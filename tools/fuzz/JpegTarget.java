import io.github.resnet4j.image.jpeg.JpegDecoder;
import java.io.IOException;

/** Bytes after a JPEG signature are decoded, at full and at reduced size, or rejected with an IOException. */
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
      // Rejected as specified.
    }
  }
}
