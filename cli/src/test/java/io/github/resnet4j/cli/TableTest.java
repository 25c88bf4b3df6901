package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Text tables on terminals of different widths. */
class TableTest {
  private final PrintStream before = System.err;

  @AfterEach
  void restore() {
    System.clearProperty(Table.COLUMNS);
    System.setErr(before);
  }

  private static String print(Table table, int columns) throws IOException {
    if (columns > 0) {
      System.setProperty(Table.COLUMNS, String.valueOf(columns));
    }
    var out = new ByteArrayOutputStream();
    var both = new PrintStream(out, true, StandardCharsets.UTF_8);
    System.setErr(both);
    table.print(Table.Format.TEXT, both);
    return out.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
  }

  private static final Table TABLE =
      new Table(
          List.of("name", "width", "note", "path"),
          List.of(
              List.of("  layer1.0.conv1", 64, "a note of some length", Path.of("a/b/holiday.jpg")),
              List.of("  layer1", 1_000_000, "", Path.of("b.jpg"))),
          List.of("note", "width"));

  @Test
  void wideTerminalAndFileGetWholeTable() throws IOException {
    String whole =
        """
        name                  width  note                   path
          layer1.0.conv1         64  a note of some length  a/b/holiday.jpg
          layer1          1,000,000                         b.jpg
        """;
    assertEquals(whole, print(TABLE, 0));
    assertEquals(whole, print(TABLE, 67));
  }

  @Test
  void narrowTerminalDropsMinorColumnsFirst() throws IOException {
    assertEquals(
        """
        name                  width  path
          layer1.0.conv1         64  a/b/holiday.jpg
          layer1          1,000,000  b.jpg
        resnet4j: shortened to the width of the terminal, without note; '| less -S' shows all of it
        """,
        print(TABLE, 66));
    assertEquals(
        """
        name            path
        layer1.0.conv1  …b/holiday.jpg
          layer1        b.jpg
        resnet4j: shortened to the width of the terminal, without width, note; '| less -S' shows all of it
        """,
        print(TABLE, 30));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "models",
        "models seresnet",
        "summary resnet50",
        "summary resnext101_32x8d",
        "summary --paper",
        "weights",
        "compare",
        "diff resnet50 resnet50d",
      })
  void linesFitEightyColumns(String command) {
    System.setProperty(Table.COLUMNS, "80");
    var out = new ByteArrayOutputStream();
    PrintStream stdout = System.out;
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8));
    try {
      Main.execute(new Main(), command.split(" "));
    } finally {
      System.setOut(stdout);
    }
    List<String> table =
        out.toString(StandardCharsets.UTF_8).lines().takeWhile(line -> !line.isEmpty()).toList();
    assertTrue(table.size() > 4, table.toString());
    table.forEach(line -> assertTrue(line.length() <= 80, line));
    assertTrue(table.stream().anyMatch(line -> line.length() > 60), table.toString());
  }
}
