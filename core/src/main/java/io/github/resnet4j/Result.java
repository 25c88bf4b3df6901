package io.github.resnet4j;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Optional;
import java.util.function.Function;

/**
 * The result for one of many images: a value, or the reason why the image could not be read.
 *
 * @param name the path of the image
 * @param value the value; empty if the image could not be read
 * @param error the reason why it could not be read; else empty
 */
public record Result<T>(String name, Optional<T> value, Optional<IOException> error) {
  /**
   * @throws IllegalArgumentException if there are both a value and an error, or neither
   */
  public Result {
    if (value.isPresent() == error.isPresent()) {
      throw new IllegalArgumentException("a result must be either a value or an error");
    }
  }

  /**
   * The value.
   *
   * @throws UncheckedIOException if the image could not be read, with the reason
   */
  public T orElseThrow() {
    error.ifPresent(e -> {
      throw new UncheckedIOException(e.getMessage(), e);
    });
    return value.orElseThrow();
  }

  /** The same with another value, if there is one. */
  public <U> Result<U> map(Function<? super T, ? extends U> function) {
    return new Result<>(name, value.map(function), error);
  }
}
