package io.github.resnet4j;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The golden files, which {@code tools/parity/golden.py} creates with PyTorch and Pillow. */
public final class Golden {
  private Golden() {}

  public static Path path(String name) {
    return resource("/golden/" + name);
  }

  /** A folder of files found by fuzzing. */
  public static Path corpus(String name) {
    return resource("/corpus/" + name);
  }

  private static Path resource(String name) {
    try {
      return Path.of(Golden.class.getResource(name).toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A JSON object of objects. */
  @SuppressWarnings("unchecked") // the files are ours
  public static Map<String, Map<String, Object>> json(String name) {
    try {
      return (Map<String, Map<String, Object>>)
          (Map<?, ?>) JSON.std.mapFrom(Files.readString(path(name)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static Map<String, Tensor> tensors(String name) {
    try (var checkpoint = Checkpoint.open(path(name))) {
      var tensors = new LinkedHashMap<String, Tensor>();
      checkpoint.tensors().forEach((key, stored) -> tensors.put(key, stored.toTensor()));
      return tensors;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static List<?> list(Object value) {
    return (List<?>) value;
  }

  public static double number(Object value) {
    return ((Number) value).doubleValue();
  }
}
