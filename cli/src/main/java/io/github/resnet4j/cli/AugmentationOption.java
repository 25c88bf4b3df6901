package io.github.resnet4j.cli;

import io.github.resnet4j.image.TestTimeAugmentation;
import picocli.CommandLine.Option;

/** The option for test-time augmentation. */
final class AugmentationOption {
  @Option(
      names = "--tta",
      paramLabel = "VIEWS",
      description =
          "Test-time augmentation: none; flip, the image and its mirror image; five_crop, the"
              + " corners and the center; ten_crop, both. The mean of the logits (or numbers) of"
              + " all views is used. Default: none.")
  TestTimeAugmentation views = TestTimeAugmentation.NONE;
}
