package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.googlejavaformat.java.Formatter;
import com.google.googlejavaformat.java.FormatterException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * All sources have the format of google-java-format. This is a test because the formatter must run
 * on the JDK whose language it reads, and Maven may run on an older one. To format them:
 *
 * <pre>mvn test -pl core -Dtest=SourceFormatTest -Dformat.write=true</pre>
 */
class SourceFormatTest {
  private static final boolean WRITE = Boolean.getBoolean("format.write");

  @Test
  void sourcesAreFormatted() throws IOException, FormatterException {
    var formatter = new Formatter();
    var unformatted = new ArrayList<Path>();
    int seen = 0;
    try (Stream<Path> modules = Files.list(Path.of(".."))) {
      for (Path module : modules.filter(m -> Files.isDirectory(m.resolve("src"))).toList()) {
        try (Stream<Path> files = Files.walk(module.resolve("src"))) {
          for (Path file : files.filter(f -> f.toString().endsWith(".java")).toList()) {
            seen++;
            String source = Files.readString(file);
            String formatted = formatter.formatSourceAndFixImports(source);
            if (!formatted.equals(source)) {
              if (WRITE) {
                Files.writeString(file, formatted);
              } else {
                unformatted.add(file);
              }
            }
          }
        }
      }
    }
    assertTrue(seen > 10, "no sources found from " + Path.of("").toAbsolutePath());
    assertTrue(
        unformatted.isEmpty(),
        "not formatted; run mvn test -pl core -Dtest=SourceFormatTest -Dformat.write=true: "
            + unformatted);
  }
}
