package io.github.resnet4j.datasets;

import io.github.resnet4j.train.Dataset;
import io.github.resnet4j.train.Target;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The classes of a set that is read image by image. Names get numbers in the order in which they
 * occur; the order of the classes is known at the end.
 */
final class TargetNames {
  private static final int MAX_CLASSES = 100_000;

  private final List<String> known;
  private final Map<String, Integer> numbers = new HashMap<>();
  private @Nullable RawTarget first;
  private boolean flags = true;
  private int[] indices = {};

  /**
   * @param known the names of the classes in their order, if the set has them; labels may also be
   *     indices into them
   */
  TargetNames(List<String> known) {
    this.known = known;
  }

  /**
   * A target as numbers.
   *
   * @throws IOException if it does not fit to those before, or there are too many names
   */
  int[] encode(RawTarget target) throws IOException {
    if (first == null) {
      first = target;
    }
    if (first.getClass() != target.getClass()) {
      throw new IOException("has %s, other images have %s".formatted(target, first));
    }
    switch (target) {
      case RawTarget.Label(String name) -> {
        return new int[] {number(name)};
      }
      case RawTarget.Labels(List<String> names) -> {
        int[] code = new int[names.size()];
        for (int i = 0; i < code.length; i++) {
          code[i] = number(names.get(i));
        }
        return code;
      }
      case RawTarget.Values(List<String> columns, List<Float> values) -> {
        List<String> expected = ((RawTarget.Values) first).columns();
        if (!columns.equals(expected)) {
          throw new IOException("has the numbers %s, not %s".formatted(columns, expected));
        }
        flags &= values.stream().allMatch(value -> value == 0 || value == 1);
        return values.stream().mapToInt(Float::floatToIntBits).toArray();
      }
    }
  }

  private int number(String name) throws IOException {
    if (!known.isEmpty()) {
      int index = isIndex(name) ? Integer.parseInt(name) : known.size();
      index = index < known.size() ? index : known.indexOf(name);
      if (index < 0) {
        throw new IOException(
            "its label '%s' is none of the %d classes".formatted(shortened(name), known.size()));
      }
      return index;
    }
    if (!numbers.containsKey(name) && numbers.size() == MAX_CLASSES) {
      throw new IOException(
          "there are more than %,d different labels; the last one is '%s'"
              .formatted(MAX_CLASSES, shortened(name)));
    }
    return numbers.computeIfAbsent(name, _ -> numbers.size());
  }

  private static String shortened(String name) {
    return name.length() > 60 ? name.substring(0, 60) + "…" : name;
  }

  private static boolean isIndex(String name) {
    return name.matches("0|[1-9][0-9]{0,5}");
  }

  /**
   * The classes, after all targets: the known ones; or if all labels are indices, the numbers from
   * 0 to the largest one; else the names in Python's order. For numbers, their names.
   */
  List<String> classes() {
    if (first instanceof RawTarget.Values(List<String> columns, List<Float> _)) {
      return columns;
    }
    if (!known.isEmpty()) {
      indices = IntStream.range(0, known.size()).toArray();
      return known;
    }
    boolean isIndices = numbers.keySet().stream().allMatch(TargetNames::isIndex);
    List<String> classes = new ArrayList<>(numbers.keySet());
    if (isIndices) {
      int last = numbers.keySet().stream().mapToInt(Integer::parseInt).max().orElse(-1);
      classes = IntStream.rangeClosed(0, last).mapToObj(String::valueOf).toList();
    } else {
      classes.sort(Dataset.PYTHON_ORDER);
    }
    indices = new int[numbers.size()];
    for (int i = 0; i < classes.size(); i++) {
      @Nullable Integer number = numbers.get(classes.get(i));
      if (number != null) {
        indices[number] = i;
      }
    }
    return List.copyOf(classes);
  }

  /** The target that {@link #encode} made numbers of; called after {@link #classes}. */
  Target decode(int[] code) {
    return switch (first) {
      case RawTarget.Label _ -> new Target.Label(indices[code[0]]);
      case RawTarget.Labels _ ->
          new Target.Labels(Arrays.stream(code).map(number -> indices[number]).boxed().toList());
      case RawTarget.Values _ -> {
        List<Float> values = Arrays.stream(code).mapToObj(Float::intBitsToFloat).toList();
        yield flags
            ? new Target.Labels(
                IntStream.range(0, values.size()).filter(i -> values.get(i) == 1).boxed().toList())
            : new Target.Values(values);
      }
      case null -> throw new IllegalStateException();
    };
  }
}
