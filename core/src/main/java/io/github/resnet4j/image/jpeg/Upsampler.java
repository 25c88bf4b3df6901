package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.JpegKernels;

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

  private final JpegKernels kernels;

  /** The upsampled row. */
  private final byte[] row;

  /**
   * How a component reaches the image's size.
   *
   * @param fancy whether triangle filters are allowed
   */
  Upsampler(
      JpegKernels kernels,
      Component component,
      int maxH,
      int maxV,
      int smallestBlock,
      boolean fancy)
      throws JpegException {
    this.kernels = kernels;
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
    row = new byte[method == Method.NONE ? 0 : component.width * hExpand];
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
      case ROW -> kernels.widen(component.samples, near, component.width, row);
      case COLUMN -> acrossRows(near, far, 1 + index % 2);
      case BOTH -> kernels.widen(component.samples, near, far, component.width, row);
      case REPEAT -> repeat(near);
    }
    return 0;
  }

  /** Weights the nearer row with ¾. */
  private void acrossRows(int near, int far, int bias) {
    byte[] samples = component.samples;
    for (int i = 0; i < row.length; i++) {
      row[i] = (byte) (3 * samples[near + i] + samples[far + i] + bias >> 2);
    }
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
