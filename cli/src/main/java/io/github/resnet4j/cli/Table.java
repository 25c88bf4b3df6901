package io.github.resnet4j.cli;

import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.stream.Collectors;

/** Rows under named columns, printed for people or for programs. */
record Table(List<String> columns, List<List<Object>> rows) {

  /** How results are printed. */
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
    int[] widths = new int[columns.size()];
    for (int c = 0; c < widths.length; c++) {
      widths[c] = columns.get(c).length();
      for (var row : rows) {
        widths[c] = Math.max(widths[c], text(row.get(c)).length());
      }
    }
    for (int r = -1; r < rows.size(); r++) {
      var line = new StringBuilder();
      for (int c = 0; c < widths.length; c++) {
        Object cell = r < 0 ? columns.get(c) : rows.get(r).get(c);
        boolean number = !rows.isEmpty() && rows.getFirst().get(c) instanceof Number;
        line.append(("%" + (number ? "" : "-") + widths[c] + "s  ").formatted(text(cell)));
      }
      out.println(line.toString().stripTrailing());
    }
  }

  private static String text(Object cell) {
    return switch (cell) {
      case Long number -> "%,d".formatted(number);
      case Integer number -> "%,d".formatted(number);
      case Boolean flag -> flag ? "yes" : "";
      default -> cell.toString();
    };
  }

  /** A number as people want to see it. */
  static double rounded(double value, int decimals) {
    return BigDecimal.valueOf(value).setScale(decimals, RoundingMode.HALF_UP).doubleValue();
  }

  /** An object's fields in the order given. */
  static SequencedMap<String, Object> fields(List<String> names, List<?> values) {
    var fields = new LinkedHashMap<String, Object>();
    for (int i = 0; i < names.size(); i++) {
      fields.put(names.get(i), values.get(i));
    }
    return fields;
  }

  /** One object on one line. */
  static String jsonLine(List<String> names, List<?> values) throws IOException {
    return JSON.std.asString(fields(names, values));
  }

  /** One row of a table in Markdown. */
  static String markdownLine(List<String> cells) {
    return cells.stream()
        .map(cell -> cell.stripTrailing().replace("|", "\\|").replace("  ", "&emsp;"))
        .collect(Collectors.joining(" | ", "| ", " |"));
  }

  /** One line of RFC 4180. */
  static String csvLine(List<?> cells) {
    return cells.stream()
        .map(String::valueOf)
        .map(cell ->
            cell.matches("(?s).*[\",\r\n].*") ? '"' + cell.replace("\"", "\"\"") + '"' : cell)
        .collect(Collectors.joining(","));
  }
}
