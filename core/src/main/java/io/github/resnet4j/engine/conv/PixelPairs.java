package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.nn.Layer.Conv2d;

/**
 * The order of pixels in which a weight gradient of bfloat16 sums them: all rows of some images one
 * after the other, with zeros between them, two pixels per word. The pixels that a window position
 * reads are then the words at a fixed distance, which {@link #shift} gives.
 *
 * <p>With a stride there is one such sequence of the input for each position modulo the stride; and
 * an odd distance needs a second one, in which each pixel is paired with its other neighbour.
 *
 * @param stride the stride of the window, in both directions
 * @param height the number of rows of the gradient
 * @param width the number of columns of the gradient
 * @param rows the number of rows of an image, with those of zeros after it
 * @param pitch the number of words of a row
 * @param rowsRead the number of input rows that windows read from the first on
 * @param columnsRead the number of input columns that windows read from the first on
 * @param firstWord the first word that a window position reads, relative to the gradient's; at most
 *     0
 * @param lastWord the last one, relative to the gradient's last; at least 0
 */
record PixelPairs(
    int stride,
    int height,
    int width,
    int rows,
    int pitch,
    int rowsRead,
    int columnsRead,
    int firstWord,
    int lastWord) {
  /**
   * @param readsRows whether the columns of a window are separate input channels
   */
  static PixelPairs of(Conv2d layer, Layout in, Layout gradient, boolean readsRows) {
    int s = layer.stride();
    boolean oneRow =
        layer.kernel() == 1
            && s == 1
            && layer.padding() == 0
            && in.border().isNone()
            && gradient.border().isNone();
    int height = oneRow ? 1 : gradient.height();
    int width = oneRow ? gradient.height() * gradient.width() : gradient.width();
    int first = Math.floorDiv(-layer.padding(), s);
    int last = Math.floorDiv((layer.kernel() - 1) * layer.dilation() - layer.padding(), s);
    int rows = oneRow ? 1 : extent(layer, in.height(), height, first, last);
    int columns = oneRow || readsRows ? width : extent(layer, in.width(), width, first, last);
    int pitch = Math.ceilDiv(columns, 2);
    int before = readsRows ? 0 : Math.floorDiv(first, 2);
    int after = readsRows ? 0 : Math.ceilDiv(last, 2);
    return new PixelPairs(
        s,
        height,
        width,
        rows,
        pitch,
        height + Math.max(0, last),
        width + Math.max(0, last),
        first * pitch + before,
        last * pitch + after);
  }

  /**
   * The number of pixels from one row or image to the next: as many as the window reads, of which
   * those beyond the edge must be zero.
   */
  private static int extent(Conv2d layer, int in, int gradient, int first, int last) {
    int most = 0;
    for (int k = 0; k < layer.kernel(); k++) {
      int phase = Math.floorMod(k * layer.dilation() - layer.padding(), layer.stride());
      most = Math.max(most, present(in, phase, layer.stride(), gradient + Math.max(0, last)));
    }
    return Math.max(gradient + Math.max(0, last), most - Math.min(0, first));
  }

  /** The number of pixels at a position modulo the stride, at most those that are read. */
  private static int present(int in, int phase, int stride, int most) {
    return Math.clamp(Math.ceilDiv(in - phase, stride), 0, most);
  }

  /** The number of input rows or columns of a sequence that are present. */
  int present(int in, int phase, boolean isRow) {
    return present(in, phase, stride, isRow ? rowsRead : columnsRead);
  }

  /** The number of words of some images. */
  int words(int images) {
    return images * rows * pitch;
  }

  /** The distance in words of a window position's pixels, for shifts of rows and columns. */
  int shift(int row, int column) {
    return row * pitch + Math.ceilDiv(column, 2);
  }
}
