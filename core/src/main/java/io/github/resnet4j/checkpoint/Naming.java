package io.github.resnet4j.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/**
 * How a library or a repository names the parameters of a residual network: one entry of the table
 * {@code namings.txt}.
 *
 * @param description the name of the naming in messages
 * @param anchors names that a file of this naming has, after its prefix
 * @param rules applied to a name one after the other; the result is torchvision's name
 * @param note what a user of such a file must know; empty if nothing
 */
record Naming(String description, List<String> anchors, List<Rule> rules, Optional<String> note) {
  private static final Pattern SUM = Pattern.compile("\\$\\((\\d)([+-]\\d)\\)");

  /** The namings, and the names that are not part of a network. */
  private static final Table TABLE = read();

  private record Table(List<Naming> namings, List<Rule> seenIn, List<Rule> leftOut) {}

  /**
   * Replaces a part of a name.
   *
   * @param to may contain {@code $1}, a group, and {@code $(1+1)}, the sum of a group and a number
   */
  record Rule(Pattern from, String to) {
    String apply(String name) {
      return from.matcher(name).replaceAll(this::replacement);
    }

    private String replacement(MatchResult match) {
      return SUM.matcher(to)
          .replaceAll(sum ->
              String.valueOf(
                  Integer.parseInt(match.group(Integer.parseInt(sum.group(1))))
                      + Integer.parseInt(sum.group(2))));
    }
  }

  /** All namings; the first that fits a file is its naming. */
  static List<Naming> all() {
    return TABLE.namings;
  }

  /** What a tensor is that belongs to no network, for example "the loss"; empty if unknown. */
  static Optional<String> leftOut(String name) {
    return first(TABLE.leftOut, name);
  }

  /** Where a file with this name comes from, for example "MoCo"; empty if unknown. */
  static Optional<String> seenIn(Collection<String> names) {
    return TABLE.seenIn.stream()
        .filter(rule -> names.stream().anyMatch(name -> first(List.of(rule), name).isPresent()))
        .map(Rule::to)
        .findFirst();
  }

  /** The first rule that matches after the start or after a separator. */
  private static Optional<String> first(List<Rule> rules, String name) {
    for (Rule rule : rules) {
      var matcher = rule.from.matcher(name);
      for (int start = 0; start >= 0; start = afterSeparator(name, start)) {
        if (matcher.region(start, name.length()).lookingAt()) {
          return Optional.of(rule.to);
        }
      }
    }
    return Optional.empty();
  }

  private static int afterSeparator(String name, int from) {
    for (int i = from; i < name.length() - 1; i++) {
      if (name.charAt(i) == '.' || name.charAt(i) == '/') {
        return i + 1;
      }
    }
    return -1;
  }

  boolean hasAnchors(String prefix, Set<String> names) {
    return anchors.stream().allMatch(anchor -> names.contains(prefix + anchor));
  }

  /** Torchvision's name of a parameter; an unknown name is returned unchanged. */
  String translate(String name) {
    String translated = name;
    for (Rule rule : rules) {
      translated = rule.apply(translated);
    }
    return translated;
  }

  private static Table read() {
    var namings = new ArrayList<Naming>();
    var leftOut = new ArrayList<Rule>();
    var seenIn = new ArrayList<Rule>();
    try (var in = Naming.class.getResourceAsStream("namings.txt")) {
      if (in == null) {
        throw new IllegalStateException("namings.txt is not in the jar");
      }
      var rules = new ArrayList<Rule>();
      for (String line : new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().toList()) {
        if (line.isBlank() || line.startsWith("#")) {
          continue;
        }
        if (line.startsWith("  note: ")) {
          Naming last = namings.removeLast();
          namings.add(
              new Naming(
                  last.description,
                  last.anchors,
                  last.rules,
                  Optional.of(line.substring("  note: ".length()))));
        } else if (line.startsWith(" ")) {
          String[] rule = line.strip().split(" => ", 2);
          rules.add(new Rule(Pattern.compile(rule[0]), rule[1]));
        } else if (line.equals("left out")) {
          rules = leftOut;
        } else if (line.equals("seen in")) {
          rules = seenIn;
        } else {
          List<String> fields = List.of(line.split("\t"));
          rules = new ArrayList<>();
          namings.add(
              new Naming(
                  fields.getFirst(), fields.subList(1, fields.size()), rules, Optional.empty()));
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return new Table(List.copyOf(namings), List.copyOf(seenIn), List.copyOf(leftOut));
  }
}
