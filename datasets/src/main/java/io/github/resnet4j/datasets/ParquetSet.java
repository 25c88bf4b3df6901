package io.github.resnet4j.datasets;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.messages.Reason;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.parquet.ParquetReadOptions;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.hadoop.metadata.FileMetaData;
import org.apache.parquet.hadoop.metadata.ParquetMetadata;
import org.apache.parquet.io.LocalInputFile;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Type;
import org.jspecify.annotations.Nullable;

/**
 * The columns of a Parquet file as Hugging Face's {@code datasets} writes it: an image is a struct
 * of {@code bytes} and {@code path}; the metadata {@code huggingface} has the names of classes.
 *
 * @param image the column of the images
 * @param hasPath whether the struct has {@code path}
 * @param targets the columns of the targets: one of classes, or any number of numbers
 * @param kind what they contain
 * @param classes the names of the classes, if the metadata has them
 * @param rowGroups the number of row groups
 */
record ParquetSet(
    Path file,
    MessageType schema,
    String image,
    boolean hasPath,
    List<String> targets,
    Kind kind,
    List<String> classes,
    int rowGroups) {
  /** The contents of the columns of the targets. */
  enum Kind {
    LABEL,
    LABELS,
    NUMBERS
  }

  private static final List<String> LABELS = List.of("label", "labels", "fine_label");

  static boolean isParquet(Path file) {
    return String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT).endsWith(".parquet");
  }

  /**
   * Reads the metadata of a file.
   *
   * @throws IOException if it is no Parquet file, or has no images or targets
   */
  static ParquetSet read(Path file) throws IOException {
    ParquetMetadata metadata;
    try (ParquetFileReader reader = open(file)) {
      metadata = reader.getFooter();
    } catch (IOException | RuntimeException e) { // of the library, for a damaged file
      String reason = Reason.of(e);
      throw new IOException(
          "%s: is no Parquet file: %s"
              .formatted(
                  file, reason.contains("magic number") ? "truncated, or of another kind" : reason),
          e);
    }
    return of(file, metadata);
  }

  /** The row groups, each of which is a shard. */
  List<Shard> shards() {
    return IntStream.range(0, rowGroups)
        .<Shard>mapToObj(group -> new ParquetShard(this, group))
        .toList();
  }

  static ParquetFileReader open(Path file) throws IOException {
    var options =
        ParquetReadOptions.builder(new PlainParquetConfiguration())
            .withCodecFactory(new ParquetCodecs())
            .build();
    return ParquetFileReader.open(new LocalInputFile(file), options);
  }

  private static ParquetSet of(Path file, ParquetMetadata footer) throws IOException {
    FileMetaData metadata = footer.getFileMetaData();
    MessageType schema = metadata.getSchema();
    int rowGroups = footer.getBlocks().size();
    String image =
        schema.getFields().stream()
            .filter(ParquetSet::isImage)
            .map(Type::getName)
            .findFirst()
            .orElseThrow(() ->
                new IOException(
                    file + ": has no column of images, a struct of 'bytes' and 'path'"));
    boolean hasPath = schema.getType(image).asGroupType().containsField("path");
    Map<String, Object> features = features(metadata);
    var names = new ArrayList<>(LABELS);
    features.forEach((name, feature) -> {
      if (!classes(feature).isEmpty()) {
        names.add(name);
      }
    });
    for (String name : names) {
      if (schema.containsField(name) && !isFraction(schema.getType(name))) {
        boolean isList = !schema.getType(name).isPrimitive();
        if (!isList
            || schema.getColumns().stream().filter(c -> c.getPath()[0].equals(name)).count() == 1) {
          return new ParquetSet(
              file,
              schema,
              image,
              hasPath,
              List.of(name),
              isList ? Kind.LABELS : Kind.LABEL,
              classes(features.get(name)),
              rowGroups);
        }
      }
    }
    List<String> numbers =
        schema.getFields().stream()
            .filter(field -> field.isPrimitive() && ParquetShard.isNumber(field.asPrimitiveType()))
            .map(Type::getName)
            .toList();
    if (numbers.isEmpty()) {
      throw new IOException(file + ": has no column 'label', of classes, or of numbers");
    }
    return new ParquetSet(
        file, schema, image, hasPath, numbers, Kind.NUMBERS, List.of(), rowGroups);
  }

  /** Whether it has numbers that are no indices of classes. */
  private static boolean isFraction(Type field) {
    return field.isPrimitive()
        && switch (field.asPrimitiveType().getPrimitiveTypeName()) {
          case FLOAT, DOUBLE -> true;
          case INT32, INT64, BOOLEAN, BINARY, FIXED_LEN_BYTE_ARRAY, INT96 -> false;
        };
  }

  private static boolean isImage(Type field) {
    if (field.isPrimitive()) {
      return false;
    }
    GroupType group = field.asGroupType();
    return group.containsField("bytes") && group.getType("bytes").isPrimitive();
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> features(FileMetaData metadata) {
    @Nullable String text = metadata.getKeyValueMetaData().get("huggingface");
    if (text == null) {
      return Map.of();
    }
    try {
      if (JSON.std.mapFrom(text).get("info") instanceof Map<?, ?> info
          && info.get("features") instanceof Map<?, ?> features) {
        return (Map<String, Object>) features;
      }
    } catch (IOException _) {
      // Metadata of another form: the columns say what there is.
    }
    return Map.of();
  }

  /** The names of a feature ClassLabel, or of a list of such. */
  private static List<String> classes(@Nullable Object feature) {
    if (!(feature instanceof Map<?, ?> fields)) {
      return List.of();
    }
    if ("ClassLabel".equals(fields.get("_type")) && fields.get("names") instanceof List<?> names) {
      return names.stream().map(String::valueOf).toList();
    }
    return classes(fields.get("feature"));
  }
}
