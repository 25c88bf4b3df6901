package io.github.resnet4j.onnx;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * Tensors in external files, as PyTorch writes for large models. Only regular files in the model's
 * folder or below are read, after resolving symbolic links.
 */
final class OnnxExternalData {
  private static final int MAX_FILES = 1000;

  private final Path model;
  private final Map<String, ByteBuffer> mapped = new HashMap<>();

  OnnxExternalData(Path model) {
    this.model = model;
  }

  /**
   * Returns the bytes of a tensor.
   *
   * @param fields location, offset and length, from the model
   * @throws OnnxException if the file is missing or not a regular file
   * @throws IllegalArgumentException if the fields are invalid, or the file is outside the model's
   *     folder
   */
  ByteBuffer of(String tensor, Map<String, String> fields) throws IOException {
    String location = fields.getOrDefault("location", "");
    ByteBuffer bytes = mapped.get(location);
    if (bytes == null) {
      if (mapped.size() >= MAX_FILES) {
        throw new IllegalArgumentException(
            "its tensors are in more than %,d files".formatted(MAX_FILES));
      }
      bytes = OnnxReader.map(file(tensor, location));
      mapped.put(location, bytes);
    }
    long offset = number(tensor, "offset", fields, 0);
    long length = number(tensor, "length", fields, bytes.limit() - offset);
    if (offset < 0 || length < 0 || offset > bytes.limit() - length) {
      throw new IllegalArgumentException(
          "tensor '%s' exceeds the end of '%s'".formatted(tensor, location));
    }
    return bytes.slice((int) offset, (int) length);
  }

  private static long number(
      String tensor, String field, Map<String, String> fields, long otherwise) {
    String text = fields.get(field);
    try {
      return text == null ? otherwise : Long.parseLong(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "tensor '%s' has an invalid %s '%s'".formatted(tensor, field, text), e);
    }
  }

  private Path file(String tensor, String location) throws IOException {
    Path folder = model.toAbsolutePath().normalize().getParent();
    Path file;
    try {
      file = folder == null ? Path.of(location) : folder.resolve(location).normalize();
    } catch (InvalidPathException e) {
      throw new IllegalArgumentException(
          "tensor '%s' has an invalid location '%s'".formatted(tensor, location), e);
    }
    if (location.isEmpty() || folder == null || !file.startsWith(folder)) {
      throw outside(tensor, location);
    }
    try {
      if (!file.toRealPath().startsWith(folder.toRealPath())) {
        throw outside(tensor, location);
      }
    } catch (NoSuchFileException e) {
      throw new OnnxException(
          model, "tensor '%s' is in '%s', which does not exist".formatted(tensor, location), e);
    }
    if (!Files.isRegularFile(file)) {
      throw new OnnxException(
          model,
          "tensor '%s' is in '%s', which is not a regular file".formatted(tensor, location),
          null);
    }
    return file;
  }

  private static IllegalArgumentException outside(String tensor, String location) {
    return new IllegalArgumentException(
        "tensor '%s' is in '%s', outside of the model's folder; copy that file to the model's folder"
            .formatted(tensor, location));
  }
}
