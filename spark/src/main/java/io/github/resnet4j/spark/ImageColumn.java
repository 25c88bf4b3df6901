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

/** What a column holds of images. */
enum ImageColumn {
  /** A file's bytes: source {@code binaryFile}, or a table's column. */
  BYTES,
  /** Where a file is, on any file system that Hadoop knows. */
  PATH,
  /** What source {@code image} has decoded. */
  IMAGE;

  /**
   * @throws IllegalArgumentException if a column of this type holds no images
   */
  static ImageColumn of(String name, DataType type) {
    return switch (type) {
      case BinaryType _ -> BYTES;
      case StringType _ -> PATH;
      case StructType struct when struct.getFieldIndex("nChannels").isDefined() -> IMAGE;
      default ->
          throw new IllegalArgumentException(
              "column '%s' is %s; images are binary (a file's bytes), string (a path) or source"
                      .formatted(name, type.simpleString())
                  + " 'image's struct");
    };
  }

  /** What a value is; of anything else {@link #read} says that it is no image. */
  static ImageColumn of(@Nullable Object value) {
    return value instanceof String ? PATH : value instanceof Row ? IMAGE : BYTES;
  }

  /**
   * The pixels of a value.
   *
   * @param name what errors call it
   * @throws IOException if there is no image in it
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
        throw new ImageException(name, "is neither a file's bytes nor a path");
      }
      case PATH -> decoder.decode((String) value, bytes((String) value, hadoop));
      case IMAGE -> pixels(name, (Row) value);
    };
  }

  /** All of a file. */
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

  /** Spark's image: rows from the top, {@code [H, W, C]} in the order blue, green, red, alpha. */
  private static Pixels pixels(String name, Row image) throws ImageException {
    if (image.schema() == null || image.schema().getFieldIndex("nChannels").isEmpty()) {
      throw new ImageException(name, "is not what source 'image' reads");
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
      throw new ImageException(name, "is no image that Spark could read");
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
