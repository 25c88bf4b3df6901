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
 * What training does to an image so that a network never sees it twice the same: chosen at random,
 * as torchvision's transforms of the same names do.
 *
 * @param crop which part of an image is taken
 * @param flip whether half of the images are mirrored; not for letters and digits
 * @param invert the part of the images that become their negative: RandomInvert
 * @param trivial whether each image is adjusted in one way, of any strength: TrivialAugment (arXiv
 *     2103.10158) with its wide ranges
 * @param jitter by how much brightness, contrast and saturation change at most, 0 to 1, as
 *     ColorJitter
 * @param erase the part of the images that lose a rectangle: RandomErasing (arXiv 1708.04896)
 */
public record Augmentation(
    Crop crop, boolean flip, double invert, boolean trivial, double jitter, double erase)
    implements Serializable {
  /** Which part of an image a network is trained on. */
  public enum Crop {
    /** The middle, as for classification. */
    CENTER,
    /**
     * RandomResizedCrop: 8 to 100 % of the area, proportions between 3:4 and 4:3, resized to the
     * input (Going Deeper with Convolutions, arXiv 1409.4842, section 6).
     */
    RANDOM_RESIZED,
    /**
     * The middle, shifted by up to an eighth of its width and height with black beyond the border:
     * for CIFAR's 32 pixels "pad 4 and crop" (arXiv 1512.03385, section 4.2).
     */
    PAD
  }

  /** Images as they are. */
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

  /** No more than a crop and perhaps a flip. */
  public static Augmentation of(Crop crop, boolean flip) {
    return new Augmentation(crop, flip, 0, false, 0, 0);
  }

  private static final List<Adjustment> JITTERED =
      List.of(Adjustment.BRIGHTNESS, Adjustment.CONTRAST, Adjustment.SATURATION);
  private static final int STRENGTHS = 31;
  private static final int TRIES = 10;
  private static final double LEAST_ERASED = 0.02;
  private static final double MOST_ERASED = 0.33;
  private static final double WIDEST_ERASED = 3.3;
  private static final double LEAST_AREA = 0.08;
  private static final double WIDEST = 4 / 3.0;

  /**
   * The pixels that a network gets to see, in the extents of its input.
   *
   * @param random the source of all chance: the same one gives the same pixels
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

  /** One adjustment at random, with one of 31 strengths. */
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
   * What is done to the network's input at last: perhaps a rectangle of 2 to 33 % of it becomes 0.
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
      double area = random.nextDouble(LEAST_ERASED, MOST_ERASED) * height * width;
      double ratio = Math.exp(random.nextDouble(-Math.log(WIDEST_ERASED), Math.log(WIDEST_ERASED)));
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
      double part = area * random.nextDouble(LEAST_AREA, 1);
      double ratio = Math.exp(random.nextDouble(-Math.log(WIDEST), Math.log(WIDEST)));
      width = (int) Math.round(Math.sqrt(part * ratio));
      height = (int) Math.round(Math.sqrt(part / ratio));
      fits = width > 0 && width <= source.width() && height > 0 && height <= source.height();
    }
    int left;
    int top;
    if (fits) {
      left = random.nextInt(source.width() - width + 1);
      top = random.nextInt(source.height() - height + 1);
    } else { // as much of the middle as has allowed proportions
      width = (int) Math.min(source.width(), Math.round(source.height() * WIDEST));
      height = (int) Math.min(source.height(), Math.round(source.width() * WIDEST));
      left = (source.width() - width) / 2;
      top = (source.height() - height) / 2;
    }
    return source
        .window(left, top, width, height)
        .resized(
            preprocessing.cropWidth(), preprocessing.cropHeight(), preprocessing.interpolation());
  }
}
