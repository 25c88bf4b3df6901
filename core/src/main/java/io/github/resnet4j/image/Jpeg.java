package io.github.resnet4j.image;

import io.github.resnet4j.image.jpeg.JpegDecoder;
import io.github.resnet4j.image.jpeg.JpegException;
import java.io.IOException;

/** Decodes JPEG within the limits of an {@link EncodedImage}. */
final class Jpeg {
  private Jpeg() {}

  /** Decodes a file, reduced as far as it keeps at least the given size. */
  static Pixels decode(EncodedImage file, int width, int height) throws IOException {
    var limits =
        new JpegDecoder.Limits() {
          @Override
          public void check(int width, int height) throws IOException {
            file.checkSize(width, height);
          }

          @Override
          public void progress() throws IOException {
            file.checkInterrupted();
          }
        };
    try {
      JpegDecoder.Image image = JpegDecoder.decode(file.bytes(), width, height, limits);
      return new Pixels(image.width(), image.height(), 3, image.rgb());
    } catch (JpegException e) {
      throw file.error(e.reason());
    }
  }
}
