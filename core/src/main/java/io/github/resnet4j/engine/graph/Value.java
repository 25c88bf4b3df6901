package io.github.resnet4j.engine.graph;

/** The result of an operation, and its extents for one image. Each is equal to itself only. */
public final class Value {
  private final int channels;
  private final int height;
  private final int width;

  Value(int channels, int height, int width) {
    this.channels = channels;
    this.height = height;
    this.width = width;
  }

  public int channels() {
    return channels;
  }

  /** Pixels of a column; 1 where a channel has but one number. */
  public int height() {
    return height;
  }

  public int width() {
    return width;
  }

  /** {@code 64x56x56}. */
  @Override
  public String toString() {
    return "%dx%dx%d".formatted(channels, height, width);
  }
}
