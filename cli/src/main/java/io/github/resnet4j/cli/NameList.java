package io.github.resnet4j.cli;

import java.util.List;

/** Names for a message: the first ones, and how many there are. */
record NameList(List<String> names) {
  static final int SHOWN = 20;

  @Override
  public String toString() {
    return String.join(", ", names.subList(0, Math.min(SHOWN, names.size())))
        + (names.size() > SHOWN ? ", … (%,d in total)".formatted(names.size()) : "");
  }
}
