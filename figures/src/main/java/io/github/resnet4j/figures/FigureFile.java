package io.github.resnet4j.figures;

import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.image.Interpolation;
import io.github.resnet4j.image.Pixels;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import javax.imageio.stream.MemoryCacheImageOutputStream;

/** Writes figures to files. All files are written atomically. */
public final class FigureFile {
  private FigureFile() {}

  /** Writes an image as PNG. */
  public static void writePng(BufferedImage image, Path file) throws IOException {
    write(png(image), file);
  }

  /** Encodes an image as PNG. */
  public static byte[] png(BufferedImage image) throws IOException {
    var bytes = new ByteArrayOutputStream();
    try (var out = new MemoryCacheImageOutputStream(bytes)) { // without a temporary file
      ImageIO.write(image, "png", out);
    }
    return bytes.toByteArray();
  }

  /** Writes a file atomically. */
  public static void write(byte[] content, Path file) throws IOException {
    AtomicFile.write(file, out -> out.write(content));
  }

  /** Writes lines of text atomically. */
  public static void writeLines(List<String> lines, Path file) throws IOException {
    write((String.join("\n", lines) + "\n").getBytes(StandardCharsets.UTF_8), file);
  }

  /** Scales an image to fit into a square, preserving its aspect ratio. */
  static BufferedImage thumbnail(Pixels image, int side) {
    double scale = (double) side / Math.max(image.width(), image.height());
    return image(
        image.resized(
            (int) Math.max(1, Math.round(image.width() * scale)),
            (int) Math.max(1, Math.round(image.height() * scale)),
            Interpolation.BICUBIC));
  }

  /** Converts pixels with one or three channels to a Java image. */
  public static BufferedImage image(Pixels pixels) {
    var image = new BufferedImage(pixels.width(), pixels.height(), BufferedImage.TYPE_INT_RGB);
    for (int i = 0; i < pixels.width() * pixels.height(); i++) {
      int rgb = 0;
      for (int c = 0; c < 3; c++) {
        int channel = pixels.channels() == 1 ? i : 3 * i + c;
        rgb = rgb << 8 | pixels.data()[channel] & 0xff;
      }
      image.setRGB(i % pixels.width(), i / pixels.width(), rgb);
    }
    return image;
  }
}
