package io.github.resnet4j.explain;

import io.github.resnet4j.tensor.Tensor;

/**
 * The regions of an image that contribute to the prediction of a class.
 *
 * @param index the explained class
 * @param logits the logits of the image, {@code [1, classes]}
 * @param map the computed map, {@code [h, w]}: at the layer's resolution, with negative values set
 *     to zero; for occlusion the decrease of the class's probability for each covered region
 * @param values the map scaled to 0 to 1, at the resolution of the network's input, {@code [H, W]}
 */
public record HeatMap(int index, Tensor logits, Tensor map, Tensor values) {

  /** Scales a map to 0 to 1, enlarges it, and scales it again, as the grad-cam package does. */
  static HeatMap of(int index, Tensor logits, Tensor map, int height, int width) {
    Tensor small = Tensor.of(map.data().clone(), map.shape());
    normalize(small);
    Tensor values = enlarge(small, height, width);
    normalize(values);
    return new HeatMap(index, logits, map, values);
  }

  private static void normalize(Tensor map) {
    float[] data = map.data();
    float min = Float.POSITIVE_INFINITY;
    float max = Float.NEGATIVE_INFINITY;
    for (float value : data) {
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
    for (int i = 0; i < data.length; i++) {
      // The summand avoids a division by zero if all values are equal.
      data[i] = (data[i] - min) / (1e-7f + (max - min));
    }
  }

  /** Linear interpolation between the centers of pixels, as OpenCV's resize. */
  private static Tensor enlarge(Tensor map, int height, int width) {
    int h = map.dim(0);
    int w = map.dim(1);
    Tensor to = Tensor.zeros(height, width);
    for (int y = 0; y < height; y++) {
      double v = Math.clamp((y + 0.5) * h / height - 0.5, 0, h - 1);
      int top = Math.min((int) v, Math.max(0, h - 2));
      int below = Math.min(top + 1, h - 1);
      float fy = (float) (v - top);
      for (int x = 0; x < width; x++) {
        double u = Math.clamp((x + 0.5) * w / width - 0.5, 0, w - 1);
        int left = Math.min((int) u, Math.max(0, w - 2));
        int right = Math.min(left + 1, w - 1);
        float fx = (float) (u - left);
        float above = (1 - fx) * map.data()[top * w + left] + fx * map.data()[top * w + right];
        float beneath =
            (1 - fx) * map.data()[below * w + left] + fx * map.data()[below * w + right];
        to.data()[y * width + x] = (1 - fy) * above + fy * beneath;
      }
    }
    return to;
  }

  /** {@code HeatMap[class 281, 224×224]}. */
  @Override
  public String toString() {
    return "HeatMap[class %d, %d×%d]".formatted(index, values.dim(0), values.dim(1));
  }
}
