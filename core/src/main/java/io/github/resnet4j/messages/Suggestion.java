package io.github.resnet4j.messages;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/** Suggests existing names for one that does not exist. */
public final class Suggestion {
  private static final int MAX_SUGGESTIONS = 3;

  private Suggestion() {}

  /**
   * Text for the end of an error message.
   *
   * @return {@code " (did you mean resnet50?)"}, or an empty string if no name is similar
   */
  public static String of(String wanted, Collection<String> known) {
    List<String> similar = similar(wanted, known);
    if (similar.isEmpty()) {
      return "";
    }
    String text = String.join(", ", similar);
    int last = text.lastIndexOf(", ");
    return " (did you mean %s?)"
        .formatted(last < 0 ? text : text.substring(0, last) + " or " + text.substring(last + 2));
  }

  /**
   * The similar names, at most three: those that differ only in case and punctuation; else longer
   * names with this prefix, then those with the smallest edit distance, then longer names that
   * contain it.
   */
  public static List<String> similar(String wanted, Collection<String> known) {
    String letters = letters(wanted);
    if (letters.isEmpty()) {
      return List.of();
    }
    int nearest = known.stream().mapToInt(name -> distance(letters, letters(name))).min().orElse(0);
    Stream<String> longer =
        known.stream()
            .filter(name -> nearest > 0 && letters.length() > 2)
            .filter(name -> letters(name).startsWith(letters))
            .sorted(Comparator.comparingInt(String::length));
    Stream<String> near =
        known.stream()
            .filter(name -> nearest <= maxDistance(letters.length()))
            .filter(name -> distance(letters, letters(name)) == nearest);
    Stream<String> containing =
        known.stream()
            .filter(name -> nearest > 0 && letters.length() > 3)
            .filter(name -> letters(name).contains(letters))
            .sorted(Comparator.comparingInt(String::length));
    return Stream.of(longer, near, containing)
        .flatMap(each -> each)
        .distinct()
        .limit(MAX_SUGGESTIONS)
        .toList();
  }

  /** The maximum edit distance. */
  private static int maxDistance(int length) {
    return length < 3 ? 0 : Math.max(1, length / 4);
  }

  private static String letters(String name) {
    return name.toLowerCase(Locale.ROOT).replaceAll("[^\\p{L}\\d+*]", "");
  }

  /**
   * The edit distance: insertions, deletions, replacements and swaps of adjacent letters (optimal
   * string alignment).
   */
  private static int distance(String a, String b) {
    int[][] d = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      for (int j = 0; j <= b.length(); j++) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        int replace = d[i - 1][j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        d[i][j] = Math.min(replace, 1 + Math.min(d[i - 1][j], d[i][j - 1]));
        boolean swapped =
            i > 1
                && j > 1
                && a.charAt(i - 1) == b.charAt(j - 2)
                && a.charAt(i - 2) == b.charAt(j - 1);
        if (swapped) {
          d[i][j] = Math.min(d[i][j], 1 + d[i - 2][j - 2]);
        }
      }
    }
    return d[a.length()][b.length()];
  }
}
