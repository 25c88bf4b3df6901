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
 * Decodes images to the pixels that Pillow's {@code Image.open(file).convert("RGB")} gives: JPEG,
 * PNG, GIF, WebP and TIFF (the first frame), BMP, and PPM with PGM and PBM. What a file's first
 * bytes say it is decides, not its name.
 *
 * <p>As there, an alpha channel is dropped, not blended, and colour profiles are not applied.
 *
 * @param exifOrientation turn a JPEG, PNG or WebP upright by its EXIF tag; torchvision's loader,
 *     and so the training of the published weights, does not
 * @param maxPixels larger images are refused before they are decoded
 */
public record ImageDecoder(boolean exifOrientation, long maxPixels) {
  /** The size from which Pillow warns of a decompression bomb: 256 MB of RGB. */
  public static final long DEFAULT_MAX_PIXELS = 89_478_485;

  /** Larger files are not read at all. */
  public static final long MAX_FILE_BYTES = 512L << 20;

  /** The endings of image files' names, in lower case; what commands look for in folders. */
  public static final Set<String> ENDINGS =
      Set.of(
          "jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp", "ppm", "pgm", "pbm", "pnm",
          "tif", "tiff");

  private static final List<String> FORMATS =
      List.of("bmp", "gif", "jpeg", "png", "ppm", "tiff", "webp");

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
   * @throws ImageException if it is no image that can be read, or truncated, or too large
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
   * <p>Interrupting the thread ends the decoding, whatever the file, within a few milliseconds: so
   * does who gives it a limited time. The thread stays interrupted.
   *
   * @param name what errors call it
   * @throws ImageException if it is no image, or truncated, or too large, or the thread was
   *     interrupted
   */
  public Pixels decode(String name, byte[] bytes) throws ImageException {
    return draft(name, bytes, Integer.MAX_VALUE, Integer.MAX_VALUE);
  }

  /**
   * Decodes an image in memory to RGB; a JPEG to a half, a quarter or an eighth of its extents,
   * whatever still has the given ones. It is what Pillow's {@code Image.draft} gives: quicker than
   * decoding all of it, for thumbnails and training, but other pixels than those that a resize of
   * the whole image gives. Classification does not use it.
   *
   * @param name what errors call it
   * @param width the least width, before the image is turned upright
   * @param height the least height
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
      // A fault of a decoder, which only a damaged file brings out, concerns this file alone.
      throw new ImageException(name, "is damaged: " + reason(e));
    } catch (OutOfMemoryError _) {
      throw new ImageException(name, "needs more memory than there is; see -Xmx");
    }
  }

  private static String reason(Exception e) {
    String message = e.getMessage();
    return message == null || message.isBlank() ? e.getClass().getSimpleName() : message;
  }

  private Pixels decode(EncodedImage file, int width, int height) throws IOException {
    if (file.length() == 0) {
      throw file.refused("is empty");
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
}
