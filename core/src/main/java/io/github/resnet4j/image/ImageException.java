package io.github.resnet4j.image;

import java.io.IOException;

/** An image that cannot be read; the message names the image and the reason. */
public final class ImageException extends IOException {
  private static final long serialVersionUID = 1;

  public ImageException(String name, String reason) {
    super(name + ": " + reason);
  }
}
