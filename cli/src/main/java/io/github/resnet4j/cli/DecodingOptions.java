package io.github.resnet4j.cli;

import io.github.resnet4j.image.ImageDecoder;
import picocli.CommandLine.Option;

/** The decoding options of every command that reads images. */
final class DecodingOptions {
  @Option(
      names = "--exif-orientation",
      description =
          "Rotate images by their EXIF orientation. Default: not rotated, as in torchvision and"
              + " in the training of the published weights.")
  private boolean exifOrientation;

  @Option(
      names = "--max-pixels",
      paramLabel = "N",
      description =
          "Maximum number of pixels of an image; larger ones are rejected; default"
              + " ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private long maxPixels = ImageDecoder.DEFAULT_MAX_PIXELS;

  ImageDecoder decoder() {
    return new ImageDecoder(exifOrientation, maxPixels);
  }
}
