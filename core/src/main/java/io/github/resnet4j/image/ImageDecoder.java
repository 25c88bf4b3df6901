package io.github.resnet4j.image;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferByte;
import java.awt.image.DirectColorModel;
import java.awt.image.IndexColorModel;
import java.awt.image.PixelInterleavedSampleModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
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

  private static final List<String> FORMATS = List.of("bmp", "gif", "jpeg", "png", "webp");

  /** Without regard to EXIF, up to {@link #DEFAULT_MAX_PIXELS}. */
  public static final ImageDecoder DEFAULT = new ImageDecoder(false, DEFAULT_MAX_PIXELS);

  /** Whether a file's name ends as images' names do, whatever the case of its letters. */
  public static boolean isImageName(String name) {
    int dot = name.lastIndexOf('.');
    return dot >= 0 && ENDINGS.contains(name.substring(dot + 1).toLowerCase(Locale.ROOT));
  }

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
   * Decodes an image in memory to RGB.
   *
   * <p>Interrupting the thread ends the decoding, whatever the file, within a few milliseconds: so
   * does who gives it a limited time. The thread stays interrupted.
   *
   * @param name what errors call it
   * @throws ImageException if it is no image, or truncated, or too large, or the thread was
   *     interrupted
   */
  public Pixels decode(String name, byte[] bytes) throws ImageException {
    try {
      Pixels pixels = decode(new EncodedImage(name, bytes, maxPixels));
      return exifOrientation ? pixels.upright(Jpeg.exifOrientation(bytes)) : pixels;
    } catch (ImageException e) {
      throw e;
    } catch (IOException | RuntimeException e) {
      new EncodedImage(name, bytes, maxPixels).checkInterrupted();
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

  private Pixels decode(EncodedImage file) throws IOException {
    if (file.length() == 0) {
      throw file.refused("is empty");
    }
    ImageFormat format = ImageFormat.of(file.bytes());
    return switch (format) {
      case PNG -> Png.decode(file);
      case JPEG -> Jpeg.decode(file);
      case GIF, BMP, WEBP -> decodeWithImageIo(format, file);
      case UNKNOWN ->
          throw file.refused(
              "is not an image in a known format (" + String.join(", ", formats()) + ")");
      case AVIF, HEIC, JPEG_2000, JPEG_XL, SVG, PDF, PHOTOSHOP, ICON, RAW ->
          throw file.refused(
              "is in the format %s, which is not supported; convert it to PNG or JPEG"
                  .formatted(format.word()));
    };
  }

  /** The formats that can be read, in lower case. */
  public static List<String> formats() {
    return FORMATS;
  }

  /** The reader of one format; ImageIO's other readers are not reachable. */
  private static ImageReader reader(ImageFormat format, EncodedImage file) throws ImageException {
    Iterator<ImageReader> readers = ImageIO.getImageReadersByFormatName(format.word());
    while (readers.hasNext()) {
      ImageReader reader = readers.next();
      // The JDK's own readers are the ones that were compared with Pillow.
      if (format == ImageFormat.WEBP
          || reader.getClass().getModule().equals(ImageIO.class.getModule())) {
        return reader;
      }
    }
    throw file.refused("is in the format %s, which this JVM cannot read".formatted(format.word()));
  }

  private static Pixels decodeWithImageIo(ImageFormat format, EncodedImage file)
      throws IOException {
    byte[] bytes = file.bytes();
    ImageReader reader = reader(format, file);
    try (var stream = new MemoryCacheImageInputStream(interruptible(file))) {
      reader.setInput(stream, true, true);
      var warnings = new ArrayList<String>();
      reader.addIIOReadWarningListener((_, warning) -> warnings.add(warning));
      file.checkSize(reader.getWidth(0), reader.getHeight(0));
      Pixels pixels;
      if (format == ImageFormat.GIF) {
        Gif.Placement placement = Gif.placement(bytes);
        file.checkSize(placement.width(), placement.height());
        BufferedImage frame = reader.read(0);
        pixels =
            Gif.onScreen(
                toRgb(frame),
                placement,
                ((IndexColorModel) frame.getColorModel()).getRGB(placement.background()));
      } else {
        pixels = toRgb(reader.read(0));
      }
      // The reader of WebP fills up with zeros.
      if (format == ImageFormat.WEBP && isTruncatedRiff(bytes)) {
        throw file.refused("is truncated");
      }
      for (String warning : warnings) {
        String lower = warning.toLowerCase(Locale.ROOT);
        if (lower.contains("premature end") || lower.contains("truncated")) {
          throw file.refused("is truncated: " + warning);
        }
      }
      return pixels;
    } finally {
      reader.dispose();
    }
  }

  /** The file's bytes, for readers that ask for more again and again, until an interruption. */
  private static InputStream interruptible(EncodedImage file) {
    return new FilterInputStream(new ByteArrayInputStream(file.bytes())) {
      @Override
      public int read() throws IOException {
        file.checkInterrupted();
        return super.read();
      }

      @Override
      public int read(byte[] to, int from, int count) throws IOException {
        file.checkInterrupted();
        return super.read(to, from, count);
      }
    };
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
