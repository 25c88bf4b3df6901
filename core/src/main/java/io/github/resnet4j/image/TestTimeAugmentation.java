package io.github.resnet4j.image;

import java.util.ArrayList;
import java.util.List;

/** Several views of an image, over which the outputs of a network are averaged. */
public enum TestTimeAugmentation {
  /** The image as it is. */
  NONE(1),

  /** The image and its horizontal mirror image. */
  FLIP(2),

  /** The four corners and the center of the resized image: torchvision's {@code FiveCrop}. */
  FIVE_CROP(5),

  /** These crops, and those of the mirror image: torchvision's {@code TenCrop}. */
  TEN_CROP(10);

  private final int views;

  TestTimeAugmentation(int views) {
    this.views = views;
  }

  /** The number of views of an image. */
  public int views() {
    return views;
  }

  /**
   * The views of an image, before normalization: for crops in torchvision's order.
   *
   * @param preprocessing has the size of the resized image and of the views
   */
  List<Pixels> of(Pixels image, Preprocessing preprocessing) {
    if (this == NONE || this == FLIP) {
      Pixels center = preprocessing.crop(image);
      return this == NONE ? List.of(center) : List.of(center, center.mirrored());
    }
    var crops = new ArrayList<>(fiveCrops(image, preprocessing));
    if (this == TEN_CROP) {
      crops.addAll(fiveCrops(image.mirrored(), preprocessing));
    }
    return crops;
  }

  private static List<Pixels> fiveCrops(Pixels image, Preprocessing preprocessing) {
    var crops = new ArrayList<Pixels>();
    for (int bottom = 0; bottom < 2; bottom++) {
      for (int right = 0; right < 2; right++) {
        crops.add(preprocessing.corner(image, bottom == 1, right == 1));
      }
    }
    crops.add(preprocessing.crop(image));
    return crops;
  }
}
