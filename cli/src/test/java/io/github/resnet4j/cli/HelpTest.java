package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;

/** The help of every command on a terminal of 80 columns. */
class HelpTest {
  private static final Pattern COMMAND =
      Pattern.compile("(?:^|`)\\./(resnet4j [^`\n]*)", Pattern.MULTILINE);

  private static CommandLine commands() {
    var commands = Arguments.checked(new CommandLine(new Main()));
    HelpText.install(commands);
    return commands;
  }

  static Stream<String> names() {
    return Stream.concat(Stream.of(""), commands().getSubcommands().keySet().stream());
  }

  private static String help(String name, int width) {
    var commands = commands();
    var command = name.isEmpty() ? commands : commands.getSubcommands().get(name);
    PrintStream before = System.err;
    var errors = new ByteArrayOutputStream();
    System.setErr(new PrintStream(errors, true, StandardCharsets.UTF_8));
    try {
      return command.setUsageHelpWidth(width).getUsageMessage(CommandLine.Help.Ansi.OFF);
    } finally {
      System.setErr(before);
      assertEquals("", errors.toString(StandardCharsets.UTF_8));
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void helpFitsIntoEightyColumnsWithoutBreakingWords(String name) {
    String help = help(name, 80);
    help.lines().forEach(line -> assertTrue(line.length() <= 80, line));
    assertEquals(
        List.of(help(name, 1000).strip().split("\\s+")), List.of(help.strip().split("\\s+")));
  }

  @ParameterizedTest
  @MethodSource("names")
  void helpExamplesParse(String name) {
    List<Example> examples = Example.of(commands(), name);
    assertTrue(name.equals("help") || !examples.isEmpty());
    for (Example example : examples) {
      if (!example.isOfAnotherProgram()) {
        commands().parseArgs(example.arguments().toArray(String[]::new)); // or throws
      }
      example.lines().forEach(line -> assertTrue(line.length() <= 80, line));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "classify,default auto.",
    "bench,default 1.",
    "serve,default 30.",
    "export,default fp32."
  })
  void helpShowsDefaultsAsTyped(String name, String expected) {
    assertTrue(help(name, 1000).contains(expected), help(name, 1000));
  }

  /** Commands with arguments, in code blocks and in backticks. */
  static Stream<String> documentedCommands() throws IOException {
    var pages = new ArrayList<>(List.of(Path.of("../README.md"), Path.of("../CONTRIBUTING.md")));
    try (Stream<Path> files = Files.list(Path.of("../docs"))) {
      files.filter(file -> file.toString().endsWith(".md")).forEach(pages::add);
    }
    var commands = new ArrayList<String>();
    for (Path page : pages) {
      COMMAND
          .matcher(Files.readString(page).replaceAll("\\\\\n\\s*", ""))
          .results()
          .map(found -> found.group(1))
          .filter(command -> command.matches("resnet4j [a-z-]+ [^…]+"))
          .forEach(commands::add);
    }
    assertTrue(commands.size() > 40, commands.toString());
    return commands.stream().distinct();
  }

  @ParameterizedTest
  @MethodSource("documentedCommands")
  void documentedCommandsParse(String command) {
    commands().parseArgs(new Example(List.of(command)).arguments().toArray(String[]::new));
  }

  /** picocli's completion script has one list of values per label. */
  @ParameterizedTest
  @MethodSource("names")
  void enumOptionsHaveDistinctLabels(String name) {
    var command = name.isEmpty() ? commands() : commands().getSubcommands().get(name);
    var labels = new ArrayList<String>();
    for (var option : command.getCommandSpec().options()) {
      if (option.type().isEnum()) {
        labels.add(option.paramLabel());
      }
    }
    assertEquals(labels.stream().distinct().toList(), labels);
  }

  @ParameterizedTest
  @MethodSource("names")
  void helpIgnoresMissingArguments(String name) {
    PrintStream before = System.out;
    var out = new ByteArrayOutputStream();
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    try {
      String[] words = name.isEmpty() ? new String[] {"--help"} : new String[] {name, "--help"};
      assertEquals(0, Main.execute(new Main(), words));
    } finally {
      System.setOut(before);
    }
    assertEquals(help(name, 80), out.toString(StandardCharsets.UTF_8));
  }

  @Test
  void helpCommandPrintsSameHelp() {
    assertTrue(help("train", 80).startsWith("Usage: resnet4j train -d=DIR -o=DIR [OPTIONS]"));
    PrintStream before = System.out;
    var out = new ByteArrayOutputStream();
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    try {
      assertEquals(0, Main.execute(new Main(), "help", "train"));
    } finally {
      System.setOut(before);
    }
    assertEquals(help("train", 80), out.toString(StandardCharsets.UTF_8));
  }
}
