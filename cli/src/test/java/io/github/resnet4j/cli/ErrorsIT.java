package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.cli.Command.Run;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the command says when something goes wrong, where that needs a process. */
class ErrorsIT {
  @TempDir private static Path home;
  @TempDir private Path folder;

  @BeforeAll
  static void unpack() throws IOException {
    Command.unpack(home);
  }

  private Run shell(String script) throws IOException {
    return new Command(home, folder).runProcess(Map.of(), "", List.of("sh", "-c", script));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "classify samples/",
        "features samples/digit-1.png",
        "models",
        "draw resnet18",
        "summary resnet50 -f json",
        "train --help",
        "--version",
      })
  @EnabledOnOs(OS.LINUX)
  void outputThatCannotBeWrittenIsAnError(String arguments) throws IOException {
    Run run = shell("sh resnet4j " + arguments + " > /dev/full");
    assertEquals(
        "resnet4j: standard output: cannot be written: No space left on device\n", run.err());
    assertEquals(1, run.code());
  }

  @Test
  void aReaderThatLeavesEarlyIsNoError() throws IOException {
    Run run = shell("{ sh resnet4j summary resnet152 -f csv; echo code $? >&2; } | head -n 1");
    assertEquals(1, run.lines().size());
    assertEquals("code 0\n", run.err());
  }
}
