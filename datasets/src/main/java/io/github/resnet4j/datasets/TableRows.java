package io.github.resnet4j.datasets;

import com.fasterxml.jackson.jr.ob.JSON;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.MalformedInputException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.commons.csv.CSVFormat;
import org.apache.commons.csv.CSVParser;
import org.apache.commons.csv.CSVRecord;
import org.apache.commons.csv.DuplicateHeaderMode;
import org.jspecify.annotations.Nullable;

/** The rows of a file: CSV, TSV, or JSON lines. */
final class TableRows {
  /**
   * A row.
   *
   * @param line the line in the file where it ends, counted from 1
   * @param cells by column: a text, or several if the cell is a list; JSON's objects, and lists of
   *     such, are left out
   */
  record Row(long line, Map<String, List<String>> cells) {}

  private TableRows() {}

  static List<Row> read(Path file) throws IOException {
    String name = String.valueOf(file.getFileName()).toLowerCase(Locale.ROOT);
    try (BufferedReader in = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
      in.mark(1);
      if (in.read() != '\uFEFF') { // a byte order mark, as Excel writes it
        in.reset();
      }
      return name.endsWith("l")
          ? json(file, in)
          : csv(file, in, name.endsWith(".tsv") ? '\t' : ',');
    } catch (MalformedInputException e) {
      throw new IOException(file + ": is not UTF-8; save it with that encoding", e);
    }
  }

  private static List<Row> csv(Path file, BufferedReader in, char delimiter) throws IOException {
    var format =
        CSVFormat.DEFAULT
            .builder()
            .setDelimiter(delimiter)
            .setHeader()
            .setSkipHeaderRecord(true)
            .setTrim(true)
            .setDuplicateHeaderMode(DuplicateHeaderMode.ALLOW_ALL)
            .setAllowMissingColumnNames(true) // pandas writes its index without a name
            .get();
    var rows = new ArrayList<Row>();
    try (CSVParser parser = CSVParser.builder().setReader(in).setFormat(format).get()) {
      List<String> header = parser.getHeaderNames();
      for (String name : header) {
        if (!name.isEmpty() && header.indexOf(name) < header.lastIndexOf(name)) {
          throw new IOException("%s: has two columns '%s'".formatted(file, name));
        }
      }
      for (CSVRecord each : parser) {
        if (!each.isConsistent()) {
          throw new IOException(
              "%s, line %d: has %d fields, the header has %d"
                  .formatted(file, parser.getCurrentLineNumber(), each.size(), header.size()));
        }
        var cells = new LinkedHashMap<String, List<String>>();
        for (int i = 0; i < header.size(); i++) {
          if (!header.get(i).isEmpty()) {
            cells.put(header.get(i), List.of(each.get(i)));
          }
        }
        rows.add(new Row(parser.getCurrentLineNumber(), cells));
      }
      return rows;
    } catch (UncheckedIOException | IllegalArgumentException e) {
      if (e.getCause() instanceof MalformedInputException malformed) {
        throw malformed;
      }
      String reason = e.getCause() == null ? e.getMessage() : e.getCause().getMessage();
      throw new IOException(file + ": is not a table with a header: " + reason, e);
    }
  }

  private static List<Row> json(Path file, BufferedReader in) throws IOException {
    var rows = new ArrayList<Row>();
    long number = 0;
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      number++;
      if (line.isBlank()) {
        continue;
      }
      var cells = new LinkedHashMap<String, List<String>>();
      try {
        JSON.std
            .mapFrom(line)
            .forEach((name, value) -> {
              List<?> values =
                  value instanceof List<?> list ? list : List.of(value == null ? "" : value);
              if (values.stream().allMatch(TableRows::isText)) { // else it is no target
                cells.put(name, values.stream().map(String::valueOf).toList());
              }
            });
      } catch (IOException e) {
        throw new IOException(
            "%s, line %d: is not a JSON object; each line has one".formatted(file, number), e);
      }
      rows.add(new Row(number, cells));
    }
    return rows;
  }

  /** Whether a value of a JSON object can be the text of a target: no object, list or null. */
  static boolean isText(@Nullable Object value) {
    return value instanceof String || value instanceof Number || value instanceof Boolean;
  }
}
