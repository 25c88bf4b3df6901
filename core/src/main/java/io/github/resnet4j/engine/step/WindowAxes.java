package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Axis;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;

/** The pixels and weights of the windows of a layer without parameters. */
public record WindowAxes(Axis rows, Axis columns) {
  /**
   * Average pooling. In a window with fewer pixels, at the edge, the last one counts twice: in
   * windows of two rows and columns that is their mean too. With {@link AvgPool2d.Edge#ZEROS} it
   * has no weight instead.
   *
   * @throws IllegalArgumentException if windows have more than 2×2 pixels
   */
  public static WindowAxes of(AvgPool2d layer, Activation in, Activation out) {
    if (layer.kernel() > 2) {
      throw new IllegalArgumentException(
          "%s: average pooling supports windows of 1×1 or 2×2 pixels, not %d"
              .formatted(layer.name(), layer.kernel()));
    }
    return new WindowAxes(
        axis(layer, in.height(), out.height()), axis(layer, in.width(), out.width()));
  }

  private static Axis axis(AvgPool2d layer, int pixels, int results) {
    return Axis.of(
        results,
        layer.kernel(),
        (result, tap) -> Math.min(result * layer.stride() + tap, pixels - 1),
        (result, tap) ->
            layer.edge() == AvgPool2d.Edge.ZEROS && result * layer.stride() + tap >= pixels
                ? 0
                : 1f / layer.kernel());
  }

  /** A low-pass filter, whose border mirrors the image. */
  public static WindowAxes of(BlurPool2d layer, Activation in, Activation out) {
    return new WindowAxes(
        axis(layer, in.height(), out.height()), axis(layer, in.width(), out.width()));
  }

  private static Axis axis(BlurPool2d layer, int pixels, int results) {
    return Axis.of(results, (result, tap) -> layer.source(result, tap, pixels), 0.25f, 0.5f, 0.25f);
  }

  /**
   * The windows by which the gradient of the input is computed from that of the output.
   *
   * @param in the input of the layer
   */
  public WindowAxes transposed(Activation in) {
    return new WindowAxes(rows.transposed(in.height()), columns.transposed(in.width()));
  }
}
