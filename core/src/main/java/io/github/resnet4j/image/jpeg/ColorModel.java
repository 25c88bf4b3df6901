package io.github.resnet4j.image.jpeg;

import java.util.List;

/** The color model of a file's components. */
enum ColorModel {
  GRAY,
  RGB,
  YCC,
  CMYK,
  YCCK;

  /** Applies libjpeg's rules: JFIF's segment, else Adobe's, else the components' names. */
  static ColorModel of(List<Component> components, boolean jfif, boolean adobe, int transform) {
    return switch (components.size()) {
      case 1 -> GRAY;
      case 3 -> {
        boolean named =
            components.get(0).id == 'R'
                && components.get(1).id == 'G'
                && components.get(2).id == 'B';
        yield !jfif && (adobe ? transform == 0 : named) ? RGB : YCC;
      }
      default -> adobe && transform != 0 ? YCCK : CMYK;
    };
  }
}
