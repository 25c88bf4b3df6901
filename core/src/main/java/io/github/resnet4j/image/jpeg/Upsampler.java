package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.JpegKernels;

/**
 * Rows of one component with the size of the image, by libjpeg's "fancy upsampling": a triangle
 * filter if a direction is halved, repetition for other factors.
 */
final class Upsampler {
  private enum Method {
    NONE,
    /** A triangle filter along the row. */
    ROW,
    /** A triangle filter across rows. */
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
   * Chooses the method for a component.
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
          ("has sampling factors that are not multiples of each other: %d and %d," + " %d and %d")
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

  /** Whether the rows above and below are used. */
  boolean needsContext() {
    return method == Method.COLUMN || method == Method.BOTH;
  }

  /** The buffer for the result of {@link #upsample}. */
  byte[] row() {
    return method == Method.NONE ? component.samples : row;
  }

  /**
   * Computes one row.
   *
   * @param group the index of the row group in the component's samples
   * @param index the row's index in its group of {@code maxV} rows
   * @return the index of the row in {@link #row}
   */
  int upsample(int group, int index) {
    int near = group + index / vExpand * component.stride;
    int far = index % 2 == 0 ? near - component.stride : near + component.stride;
    switch (method) {
      case NONE -> {
        return near;
      }
      case ROW -> kernels.upsample(component.samples, near, component.width, row);
      case COLUMN -> acrossRows(near, far, 1 + index % 2);
      case BOTH -> kernels.upsample(component.samples, near, far, component.width, row);
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
