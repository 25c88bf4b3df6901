package io.github.resnet4j.image;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.awt.image.DirectColorModel;
import java.awt.image.IndexColorModel;
import java.awt.image.PixelInterleavedSampleModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * Decodes pictures to the pixels that Pillow's {@code Image.open(file).convert("RGB")} gives: JPEG,
 * PNG, BMP, GIF (first frame), and WebP where a reader for it is on the class path.
 *
 * <p>As there, an alpha channel is dropped, not blended, and colour profiles are not applied.
 *
 * @param exifOrientation turn a JPEG upright by its EXIF tag; torchvision's loader, and so the
 *     training of the published weights, does not
 * @param maxPixels larger pictures are refused before they are decoded
 */
public record ImageDecoder(boolean exifOrientation, long maxPixels) {
  /** The size from which Pillow warns of a decompression bomb: 256 MB of RGB. */
  public static final long DEFAULT_MAX_PIXELS = 89_478_485;

  /** Larger files are not read at all. */
  public static final long MAX_FILE_BYTES = 512L << 20;

  /** The endings of pictures' names, in lower case. */
  public static final Set<String> ENDINGS =
      Set.of("jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp");

  /** Without regard to EXIF, up to {@link #DEFAULT_MAX_PIXELS}. */
  public static final ImageDecoder DEFAULT = new ImageDecoder(false, DEFAULT_MAX_PIXELS);

  /**
   * Decodes a file to RGB.
   *
   * @throws ImageException if it is no picture, or truncated, or too large
   * @throws IOException if it cannot be read
   */
  public Pixels decode(Path file) throws IOException {
    String name = file.toString();
    try {
      if (Files.isDirectory(file)) {
        throw new ImageException(name, "is a folder");
      }
      if (Files.size(file) > MAX_FILE_BYTES) {
        throw new ImageException(name, "has more than 512 MB, too large for a picture");
      }
      return decode(name, Files.readAllBytes(file));
    } catch (NoSuchFileException _) {
      throw new ImageException(name, "does not exist");
    }
  }

  /**
   * Decodes a picture in memory to RGB.
   *
   * @param name what errors call it
   */
  public Pixels decode(String name, byte[] bytes) throws ImageException {
    try {
      Pixels pixels = decodeWith(reader(name, bytes), name, bytes);
      return exifOrientation ? pixels.upright(Jpeg.exifOrientation(bytes)) : pixels;
    } catch (ImageException e) {
      throw e;
    } catch (IOException | RuntimeException e) {
      // ImageIO's readers answer damaged files with exceptions of any kind.
      throw new ImageException(name, "is damaged: " + reason(e));
    } catch (OutOfMemoryError _) {
      throw new ImageException(name, "needs more memory than there is; see -Xmx");
    }
  }

  private static String reason(Exception e) {
    String message = e.getMessage();
    return message == null || message.isBlank() ? e.getClass().getSimpleName() : message;
  }

  private static ImageReader reader(String name, byte[] bytes) throws ImageException {
    if (bytes.length == 0) {
      throw new ImageException(name, "is empty");
    }
    ImageReader found = null;
    Iterator<ImageReader> readers =
        ImageIO.getImageReaders(new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes)));
    while (readers.hasNext()) {
      ImageReader reader = readers.next();
      // The JDK's own readers are the ones that were compared with Pillow; others add formats.
      boolean own = reader.getClass().getModule().equals(ImageIO.class.getModule());
      if (found == null || own) {
        found = reader;
      }
      if (own) {
        break;
      }
    }
    if (found == null) {
      boolean webp = bytes.length > 12 && bytes[8] == 'W' && bytes[9] == 'E' && bytes[10] == 'B';
      throw new ImageException(
          name,
          webp
              ? "is a WebP; add com.twelvemonkeys.imageio:imageio-webp to the class path"
              : "is not a picture in a known format (" + String.join(", ", formats()) + ")");
    }
    return found;
  }

  /** The formats that can be read here, in lower case. */
  public static List<String> formats() {
    var formats = new TreeSet<String>();
    for (String name : ImageIO.getReaderFormatNames()) {
      formats.add(name.toLowerCase(Locale.ROOT));
    }
    formats.removeAll(List.of("jpg", "wbmp"));
    return List.copyOf(formats);
  }

  private Pixels decodeWith(ImageReader reader, String name, byte[] bytes) throws IOException {
    try (var stream = new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes))) {
      reader.setInput(stream, true, true);
      var warnings = new ArrayList<String>();
      reader.addIIOReadWarningListener((_, warning) -> warnings.add(warning));
      limit(name, reader.getWidth(0), reader.getHeight(0));
      String format = reader.getFormatName().toLowerCase(Locale.ROOT);
      Pixels pixels;
      if (format.startsWith("jp") && Jpeg.components(bytes) == 4) {
        pixels = Jpeg.fromCmyk(reader.readRaster(0, null), bytes);
      } else if (format.equals("gif")) {
        Gif.Placement placement = Gif.placement(bytes);
        limit(name, placement.width(), placement.height());
        BufferedImage frame = reader.read(0);
        pixels =
            Gif.onScreen(
                toRgb(frame),
                placement,
                ((IndexColorModel) frame.getColorModel()).getRGB(placement.background()));
      } else {
        pixels = toRgb(reader.read(0));
      }
      if (format.equals("webp") && isTruncatedRiff(bytes)) { // its reader fills up with zeros
        throw new ImageException(name, "is truncated");
      }
      for (String warning : warnings) {
        String lower = warning.toLowerCase(Locale.ROOT);
        if (lower.contains("premature end") || lower.contains("truncated")) {
          throw new ImageException(name, "is truncated: " + warning);
        }
      }
      return pixels;
    } finally {
      reader.dispose();
    }
  }

  private void limit(String name, int width, int height) throws ImageException {
    if ((long) width * height > maxPixels) {
      throw new ImageException(
          name,
          "has %d × %d pixels, more than the %,d that are allowed"
              .formatted(width, height, maxPixels));
    }
  }

  /** A RIFF file says its length in its header. */
  private static boolean isTruncatedRiff(byte[] bytes) {
    long length =
        Integer.toUnsignedLong(ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt(4));
    return length + 8 > bytes.length;
  }

  /** The raster's own samples: {@code getRGB} would convert between colour spaces. */
  private static Pixels toRgb(BufferedImage image) {
    int width = image.getWidth();
    int height = image.getHeight();
    byte[] rgb = new byte[Math.multiplyExact(width * height, 3)];
    Raster raster = image.getRaster();
    switch (image.getColorModel()) {
      case IndexColorModel palette -> {
        int[] row = new int[width];
        for (int y = 0, to = 0; y < height; y++) {
          raster.getSamples(0, y, width, 1, 0, row);
          for (int index : row) {
            int color = index < palette.getMapSize() ? palette.getRGB(index) : 0;
            rgb[to++] = (byte) (color >> 16);
            rgb[to++] = (byte) (color >> 8);
            rgb[to++] = (byte) color;
          }
        }
      }
      case DirectColorModel model -> {
        for (int y = 0, to = 0; y < height; y++) {
          for (int x = 0; x < width; x++) {
            int color = model.getRGB(raster.getDataElements(x, y, null));
            rgb[to++] = (byte) (color >> 16);
            rgb[to++] = (byte) (color >> 8);
            rgb[to++] = (byte) color;
          }
        }
      }
      default -> {
        boolean gray =
            raster.getNumBands() < 3
                || image.getColorModel().getColorSpace().getType() == ColorSpace.TYPE_GRAY;
        if (raster.getSampleModel() instanceof PixelInterleavedSampleModel model
            && raster.getDataBuffer() instanceof DataBufferByte buffer) {
          copyBytes(buffer.getData(), model, gray, width, height, rgb);
        } else {
          copySamples(raster, gray, rgb);
        }
      }
    }
    return new Pixels(width, height, 3, rgb);
  }

  /** The usual case, 8 bits a sample: one pass over the picture. */
  private static void copyBytes(
      byte[] data,
      PixelInterleavedSampleModel model,
      boolean gray,
      int width,
      int height,
      byte[] rgb) {
    int[] bands = model.getBandOffsets();
    int green = bands[gray ? 0 : 1];
    int blue = bands[gray ? 0 : 2];
    int step = model.getPixelStride();
    for (int y = 0, to = 0; y < height; y++) {
      int from = y * model.getScanlineStride();
      for (int x = 0; x < width; x++, from += step, to += 3) {
        rgb[to] = data[from + bands[0]];
        rgb[to + 1] = data[from + green];
        rgb[to + 2] = data[from + blue];
      }
    }
  }

  private static void copySamples(Raster raster, boolean gray, byte[] rgb) {
    int width = raster.getWidth();
    int bits = raster.getSampleModel().getSampleSize(0);
    int[] row = new int[width];
    for (int band = 0; band < 3; band++) {
      for (int y = 0; y < raster.getHeight(); y++) {
        raster.getSamples(0, y, width, 1, gray ? 0 : band, row);
        int to = y * width * 3 + band;
        for (int x = 0; x < width; x++, to += 3) {
          rgb[to] = toByte(row[x], bits, gray);
        }
      }
    }
  }

  private static byte toByte(int sample, int bits, boolean gray) {
    if (bits <= 8) {
      return (byte) sample;
    }
    // Pillow keeps 16-bit gray as integers and clips them; 16-bit colours lose their low byte.
    return (byte) (gray ? Math.min(sample, 255) : sample >> (bits - 8));
  }
}
