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
 * Numbers in files beside a model, as PyTorch writes large ones: only regular files in the model's
 * own folder or below, wherever symbolic links lead.
 */
final class OnnxExternalData {
  private static final int MOST_FILES = 1000;

  private final Path model;
  private final Map<String, ByteBuffer> mapped = new HashMap<>();

  OnnxExternalData(Path model) {
    this.model = model;
  }

  /**
   * The bytes of a tensor.
   *
   * @param fields location, offset and length, as the model has them
   * @throws OnnxException if the file is missing or outside of the model's folder
   * @throws IllegalArgumentException if the fields make no sense
   */
  ByteBuffer of(String tensor, Map<String, String> fields) throws IOException {
    String location = fields.getOrDefault("location", "");
    ByteBuffer bytes = mapped.get(location);
    if (bytes == null) {
      if (mapped.size() >= MOST_FILES) {
        throw new IllegalArgumentException(
            "its tensors lie in more than %,d files".formatted(MOST_FILES));
      }
      bytes = OnnxReader.map(file(tensor, location));
      mapped.put(location, bytes);
    }
    long offset = number(tensor, "offset", fields, 0);
    long length = number(tensor, "length", fields, bytes.limit() - offset);
    if (offset < 0 || length < 0 || offset > bytes.limit() - length) {
      throw new IllegalArgumentException(
          "tensor '%s' lies beyond the end of '%s'".formatted(tensor, location));
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
          "tensor '%s' has the %s '%s'".formatted(tensor, field, text), e);
    }
  }

  private Path file(String tensor, String location) throws IOException {
    Path folder = model.toAbsolutePath().normalize().getParent();
    Path file;
    try {
      file = folder == null ? Path.of(location) : folder.resolve(location).normalize();
    } catch (InvalidPathException e) {
      throw new IllegalArgumentException("tensor '%s' lies in '%s'".formatted(tensor, location), e);
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
          model, "tensor '%s' lies in '%s', which does not exist".formatted(tensor, location), e);
    }
    if (!Files.isRegularFile(file)) {
      throw new OnnxException(
          model,
          "tensor '%s' lies in '%s', which is no regular file".formatted(tensor, location),
          null);
    }
    return file;
  }

  private static IllegalArgumentException outside(String tensor, String location) {
    return new IllegalArgumentException(
        "tensor '%s' lies in '%s', outside of the model's folder; copy that file beside the model"
            .formatted(tensor, location));
  }
}
