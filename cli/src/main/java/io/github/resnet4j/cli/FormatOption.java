package io.github.resnet4j.cli;

import picocli.CommandLine.Option;

/** The output format option. */
final class FormatOption {
  @Option(
      names = {"-f", "--format"},
      paramLabel = "FORMAT",
      description = "text, markdown, json (one object per line) or csv; default ${DEFAULT-VALUE}.")
  Table.Format format = Table.Format.TEXT;

  /** Whether the format is meant for people rather than programs. */
  boolean isForPeople() {
    return format == Table.Format.TEXT || format == Table.Format.MARKDOWN;
  }
}
