package io.github.resnet4j.datasets;

import java.util.List;

/** What a shard says about an image, before the classes of the whole set are known. */
sealed interface RawTarget {
  /** The name of the class. */
  record Label(String name) implements RawTarget {}

  /** The names of the classes, also none. */
  record Labels(List<String> names) implements RawTarget {}

  /** Numbers, by the names of their columns. */
  record Values(List<String> columns, List<Float> values) implements RawTarget {}
}
