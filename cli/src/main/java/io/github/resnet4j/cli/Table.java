package io.github.resnet4j.cli;

import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A table, printed for people or for programs.
 *
 * @param minor the columns that are left out on a narrow terminal, in this order
 */
record Table(List<String> columns, List<List<Object>> rows, List<String> minor) {
  /** System property with the width of the terminal; the launcher sets it if stdout is one. */
  static final String COLUMNS = "resnet4j.columns";

  private static final int GAP = 2;

  /** The minimum width of a shortened column. */
  private static final int MIN_WIDTH = 10;

  Table(List<String> columns, List<List<Object>> rows) {
    this(columns, rows, List.of());
  }

  /** The output formats. */
  enum Format {
    TEXT,
    MARKDOWN,
    JSON,
    CSV;

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  void print(Format format, PrintStream out) throws IOException {
    switch (format) {
      case TEXT -> printText(out);
      case MARKDOWN -> {
        out.println(markdownLine(columns));
        out.println(markdownLine(columns.stream().map(_ -> "---").toList()));
        rows.forEach(row -> out.println(markdownLine(row.stream().map(Table::text).toList())));
      }
      case CSV -> {
        out.println(csvLine(columns));
        rows.forEach(row -> out.println(csvLine(row)));
      }
      case JSON -> {
        for (var row : rows) {
          out.println(jsonLine(columns, row));
        }
      }
    }
  }

  private void printText(PrintStream out) {
    int[] widths = widths();
    boolean all = fit(widths, Integer.getInteger(COLUMNS, Integer.MAX_VALUE));
    for (int r = -1; r < rows.size(); r++) {
      var line = new StringBuilder();
      for (int c = 0; c < widths.length; c++) {
        if (widths[c] > 0) {
          Object cell = r < 0 ? columns.get(c) : rows.get(r).get(c);
          String text = shortened(text(cell), widths[c]);
          line.append(("%" + (isNumber(c) ? "" : "-") + widths[c] + "s  ").formatted(text));
        }
      }
      out.println(line.toString().stripTrailing());
    }
    if (!all) {
      out.flush();
      String omitted =
          IntStream.range(0, widths.length)
              .filter(c -> widths[c] == 0)
              .mapToObj(columns::get)
              .collect(Collectors.joining(", "));
      System.err.printf(
          "resnet4j: shortened to the width of the terminal%s; '| less -S' shows all of it%n",
          omitted.isEmpty() ? "" : ", without " + omitted);
    }
  }

  private boolean isNumber(int column) {
    return !rows.isEmpty() && rows.getFirst().get(column) instanceof Number;
  }

  private int[] widths() {
    int[] widths = new int[columns.size()];
    for (int c = 0; c < widths.length; c++) {
      widths[c] = columns.get(c).length();
      for (var row : rows) {
        widths[c] = Math.max(widths[c], text(row.get(c)).length());
      }
    }
    return widths;
  }

  /**
   * Fits the lines to the width of the terminal: first leaves out minor columns, by setting their
   * widths to 0, then shortens the widest text columns.
   *
   * @return whether the whole table is shown
   */
  private boolean fit(int[] widths, int limit) {
    if (total(widths) <= limit) {
      return true;
    }
    for (String each : minor) {
      if (total(widths) > limit) {
        widths[columns.indexOf(each)] = 0;
      }
    }
    while (total(widths) > limit) {
      int widest =
          IntStream.range(0, widths.length)
              .filter(c -> !isNumber(c) && widths[c] > MIN_WIDTH)
              .boxed()
              .max(Comparator.comparingInt(c -> widths[c]))
              .orElse(-1);
      if (widest < 0) {
        break; // the terminal wraps the lines
      }
      widths[widest]--;
    }
    return false;
  }

  private static int total(int[] widths) {
    return Arrays.stream(widths).filter(width -> width > 0).map(width -> width + GAP).sum() - GAP;
  }

  /** Removes indentation first, then the beginning of a name or path, or the end of other text. */
  private static String shortened(String text, int width) {
    int excess = text.length() - width;
    if (excess <= 0) {
      return text;
    }
    if (text.substring(0, excess).isBlank()) {
      return text.substring(excess);
    }
    String stripped = text.strip();
    if (stripped.length() <= width) {
      return stripped;
    }
    return stripped.contains(" ")
        ? stripped.substring(0, width - 1) + "…"
        : "…" + stripped.substring(stripped.length() - width + 1);
  }

  private static String text(Object cell) {
    return switch (cell) {
      case Long number -> "%,d".formatted(number);
      case Integer number -> "%,d".formatted(number);
      case Boolean flag -> flag ? "yes" : "";
      default -> cell.toString();
    };
  }

  /** Rounds half up to a number of decimals. */
  static double rounded(double value, int decimals) {
    return BigDecimal.valueOf(value).setScale(decimals, RoundingMode.HALF_UP).doubleValue();
  }

  /** Returns the fields of an object in the given order. */
  static SequencedMap<String, Object> fields(List<String> names, List<?> values) {
    var fields = new LinkedHashMap<String, Object>();
    for (int i = 0; i < names.size(); i++) {
      fields.put(names.get(i), values.get(i));
    }
    return fields;
  }

  /** Returns a JSON object on one line. */
  static String jsonLine(List<String> names, List<?> values) throws IOException {
    return JSON.std.asString(fields(names, values));
  }

  /** Returns a row of a Markdown table. */
  static String markdownLine(List<String> cells) {
    return cells.stream()
        .map(cell -> cell.stripTrailing().replace("|", "\\|").replace("  ", "&emsp;"))
        .collect(Collectors.joining(" | ", "| ", " |"));
  }

  /** Returns a line of CSV (RFC 4180). */
  static String csvLine(List<?> cells) {
    return cells.stream()
        .map(String::valueOf)
        .map(cell ->
            cell.matches("(?s).*[\",\r\n].*") ? '"' + cell.replace("\"", "\"\"") + '"' : cell)
        .collect(Collectors.joining(","));
  }
}
