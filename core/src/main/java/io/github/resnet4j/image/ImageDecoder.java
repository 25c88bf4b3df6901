package io.github.resnet4j.image;

import io.github.resnet4j.messages.Reason;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Decodes images to the same pixels as Pillow's {@code Image.open(file).convert("RGB")}: JPEG, PNG,
 * GIF, WebP and TIFF (the first frame), BMP, and PPM with PGM and PBM. The format is detected from
 * a file's first bytes, not from its name.
 *
 * <p>As in Pillow, an alpha channel is dropped, not blended, and color profiles are not applied.
 *
 * @param exifOrientation whether the EXIF orientation of a JPEG, PNG or WebP is applied;
 *     torchvision's loader, and therefore the training of the published weights, does not apply it
 * @param maxPixels larger images are rejected before they are decoded
 */
public record ImageDecoder(boolean exifOrientation, long maxPixels) {
  /** The number of pixels above which Pillow warns of a decompression bomb: 256 MB of RGB. */
  public static final long DEFAULT_MAX_PIXELS = 89_478_485;

  /** Larger files are not read. */
  public static final long MAX_FILE_BYTES = 512L << 20;

  /** The lower-case extensions of image files, which are used to find images in folders. */
  public static final Set<String> EXTENSIONS =
      Set.of(
          "jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp", "ppm", "pgm", "pbm", "pnm",
          "tif", "tiff");

  private static final List<String> FORMATS =
      List.of("bmp", "gif", "jpeg", "png", "ppm", "tiff", "webp");

  /** Without EXIF orientation, up to {@link #DEFAULT_MAX_PIXELS}. */
  public static final ImageDecoder DEFAULT = new ImageDecoder(false, DEFAULT_MAX_PIXELS);

  /** Whether a file name has the extension of an image, in any letter case. */
  public static boolean isImageName(String name) {
    int dot = name.lastIndexOf('.');
    return dot >= 0 && EXTENSIONS.contains(name.substring(dot + 1).toLowerCase(Locale.ROOT));
  }

  /**
   * Decodes a file to RGB.
   *
   * @throws ImageException if it is not a supported image, or truncated, or too large
   * @throws IOException if it cannot be read
   */
  public Pixels decode(Path file) throws IOException {
    String name = file.toString();
    try {
      if (Files.isDirectory(file)) {
        throw new ImageException(name, "is a folder");
      }
      if (Files.size(file) > MAX_FILE_BYTES) {
        throw new ImageException(name, "has more than 512 MB, too large for an image");
      }
      return decode(name, Files.readAllBytes(file));
    } catch (FileSystemException e) {
      throw new ImageException(name, Reason.withoutFile(e));
    }
  }

  /**
   * Decodes an image in memory to RGB.
   *
   * <p>Interrupting the thread ends the decoding within a few milliseconds, for every file, which
   * allows a time limit. The thread's interrupt status is kept.
   *
   * @param name the name in error messages
   * @throws ImageException if it is not a supported image, or truncated, or too large, or the
   *     thread was interrupted
   */
  public Pixels decode(String name, byte[] bytes) throws ImageException {
    return draft(name, bytes, Integer.MAX_VALUE, Integer.MAX_VALUE);
  }

  /**
   * Decodes an image in memory to RGB; a JPEG is reduced to a half, a quarter or an eighth of its
   * size, the smallest that is at least the given size. The result is that of Pillow's {@code
   * Image.draft}: faster than decoding the whole image, for thumbnails and training, but with other
   * pixels than a resize of the whole image. Classification does not use it.
   *
   * @param name the name in error messages
   * @param width the minimum width, before the EXIF orientation is applied
   * @param height the minimum height
   * @throws ImageException as {@link #decode(String, byte[])}
   */
  public Pixels draft(String name, byte[] bytes, int width, int height) throws ImageException {
    try {
      var file = new EncodedImage(name, bytes, maxPixels);
      Pixels pixels = decode(file, width, height);
      return exifOrientation ? pixels.upright(Exif.orientation(file)) : pixels;
    } catch (ImageException e) {
      throw e;
    } catch (IOException | RuntimeException e) {
      new EncodedImage(name, bytes, maxPixels).checkInterrupted();
      // An error in a decoder, which only a damaged file triggers, affects only this file.
      throw new ImageException(name, "is damaged: " + reason(e));
    } catch (OutOfMemoryError _) {
      throw new ImageException(name, "needs more memory than is available; increase it with -Xmx");
    }
  }

  private static String reason(Exception e) {
    String message = e.getMessage();
    return message == null || message.isBlank() ? e.getClass().getSimpleName() : message;
  }

  private Pixels decode(EncodedImage file, int width, int height) throws IOException {
    if (file.length() == 0) {
      throw file.error("is empty");
    }
    ImageFormat format = ImageFormat.of(file.bytes());
    return switch (format) {
      case PNG -> Png.decode(file);
      case GIF -> Gif.decode(file);
      case BMP -> Bmp.decode(file);
      case PNM -> Pnm.decode(file);
      case TIFF -> Tiff.decode(file);
      case WEBP -> Webp.decode(file);
      case JPEG -> Jpeg.decode(file, width, height);
      case UNKNOWN ->
          throw file.error(
              "is not an image in a known format (" + String.join(", ", formats()) + ")");
      case AVIF, HEIC, JPEG_2000, JPEG_XL, SVG, PDF, PHOTOSHOP, ICON, RAW ->
          throw file.error(
              "is in the format %s, which is not supported; convert it to PNG or JPEG"
                  .formatted(format.label()));
    };
  }

  /**
   * The name of the format of a file, such as JPEG, also of one that cannot be decoded.
   *
   * @param start the first bytes of the file, at least 32 if it has them
   */
  public static String format(byte[] start) {
    return ImageFormat.of(start).label();
  }

  /** The supported formats, in lower case. */
  public static List<String> formats() {
    return FORMATS;
  }
}
