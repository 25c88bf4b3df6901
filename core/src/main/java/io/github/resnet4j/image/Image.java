package io.github.resnet4j.image;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;

/**
 * The source of an image. It is read and decoded on each use, so that many images need no memory.
 */
public final class Image {
  /** Reads an image from another source. */
  @FunctionalInterface
  public interface Source {
    /**
     * Reads and decodes the image.
     *
     * @param decoder decodes files
     * @throws IOException if that fails; the message names the image
     */
    Pixels decode(ImageDecoder decoder) throws IOException;
  }

  private final String name;
  private final Source source;

  private Image(String name, Source source) {
    this.name = name;
    this.source = source;
  }

  /** A file in one of the formats of {@link ImageDecoder}. */
  public static Image of(Path file) {
    return new Image(file.toString(), decoder -> decoder.decode(file));
  }

  /**
   * The content of a file.
   *
   * @param name the name in error messages
   * @param bytes not copied
   */
  public static Image of(String name, byte[] bytes) {
    return new Image(name, decoder -> decoder.decode(name, bytes));
  }

  /**
   * The content of a file as a stream, which is read to its end and closed on use: this image can
   * be used only once.
   *
   * @param name the name in error messages
   */
  public static Image of(String name, InputStream stream) {
    return new Image(
        name,
        decoder -> {
          try (stream) {
            byte[] bytes = stream.readNBytes((int) ImageDecoder.MAX_FILE_BYTES + 1);
            if (bytes.length > ImageDecoder.MAX_FILE_BYTES) {
              throw new ImageException(
                  name, "has more than 512 MB, which is too large for an image");
            }
            return decoder.decode(name, bytes);
          }
        });
  }

  /** An image of Java's own library. Alpha is dropped, as in {@link ImageDecoder}. */
  public static Image of(BufferedImage image) {
    return new Image("the image", _ -> pixels(image));
  }

  /** Decoded pixels. */
  public static Image of(Pixels pixels) {
    return new Image("the image", _ -> pixels);
  }

  /**
   * An image from another source.
   *
   * @param name the name in error messages
   */
  public static Image of(String name, Source source) {
    return new Image(name, source);
  }

  private static Pixels pixels(BufferedImage image) {
    int width = image.getWidth();
    int height = image.getHeight();
    if (image.getColorModel().getColorSpace().getType() == ColorSpace.TYPE_GRAY) {
      return grayPixels(image);
    }
    byte[] rgb = new byte[Math.multiplyExact(3, Math.multiplyExact(width, height))];
    int[] row = new int[width];
    int to = 0;
    for (int y = 0; y < height; y++) {
      image.getRGB(0, y, width, 1, row, 0, width);
      for (int pixel : row) {
        rgb[to++] = (byte) (pixel >> 16);
        rgb[to++] = (byte) (pixel >> 8);
        rgb[to++] = (byte) pixel;
      }
    }
    return new Pixels(width, height, 3, rgb);
  }

  /**
   * Java treats gray as linear, and getRGB would brighten it; the stored values are used instead.
   */
  private static Pixels grayPixels(BufferedImage image) {
    int width = image.getWidth();
    int height = image.getHeight();
    int surplus = image.getColorModel().getComponentSize(0) - 8;
    byte[] rgb = new byte[Math.multiplyExact(3, Math.multiplyExact(width, height))];
    for (int i = 0; i < width * height; i++) {
      int sample = image.getRaster().getSample(i % width, i / width, 0);
      byte gray = (byte) (surplus > 0 ? sample >> surplus : sample);
      rgb[3 * i] = gray;
      rgb[3 * i + 1] = gray;
      rgb[3 * i + 2] = gray;
    }
    return new Pixels(width, height, 3, rgb);
  }

  /** The name in error messages: the path of a file. */
  public String name() {
    return name;
  }

  /**
   * Reads and decodes the image.
   *
   * @throws ImageException if it is not a supported image, or truncated, or too large
   * @throws IOException if it cannot be read
   */
  public Pixels decode(ImageDecoder decoder) throws IOException {
    return source.decode(decoder);
  }

  @Override
  public String toString() {
    return name;
  }
}
