package io.github.resnet4j.cli;

import io.github.resnet4j.image.ImageDecoder;
import picocli.CommandLine.Option;

/** The options that say how files become pixels, for every command that reads images. */
final class DecodingOptions {
  @Option(
      names = "--exif-orientation",
      description =
          "Turn images upright by their EXIF tag. By default they stay as stored, as in"
              + " torchvision, and as in the training of the published weights.")
  private boolean exifOrientation;

  @Option(
      names = "--max-pixels",
      paramLabel = "N",
      description = "Refuse larger images; default ${DEFAULT-VALUE}.")
  @Range(min = 1)
  private long maxPixels = ImageDecoder.DEFAULT_MAX_PIXELS;

  ImageDecoder decoder() {
    return new ImageDecoder(exifOrientation, maxPixels);
  }
}
