package io.github.resnet4j.image;

import io.github.resnet4j.tensor.Tensor;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.random.RandomGenerator;

/**
 * Random changes to training images, as torchvision's transforms of the same names do them.
 *
 * @param crop the crop
 * @param flip whether half of the images are flipped horizontally; not suitable for letters and
 *     digits
 * @param invert the probability of RandomInvert
 * @param trivial whether TrivialAugment (arXiv 2103.10158) with its wide ranges applies one random
 *     adjustment to each image
 * @param jitter the maximum change of brightness, contrast and saturation, 0 to 1, as in
 *     ColorJitter
 * @param erase the probability of RandomErasing, which erases a rectangle (arXiv 1708.04896)
 */
public record Augmentation(
    Crop crop, boolean flip, double invert, boolean trivial, double jitter, double erase)
    implements Serializable {
  /** The part of an image on which a network is trained. */
  public enum Crop {
    /** The center, as for classification. */
    CENTER,
    /**
     * RandomResizedCrop: 8 to 100 % of the area, aspect ratios between 3:4 and 4:3, resized to the
     * input size (Going Deeper with Convolutions, arXiv 1409.4842, section 6).
     */
    RANDOM_RESIZED,
    /**
     * The center, shifted by up to an eighth of its width and height with black beyond the border:
     * for CIFAR's 32 pixels "pad 4 and crop" (arXiv 1512.03385, section 4.2).
     */
    PAD
  }

  /** No augmentation. */
  public static final Augmentation NONE = of(Crop.CENTER, false);

  /**
   * @throws IllegalArgumentException if invert, jitter or erase is not in [0, 1]
   */
  public Augmentation {
    if (!(invert >= 0 && invert <= 1 && jitter >= 0 && jitter <= 1 && erase >= 0 && erase <= 1)) {
      throw new IllegalArgumentException(
          "invert %s, jitter %s, erase %s: all must be in [0, 1]".formatted(invert, jitter, erase));
    }
  }

  /** Only a crop and optionally a flip. */
  public static Augmentation of(Crop crop, boolean flip) {
    return new Augmentation(crop, flip, 0, false, 0, 0);
  }

  private static final List<Adjustment> JITTERED =
      List.of(Adjustment.BRIGHTNESS, Adjustment.CONTRAST, Adjustment.SATURATION);
  private static final int STRENGTHS = 31;
  private static final int TRIES = 10;
  private static final double MIN_ERASED_AREA = 0.02;
  private static final double MAX_ERASED_AREA = 0.33;
  private static final double MAX_ERASED_RATIO = 3.3;
  private static final double MIN_CROP_AREA = 0.08;
  private static final double MAX_CROP_RATIO = 4 / 3.0;

  /**
   * Returns augmented pixels with the network's input size.
   *
   * @param random the source of all randomness: with the same state the result is the same
   */
  public Pixels apply(Pixels image, Preprocessing preprocessing, RandomGenerator random) {
    Pixels source = preprocessing.channels() == 1 ? image.toGray() : image;
    Pixels cut =
        switch (crop) {
          case CENTER -> preprocessing.crop(source);
          case RANDOM_RESIZED -> randomResized(source, preprocessing, random);
          case PAD -> {
            Pixels middle = preprocessing.crop(source);
            int dx = middle.width() / 8;
            int dy = middle.height() / 8;
            yield middle.window(
                random.nextInt(2 * dx + 1) - dx,
                random.nextInt(2 * dy + 1) - dy,
                middle.width(),
                middle.height());
          }
        };
    Pixels out = flip && random.nextBoolean() ? cut.mirrored() : cut;
    if (invert > 0 && random.nextDouble() < invert) {
      out = Adjustment.SOLARIZE.apply(out, 0);
    }
    if (trivial) {
      out = trivial(out, random);
    }
    if (jitter > 0) {
      var order = new ArrayList<>(JITTERED);
      Collections.shuffle(order, Random.from(random));
      for (Adjustment each : order) {
        out = each.apply(out, random.nextDouble(-jitter, jitter));
      }
    }
    return out;
  }

  /** Applies one random adjustment, with one of 31 strengths. */
  private static Pixels trivial(Pixels image, RandomGenerator random) {
    var adjustment = Adjustment.values()[random.nextInt(Adjustment.values().length)];
    double part = random.nextInt(STRENGTHS) / (STRENGTHS - 1.0);
    double sign = random.nextBoolean() ? 1 : -1;
    return adjustment.apply(
        image,
        switch (adjustment) {
          case SHEAR_X, SHEAR_Y, BRIGHTNESS, SATURATION, CONTRAST, SHARPNESS -> 0.99 * sign * part;
          case TRANSLATE_X, TRANSLATE_Y -> 32 * sign * part;
          case ROTATE -> 135 * sign * part;
          case POSTERIZE -> 8 - Math.rint(6 * part);
          case SOLARIZE -> 255 * (1 - part);
          case IDENTITY, AUTOCONTRAST, EQUALIZE -> 0;
        });
  }

  /**
   * The last step, applied to the network's input: with the probability {@link #erase} a rectangle
   * of 2 to 33 % of it is set to 0.
   *
   * @param image {@code [1, C, H, W]}
   */
  public void finish(Tensor image, RandomGenerator random) {
    if (erase == 0 || random.nextDouble() >= erase) {
      return;
    }
    int channels = image.shape()[1];
    int height = image.shape()[2];
    int width = image.shape()[3];
    for (int i = 0; i < TRIES; i++) {
      double area = random.nextDouble(MIN_ERASED_AREA, MAX_ERASED_AREA) * height * width;
      double ratio =
          Math.exp(random.nextDouble(-Math.log(MAX_ERASED_RATIO), Math.log(MAX_ERASED_RATIO)));
      int h = (int) Math.round(Math.sqrt(area * ratio));
      int w = (int) Math.round(Math.sqrt(area / ratio));
      if (h < height && w < width) {
        int top = random.nextInt(height - h + 1);
        int left = random.nextInt(width - w + 1);
        for (int row = 0; row < channels * h; row++) {
          int at = ((row / h) * height + top + row % h) * width + left;
          Arrays.fill(image.data(), at, at + w, 0);
        }
        return;
      }
    }
  }

  private static Pixels randomResized(
      Pixels source, Preprocessing preprocessing, RandomGenerator random) {
    double area = (double) source.width() * source.height();
    int width = 0;
    int height = 0;
    boolean fits = false;
    for (int i = 0; i < TRIES && !fits; i++) {
      double part = area * random.nextDouble(MIN_CROP_AREA, 1);
      double ratio =
          Math.exp(random.nextDouble(-Math.log(MAX_CROP_RATIO), Math.log(MAX_CROP_RATIO)));
      width = (int) Math.round(Math.sqrt(part * ratio));
      height = (int) Math.round(Math.sqrt(part / ratio));
      fits = width > 0 && width <= source.width() && height > 0 && height <= source.height();
    }
    int left;
    int top;
    if (fits) {
      left = random.nextInt(source.width() - width + 1);
      top = random.nextInt(source.height() - height + 1);
    } else { // as much of the center as has an allowed aspect ratio
      width = (int) Math.min(source.width(), Math.round(source.height() * MAX_CROP_RATIO));
      height = (int) Math.min(source.height(), Math.round(source.width() * MAX_CROP_RATIO));
      left = (source.width() - width) / 2;
      top = (source.height() - height) / 2;
    }
    return source
        .window(left, top, width, height)
        .resized(
            preprocessing.cropWidth(), preprocessing.cropHeight(), preprocessing.interpolation());
  }
}
