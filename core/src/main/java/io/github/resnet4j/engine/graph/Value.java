package io.github.resnet4j.engine.graph;

/** The result of an operation, with its shape for one image. Values are compared by identity. */
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

  /** The height in pixels; 1 if a channel has only one value. */
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
