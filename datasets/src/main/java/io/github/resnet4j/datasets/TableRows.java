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

/** The rows of a file: CSV, TSV, or JSON lines. */
final class TableRows {
  /**
   * A row.
   *
   * @param line the line in the file where it ends, counted from 1
   * @param cells by column: a text, or several if the cell is a list
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
            .setDuplicateHeaderMode(DuplicateHeaderMode.DISALLOW)
            .get();
    var rows = new ArrayList<Row>();
    try (CSVParser parser = CSVParser.builder().setReader(in).setFormat(format).get()) {
      List<String> header = parser.getHeaderNames();
      for (CSVRecord each : parser) {
        if (!each.isConsistent()) {
          throw new IOException(
              "%s, line %d: has %d fields, the header has %d"
                  .formatted(file, parser.getCurrentLineNumber(), each.size(), header.size()));
        }
        var cells = new LinkedHashMap<String, List<String>>();
        for (int i = 0; i < header.size(); i++) {
          cells.put(header.get(i), List.of(each.get(i)));
        }
        rows.add(new Row(parser.getCurrentLineNumber(), cells));
      }
      return rows;
    } catch (UncheckedIOException | IllegalArgumentException e) {
      throw new IOException(file + ": is not a table with a header: " + e.getMessage(), e);
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
        for (Map.Entry<String, Object> entry : JSON.std.mapFrom(line).entrySet()) {
          cells.put(entry.getKey(), texts(entry.getValue()));
        }
      } catch (IOException e) {
        throw new IOException("%s, line %d: is not a JSON object".formatted(file, number), e);
      }
      rows.add(new Row(number, cells));
    }
    return rows;
  }

  private static List<String> texts(Object value) {
    return value instanceof List<?> list
        ? list.stream().map(String::valueOf).toList()
        : List.of(String.valueOf(value));
  }
}
