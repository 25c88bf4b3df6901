package io.github.resnet4j.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import picocli.CommandLine;

/**
 * An example in the help of a command.
 *
 * @param lines the lines of the help; all but the last end with a backslash
 */
record Example(List<String> lines) {
  private static final Pattern WORD = Pattern.compile("'([^']*)'|\\S+");

  /** The examples of a command. */
  static List<Example> of(CommandLine commands, String name) {
    var command = name.isEmpty() ? commands : commands.getSubcommands().get(name);
    var examples = new ArrayList<Example>();
    var lines = new ArrayList<String>();
    for (String line : command.getCommandSpec().usageMessage().footer()) {
      lines.add(line);
      if (!line.endsWith("\\")) {
        examples.add(new Example(List.copyOf(lines)));
        lines.clear();
      }
    }
    return examples;
  }

  /** The whole example on one line. */
  String line() {
    return String.join("\n", lines).replaceAll("\\\\\n\\s*", "").strip();
  }

  boolean isOfAnotherProgram() {
    return !line().startsWith("resnet4j ");
  }

  boolean needsDownload() {
    return line().endsWith("# downloads");
  }

  /** The arguments after {@code resnet4j}, up to a redirection or a comment. */
  List<String> arguments() {
    String words = line().replaceFirst("^resnet4j ", "").replaceFirst(" +[#>].*", "");
    return WORD.matcher(words)
        .results()
        .map(found -> found.group(1) == null ? found.group() : found.group(1))
        .toList();
  }
}
