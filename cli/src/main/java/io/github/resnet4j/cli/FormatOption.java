package io.github.resnet4j.cli;

import picocli.CommandLine.Option;

/** The option that says how results are printed. */
final class FormatOption {
  @Option(
      names = {"-f", "--format"},
      paramLabel = "FORMAT",
      description = "text, markdown, json (a line for each) or csv; default ${DEFAULT-VALUE}.")
  Table.Format format = Table.Format.TEXT;

  /** Whether people read it, rather than programs. */
  boolean isForPeople() {
    return format == Table.Format.TEXT || format == Table.Format.MARKDOWN;
  }
}
