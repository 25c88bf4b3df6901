package io.github.resnet4j.spark;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.ImageException;
import io.github.resnet4j.image.Pixels;
import java.io.IOException;
import java.io.InputStream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.types.BinaryType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructType;
import org.jspecify.annotations.Nullable;

/** How a column represents images. */
enum ImageColumn {
  /** The bytes of an image file, from source {@code binaryFile} or a table. */
  BYTES,
  /** The path of an image file, on any file system that Hadoop supports. */
  PATH,
  /** The struct of source {@code image}, a decoded image. */
  IMAGE;

  /**
   * Returns the representation for a column's type.
   *
   * @throws IllegalArgumentException if a column of this type cannot contain images
   */
  static ImageColumn of(String name, DataType type) {
    return switch (type) {
      case BinaryType _ -> BYTES;
      case StringType _ -> PATH;
      case StructType struct when struct.getFieldIndex("nChannels").isDefined() -> IMAGE;
      default ->
          throw new IllegalArgumentException(
              "column '%s' has type %s; images must be binary (the bytes of a file), string (a path) or"
                      .formatted(name, type.simpleString())
                  + " the struct of source 'image'");
    };
  }

  /** Returns the representation of a value; {@link #read} rejects values that are not images. */
  static ImageColumn of(@Nullable Object value) {
    return value instanceof String ? PATH : value instanceof Row ? IMAGE : BYTES;
  }

  /**
   * Decodes a value.
   *
   * @param name the name of the image in error messages
   * @throws IOException if the value is not an image
   */
  Pixels read(String name, @Nullable Object value, ImageDecoder decoder, Configuration hadoop)
      throws IOException {
    if (value == null) {
      throw new ImageException(name, "is null");
    }
    return switch (this) {
      case BYTES -> {
        if (value instanceof byte[] bytes) {
          yield decoder.decode(name, bytes);
        }
        throw new ImageException(name, "is neither the bytes of a file nor a path");
      }
      case PATH -> decoder.decode((String) value, bytes((String) value, hadoop));
      case IMAGE -> pixels(name, (Row) value);
    };
  }

  /** Reads a file. */
  static byte[] bytes(String path, Configuration hadoop) throws IOException {
    try {
      var file = new Path(path);
      FileSystem files = file.getFileSystem(hadoop);
      FileStatus status = files.getFileStatus(file);
      if (status.isDirectory()) {
        throw new ImageException(path, "is a folder");
      }
      if (status.getLen() > ImageDecoder.MAX_FILE_BYTES) {
        throw new ImageException(path, "has more than 512 MB, too large for an image");
      }
      try (InputStream in = files.open(file)) {
        return in.readAllBytes();
      }
    } catch (ImageException e) {
      throw e;
    } catch (IOException | IllegalArgumentException e) {
      throw new ImageException(path, "cannot be read: " + e.getMessage());
    }
  }

  /**
   * Converts Spark's image format: {@code [H, W, C]}, channels in the order blue, green, red,
   * alpha.
   */
  private static Pixels pixels(String name, Row image) throws ImageException {
    if (image.schema() == null || image.schema().getFieldIndex("nChannels").isEmpty()) {
      throw new ImageException(name, "is not a struct of source 'image'");
    }
    int height = image.getAs("height");
    int width = image.getAs("width");
    int channels = image.getAs("nChannels");
    byte[] data = image.getAs("data");
    if (height < 1
        || width < 1
        || (channels != 1 && channels != 3 && channels != 4)
        || data == null
        || data.length != (long) height * width * channels) {
      throw new ImageException(name, "could not be decoded by Spark");
    }
    byte[] rgb = new byte[3 * height * width];
    for (int i = 0; i < height * width; i++) {
      for (int c = 0; c < 3; c++) {
        rgb[3 * i + c] = data[channels == 1 ? i : channels * i + 2 - c];
      }
    }
    return new Pixels(width, height, 3, rgb);
  }
}
