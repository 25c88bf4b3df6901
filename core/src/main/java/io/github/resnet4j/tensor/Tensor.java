package io.github.resnet4j.tensor;

import java.util.Arrays;

/**
 * A dense float32 array of any rank in row-major order, the parameter and result type of the public
 * API. Images are {@code [N, C, H, W]}, logits {@code [N, classes]}.
 *
 * <p>A tensor is a view: {@link #data()} is the array itself, not a copy. The shape never changes.
 */
public final class Tensor {
  private final int[] shape;
  private final float[] data;

  private Tensor(float[] data, int[] shape) {
    this.data = data;
    this.shape = shape;
  }

  /**
   * Wraps an array without copying it.
   *
   * @throws IllegalArgumentException if an extent is negative, or their product is not the array's
   *     length
   */
  public static Tensor of(float[] data, int... shape) {
    int size = sizeOf(shape);
    if (size != data.length) {
      throw new IllegalArgumentException(
          "shape %s holds %,d values, the array %,d"
              .formatted(Arrays.toString(shape), size, data.length));
    }
    return new Tensor(data, shape.clone());
  }

  /** A new tensor of zeros; an empty shape is a scalar. */
  public static Tensor zeros(int... shape) {
    return filled(0, shape);
  }

  /** A new tensor with every element set to {@code value}. */
  public static Tensor filled(float value, int... shape) {
    float[] data = new float[sizeOf(shape)];
    if (value != 0) {
      Arrays.fill(data, value);
    }
    return new Tensor(data, shape.clone());
  }

  /**
   * The number of elements of a shape.
   *
   * @throws IllegalArgumentException if an extent is negative or the product exceeds 2³¹−1
   */
  public static int sizeOf(int... shape) {
    boolean empty = false;
    for (int extent : shape) {
      if (extent < 0) {
        throw new IllegalArgumentException("negative extent in shape " + Arrays.toString(shape));
      }
      empty |= extent == 0;
    }
    if (empty) { // whatever the other extents
      return 0;
    }
    long size = 1;
    for (int extent : shape) {
      size *= extent;
      if (size > Integer.MAX_VALUE) {
        throw new IllegalArgumentException(
            "shape " + Arrays.toString(shape) + " holds more than 2^31-1 values");
      }
    }
    return (int) size;
  }

  /**
   * Checks that values fit into the JVM's heap, before they are allocated.
   *
   * @throws IllegalArgumentException if they need more than three quarters of it
   */
  public static void checkMemory(long elements) {
    long heap = Runtime.getRuntime().maxMemory();
    if (elements > heap / 4 * 3 / Float.BYTES) {
      throw new IllegalArgumentException(
          ("%,d values of float32 need %,d MB of memory; the JVM has %,d MB:"
                  + " increase it with -Xmx")
              .formatted(elements, elements * Float.BYTES >> 20, heap >> 20));
    }
  }

  /** The elements in row-major order; the array itself, not a copy. */
  public float[] data() {
    return data;
  }

  public int[] shape() {
    return shape.clone();
  }

  /** The extent along {@code axis}, counted from 0. */
  public int dim(int axis) {
    return shape[axis];
  }

  public int rank() {
    return shape.length;
  }

  public int size() {
    return data.length;
  }

  /** Whether no element is NaN or infinite. */
  public boolean isFinite() {
    for (float value : data) {
      if (!Float.isFinite(value)) {
        return false;
      }
    }
    return true;
  }

  /** Whether the other tensor has the same shape. */
  public boolean sameShape(Tensor other) {
    return Arrays.equals(shape, other.shape);
  }

  /**
   * A copy of the elements at one index of the first axis: a row of {@code [N, classes]}, an image
   * of {@code [N, C, H, W]}.
   *
   * @param index less than {@code dim(0)}
   */
  public float[] row(int index) {
    int size = data.length / shape[0];
    return Arrays.copyOfRange(data, index * size, (index + 1) * size);
  }

  /** A tensor on the same array with another shape of equal size. */
  public Tensor reshape(int... newShape) {
    return of(data, newShape);
  }

  /** Only the shape, as PyTorch prints it: {@code [2, 3, 224, 224]}. */
  @Override
  public String toString() {
    return Arrays.toString(shape);
  }
}
