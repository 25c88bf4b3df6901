package io.github.resnet4j.image.jpeg;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.ShortBuffer;

/**
 * Rows of one component in the size of the image, as libjpeg's "fancy upsampling" makes them: a
 * triangle filter where a direction is halved, repetition for other factors.
 */
final class Upsampler {
  private enum Method {
    NONE,
    /** Triangle filter along the row. */
    ROW,
    /** Triangle filter across rows. */
    COLUMN,
    BOTH,
    REPEAT
  }

  private final Component component;
  private final Method method;
  private final int hExpand;
  private final int vExpand;

  /** The upsampled row, with its bytes as pairs. */
  private final byte[] row;

  private final ShortBuffer rowPairs;
  private final short[] pairs;
  private final int[] nearRow;
  private final int[] farRow;

  /** A row with its first and last column twice. */
  private final int[] sums;

  /**
   * How a component reaches the image's size.
   *
   * @param fancy whether triangle filters are allowed
   */
  Upsampler(Component component, int maxH, int maxV, int smallestBlock, boolean fancy)
      throws JpegException {
    this.component = component;
    int h = component.h * component.blockSize / smallestBlock;
    int v = component.v * component.blockSize / smallestBlock;
    if (maxH % h != 0 || maxV % v != 0) {
      throw new JpegException(
          "has sampling factors that are no multiples of each other: %d and %d, %d and %d"
              .formatted(h, maxH, v, maxV));
    }
    hExpand = maxH / h;
    vExpand = maxV / v;
    boolean wide = fancy && component.width > 2;
    if (hExpand == 1 && vExpand == 1) {
      method = Method.NONE;
    } else if (hExpand == 2 && vExpand == 1 && wide) {
      method = Method.ROW;
    } else if (hExpand == 1 && vExpand == 2 && fancy) {
      method = Method.COLUMN;
    } else if (hExpand == 2 && vExpand == 2 && wide) {
      method = Method.BOTH;
    } else {
      method = Method.REPEAT;
    }
    boolean filtered = method == Method.ROW || method == Method.BOTH;
    row = new byte[method == Method.NONE ? 0 : component.width * hExpand];
    rowPairs = ByteBuffer.wrap(row).order(ByteOrder.nativeOrder()).asShortBuffer();
    pairs = new short[filtered ? component.width : 0];
    nearRow = new int[method == Method.NONE || method == Method.REPEAT ? 0 : component.width];
    farRow = new int[nearRow.length];
    sums = new int[pairs.length + 2];
  }

  /** Whether rows above and below are looked at. */
  boolean needsContext() {
    return method == Method.COLUMN || method == Method.BOTH;
  }

  /** Where {@link #upsample} leaves its result. */
  byte[] row() {
    return method == Method.NONE ? component.samples : row;
  }

  /**
   * Makes one row.
   *
   * @param group where the row group begins in the component's samples
   * @param index the row's place in its group of {@code maxV} rows
   * @return where the row begins in {@link #row}
   */
  int upsample(int group, int index) {
    int near = group + index / vExpand * component.stride;
    int far = index % 2 == 0 ? near - component.stride : near + component.stride;
    switch (method) {
      case NONE -> {
        return near;
      }
      case ROW -> {
        RgbRow.widen(component.samples, near, nearRow);
        alongRow(nearRow, 2, 1, 2);
      }
      case COLUMN -> acrossRows(near, far, 1 + index % 2);
      case BOTH -> {
        sumRows(near, far);
        alongRow(farRow, 4, 8, 7);
      }
      case REPEAT -> repeat(near);
    }
    return 0;
  }

  private void acrossRows(int near, int far, int bias) {
    sumRows(near, far);
    for (int i = 0; i < row.length; i++) {
      row[i] = (byte) (farRow[i] + bias >> 2);
    }
  }

  /** Weights the nearer row with ¾, in quarters. Loops of one type each become vector code. */
  private void sumRows(int near, int far) {
    int[] nearRow = this.nearRow;
    int[] farRow = this.farRow;
    RgbRow.widen(component.samples, near, nearRow);
    RgbRow.widen(component.samples, far, farRow);
    for (int i = 0; i < farRow.length; i++) {
      farRow[i] += 3 * nearRow[i];
    }
  }

  /** Each column becomes two samples, ¾ of it and ¼ of its neighbour on that side. */
  private void alongRow(int[] columns, int shift, int leftBias, int rightBias) {
    int last = columns.length - 1;
    int[] sums = this.sums;
    int[] both = nearRow;
    short[] pairs = this.pairs;
    sums[0] = columns[0];
    System.arraycopy(columns, 0, sums, 1, columns.length);
    sums[last + 2] = columns[last];
    for (int i = 0; i < both.length; i++) {
      both[i] = 3 * sums[i + 1] + sums[i] + leftBias >> shift & 0xff;
    }
    for (int i = 0; i < both.length; i++) {
      both[i] |= 3 * sums[i + 1] + sums[i + 2] + rightBias >> shift << 8;
    }
    for (int i = 0; i < both.length; i++) {
      pairs[i] = (short) both[i];
    }
    rowPairs.put(0, pairs);
  }

  private void repeat(int near) {
    byte[] samples = component.samples;
    for (int from = near, to = 0; to < row.length; from++) {
      for (int i = 0; i < hExpand; i++) {
        row[to++] = samples[from];
      }
    }
  }
}
