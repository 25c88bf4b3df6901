package io.github.resnet4j.image;

import java.util.Locale;

/** The antialiasing filters of Pillow's {@code Image.resize}. */
public enum Interpolation {
  BILINEAR(1) {
    @Override
    double weight(double x) {
      double distance = Math.abs(x);
      return distance < 1 ? 1 - distance : 0;
    }
  },
  /** Keys' cubic with a = −0.5. */
  BICUBIC(2) {
    @Override
    double weight(double x) {
      double a = -0.5;
      double distance = Math.abs(x);
      if (distance < 1) {
        return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
      }
      return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * a : 0;
    }
  };

  /** The filter is zero beyond this distance, in source pixels at scale 1. */
  final double support;

  Interpolation(double support) {
    this.support = support;
  }

  abstract double weight(double x);

  /**
   * The filter with this name, in any letter case: {@code bilinear}, {@code bicubic}.
   *
   * @throws IllegalArgumentException if there is no such filter
   */
  public static Interpolation named(String name) {
    return switch (name.toLowerCase(Locale.ROOT)) {
      case "bilinear" -> BILINEAR;
      case "bicubic" -> BICUBIC;
      default ->
          throw new IllegalArgumentException(
              "interpolation must be bilinear or bicubic, was " + name);
    };
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
