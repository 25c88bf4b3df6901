package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/**
 * The table that the launcher reads before Java starts matches the commands' annotations. To
 * regenerate it:
 *
 * <pre>
 * mvn test -pl cli -am -Dtest=LauncherTableTest -Dsurefire.failIfNoSpecifiedTests=false -Dtable.write=true
 * </pre>
 */
class LauncherTableTest {
  private static final Path TABLE = Path.of("src", "assembly", "commands.tsv");

  private static String row(Map.Entry<String, CommandLine> command) {
    Workload workload = command.getValue().getCommand().getClass().getAnnotation(Workload.class);
    String valued =
        command.getValue().getCommandSpec().options().stream()
            .filter(option -> option.arity().max() > 0)
            .flatMap(option -> List.of(option.names()).stream())
            .sorted()
            .collect(Collectors.joining(","));
    return "%s\t%s\t%s\n"
        .formatted(
            command.getKey(),
            (workload == null ? Workload.Kind.QUICK : workload.value())
                .name()
                .toLowerCase(Locale.ROOT),
            valued);
  }

  @Test
  void tableMatchesCommandLine() throws IOException {
    String expected =
        new CommandLine(new Main())
            .getSubcommands().entrySet().stream()
                .map(LauncherTableTest::row)
                .sorted()
                .collect(Collectors.joining());
    if (Boolean.getBoolean("table.write")) {
      Files.writeString(TABLE, expected);
    }
    assertEquals(expected, Files.readString(TABLE));
  }
}
