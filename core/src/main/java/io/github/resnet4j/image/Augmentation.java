package io.github.resnet4j.image;

import java.util.random.RandomGenerator;

/**
 * What training does to a picture so that a network never sees it twice the same: chosen at random,
 * as torchvision's transforms of the same names do.
 *
 * @param crop which part of a picture is taken
 * @param flip whether half of the pictures are mirrored; not for letters and digits
 */
public record Augmentation(Crop crop, boolean flip) {
  /** Which part of a picture a network is trained on. */
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

  /** Pictures as they are. */
  public static final Augmentation NONE = new Augmentation(Crop.CENTER, false);

  private static final int TRIES = 10;
  private static final double LEAST_AREA = 0.08;
  private static final double WIDEST = 4 / 3.0;

  /**
   * The pixels that a network gets to see, in the extents of its input.
   *
   * @param random the source of all chance: the same one gives the same pixels
   */
  public Pixels apply(Pixels picture, Preprocessing preprocessing, RandomGenerator random) {
    Pixels source = preprocessing.channels() == 1 ? picture.toGray() : picture;
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
    return flip && random.nextBoolean() ? cut.mirrored() : cut;
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
    int outWidth = preprocessing.cropWidth();
    int outHeight = preprocessing.cropHeight();
    return Resize.window(
        source.window(left, top, width, height),
        outWidth,
        outHeight,
        preprocessing.interpolation(),
        0,
        0,
        outWidth,
        outHeight);
  }
}
