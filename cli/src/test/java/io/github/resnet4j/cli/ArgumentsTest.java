package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;

/** What the command line is refused for, without a process. */
class ArgumentsTest {
  private record Outcome(int code, String err) {}

  private static Outcome run(String... arguments) {
    PrintStream before = System.err;
    var bytes = new ByteArrayOutputStream();
    System.setErr(new PrintStream(bytes, true, StandardCharsets.UTF_8));
    try {
      return new Outcome(
          Main.execute(new Main(), arguments), bytes.toString(StandardCharsets.UTF_8));
    } finally {
      System.setErr(before);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "classify --top 0 x.png | --top must be at least 1, was 0",
        "classify --threads 0 x.png | --threads must be 1 to 1024, was 0",
        "classify --threads -1 x.png | --threads must be 1 to 1024, was -1",
        "classify --threads many x.png | --threads must be a whole number, was 'many'",
        "classify --top 99999999999 x.png | --top must be at most 2147483647, was 99999999999",
        "classify --max-pixels 0 x.png | --max-pixels must be at least 1, was 0",
        "bench --batch 1,0 | --batch must be 1 to 65536, was 0",
        "bench --warm-up -4 | --warm-up must be at least 0, was -4.0",
        "bench --warm-up NaN | --warm-up must be at least 0, was NaN",
        "plan --batch -1 | --batch must be 1 to 65536, was -1",
        "plan --seconds -1 | --seconds must be above 0, was -1.0",
        "plan --seconds Infinity | --seconds must be above 0, was Infinity",
        "plan --seconds soon | --seconds must be a number, was 'soon'",
        "diff a.pth b.pth --tolerance -1 | --tolerance must be at least 0, was -1.0",
        "train -d x -o y --epochs 0 | --epochs must be at least 1, was 0",
        "train -d x -o y --lr 0 | --lr must be above 0, was 0.0",
        "train -d x -o y --momentum 1 | --momentum must be at least 0 and below 1, was 1.0",
        "train -d x -o y --rates fc=-1 | --rates must be at least 0, was -1.0",
        "serve --port 65536 | --port must be 0 to 65535, was 65536",
        "serve --grpc-port -2 | --grpc-port must be -1 to 65535, was -2",
        "export x.onnx --opset 9 | --opset must be 13 to 23, was 9",
        "summary resnet18 --depth 0 | --depth must be at least 1, was 0",
      })
  void numbersOutOfRangeAreRefusedByTheirOption(String line, String error) {
    Outcome outcome = run(line.split(" "));
    String command = line.substring(0, line.indexOf(' '));
    assertEquals(
        "resnet4j: %s%nTry 'resnet4j %s --help'.%n".formatted(error, command), outcome.err());
    assertEquals(2, outcome.code());
  }

  @Test
  void everyNumberOfTheCommandLineHasARange() {
    var without = new ArrayList<String>();
    var commands = new CommandLine(new Main());
    for (CommandLine command : commands.getSubcommands().values()) {
      for (ArgSpec argument : command.getCommandSpec().args()) {
        boolean number = isNumber(argument.type());
        for (Class<?> type : argument.auxiliaryTypes()) {
          number |= isNumber(type);
        }
        if (number && ((Field) argument.userObject()).getAnnotation(Range.class) == null) {
          without.add(command.getCommandName() + " " + argument);
        }
      }
    }
    assertEquals(List.of(), without);
  }

  private static boolean isNumber(Class<?> type) {
    return Number.class.isAssignableFrom(type) || type.isPrimitive() && type != boolean.class;
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "classify --tpo 3 x.png | Unknown option: '--tpo' (did you mean --top?) | classify",
        "classify --label=x x.png | Unknown option: '--label' (did you mean --labels?) | classify",
        "clasify x.png | Unknown command: 'clasify' (did you mean classify?) |",
        "help trian | Unknown command: 'trian' (did you mean train?) |",
        "models -f jsno | --format must be text, markdown, json or csv, was 'jsno' (did you mean"
            + " json?) | models",
        "train -d x -o y --schedule one-cicle | --schedule must be constant, cosine, steps, plateau"
            + " or one_cycle, was 'one-cicle' (did you mean one_cycle?) | train",
        "train | Missing required options: '--data=DIR', '--output=DIR' | train",
        "'' | Missing required subcommand |",
      })
  void unknownWordsAreRefusedWithASuggestion(String line, String error, String command) {
    Outcome outcome = run(line.isEmpty() ? new String[0] : line.split(" "));
    assertEquals(
        "resnet4j: %s%nTry 'resnet4j%s --help'.%n"
            .formatted(error, command == null ? "" : " " + command),
        outcome.err());
    assertEquals(2, outcome.code());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "summary ResNet50 | no network is named 'ResNet50' (did you mean resnet50?);"
            + " 'resnet4j models' lists all 65",
        "draw resnet-50 | no network is named 'resnet-50' (did you mean resnet50?);"
            + " 'resnet4j models' lists all 65",
        "classify -w resnet50 x.png | resnet50: is a network: name it with --model, and its weights"
            + " with --weights DEFAULT or a file",
        "weights --download resnet50:IMAGENET1K_V3 | resnet50 has no weights 'IMAGENET1K_V3' (did"
            + " you mean IMAGENET1K_V1 or IMAGENET1K_V2?); there are DEFAULT, IMAGENET1K_V1,"
            + " IMAGENET1K_V2",
      })
  void unknownNamesAreRefusedWithASuggestion(String line, String error) {
    Outcome outcome = run(line.split(" "));
    assertEquals("resnet4j: " + error + System.lineSeparator(), outcome.err());
    assertEquals(1, outcome.code());
  }

  @Test
  void wordsAreTakenInAnyCase() {
    assertTrue(run("models", "-f", "JSON", "--nonsense").err().contains("'--nonsense'"));
  }
}
