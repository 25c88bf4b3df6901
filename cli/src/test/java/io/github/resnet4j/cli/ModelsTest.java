package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

/** The list of networks: grouped, searched. */
class ModelsTest {
  private static List<String> lines(String... arguments) throws Exception {
    var out = new ByteArrayOutputStream();
    PrintStream stdout = System.out;
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    try {
      var command = new ModelsCommand();
      new CommandLine(command).setCaseInsensitiveEnumValuesAllowed(true).parseArgs(arguments);
      command.call();
    } finally {
      System.setOut(stdout);
    }
    return out.toString(StandardCharsets.UTF_8).lines().toList();
  }

  @Test
  void fitsOneScreenWithoutArguments() throws Exception {
    List<String> lines = lines();
    assertTrue(lines.size() < 50, lines.toString());
    assertTrue(lines.contains("resnet: residual networks, arXiv 1512.03385"), lines.toString());
    assertTrue(lines.contains("  wide_resnet50_2  wide_resnet101_2"), lines.toString());
    lines.forEach(line -> assertTrue(line.length() <= 80, line));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "gn | resnet50_gn",
        "--family gn | resnet50_gn",
        "aa | resnetaa34d resnetaa50 resnetaa50d resnetaa101d",
        "seresnetAA seresnextaa1 | seresnetaa50d seresnextaa101d_32x8d",
        "resnet5? | resnet50 resnet56",
        "--family CIFAR v2 | resnetv2_164 resnetv2_1001",
        "wide_resnet | wide_resnet50_2 wide_resnet101_2",
      })
  void findsFamiliesAndNames(String arguments, String names) throws Exception {
    List<String> found =
        lines((arguments + " -f csv").split(" ")).stream()
            .skip(1)
            .map(line -> line.substring(0, line.indexOf(',')))
            .toList();
    assertEquals(List.of(names.split(" ")), found);
  }

  /** Multiply-adds and parameters as in the paper's table 1 and torchvision's documentation. */
  @Test
  void tableHasSizes() throws Exception {
    assertEquals(
        List.of(
            "model,family,block,blocks,groups,width,classes,parameters,multiply_adds_G,state_dict,"
                + "weights",
            "resnet50,resnet,bottleneck,3-4-6-3,1,64,1000,25557032,4.089,320,"
                + "IMAGENET1K_V1 IMAGENET1K_V2"),
        lines("--family", "resnet", "resnet50", "-f", "csv"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "resnet51 | no network matches 'resnet51' (did you mean resnet50 or resnet56?); "
            + "'resnet4j models' lists all",
        "se --family bit | no network matches 'se' in the family bit; 'resnet4j models' lists all",
        "[50 | '[50' is not a pattern: Missing ']",
      })
  void errorsSayWhatToDo(String arguments, String message) {
    var error = assertThrows(IllegalArgumentException.class, () -> lines(arguments.split(" ")));
    assertEquals(message, error.getMessage());
  }
}
