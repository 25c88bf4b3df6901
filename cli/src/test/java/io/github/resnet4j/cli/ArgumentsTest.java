package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.ArgSpec;

/** Errors in the command line, without starting a process. */
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
        "bench --batch-size 1,0 | --batch-size must be 1 to 65536, was 0",
        "bench --warmup -4 | --warmup must be at least 0, was -4.0",
        "bench --warmup NaN | --warmup must be at least 0, was NaN",
        "plan --batch-size -1 | --batch-size must be 1 to 65536, was -1",
        "plan --seconds -1 | --seconds must be above 0, was -1.0",
        "plan --seconds Infinity | --seconds must be above 0, was Infinity",
        "plan --seconds soon | --seconds must be a number, was 'soon'",
        "diff a.pth b.pth --tolerance -1 | --tolerance must be at least 0, was -1.0",
        "train -d x -o y --epochs 0 | --epochs must be at least 1, was 0",
        "train -d x -o y --lr 0 | --lr must be above 0, was 0.0",
        "train -d x -o y --momentum 1 | --momentum must be at least 0 and below 1, was 1.0",
        "train -d x -o y --lr-factors fc=-1 | --lr-factors must be at least 0, was -1.0",
        "spark-train -d x -o y --class-weights balanced | --class-weights: spark-train has none;"
            + " use --sampling balanced, or 'train'",
        "spark-train -d x -o y --unfreeze fc=2 --local-steps 4 | --unfreeze: needs --local-steps 1",
        "serve --port 65536 | --port must be 0 to 65535, was 65536",
        "serve --grpc-port -2 | --grpc-port must be -1 to 65535, was -2",
        "export x.onnx --opset 9 | --opset must be 13 to 23, was 9",
        "summary resnet18 --depth 0 | --depth must be at least 1, was 0",
      })
  void outOfRangeNumbersAreRejected(String line, String error) {
    Outcome outcome = run(line.split(" "));
    String command = line.substring(0, line.indexOf(' '));
    assertEquals(
        "resnet4j: %s%nTry 'resnet4j %s --help'.%n".formatted(error, command), outcome.err());
    assertEquals(2, outcome.code());
  }

  @Test
  void everyNumericOptionHasARange() {
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
        "classify --batch 8 x.png | Unknown option: '--batch' (did you mean --batch-size?) |"
            + " classify",
        "train -d x -o y --warmup 5 | Unknown option: '--warmup' (did you mean --lr-warmup-epochs?)"
            + " | train",
        "train -d x -o y --jitter 0.3 | Unknown option: '--jitter' (did you mean --color-jitter?) |"
            + " train",
        "classify --label=x x.png | Unknown option: '--label' (did you mean --labels?) | classify",
        "clasify x.png | Unknown command: 'clasify' (did you mean classify?) |",
        "help trian | Unknown command: 'trian' (did you mean train?) |",
        "models -f jsno | --format must be text, markdown, json or csv, was 'jsno' (did you mean"
            + " json?) | models",
        "train -d x -o y --lr-scheduler one-cicle | --lr-scheduler must be constant, cosine, steps,"
            + " plateau or one_cycle, was 'one-cicle' (did you mean one_cycle?) | train",
        "train | Missing required options: '--data=DIR', '--output=DIR' | train",
        "quantize --calibration-data x y.safetensors | Missing required parameter: 'OUT'; name it"
            + " before --calibration-data, which takes all following arguments | quantize",
        "convert | Missing required parameters: 'IN', 'OUT' | convert",
        "'' | Missing required subcommand |",
      })
  void unknownNamesAreRejectedWithASuggestion(String line, String error, String command) {
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
            + " 'resnet4j models' lists all 107",
        "draw resnet-50 | no network is named 'resnet-50' (did you mean resnet50?);"
            + " 'resnet4j models' lists all 107",
        "classify -m resnet51 x.png | --model: no network is named 'resnet51' (did you mean"
            + " resnet50 or resnet56?); 'resnet4j models' lists all 107",
        "train -d x -o y -m resnet51 | --model: no network is named 'resnet51' (did you mean"
            + " resnet50 or resnet56?); 'resnet4j models' lists all 107",
        "bench -m resnet51 | --model: no network is named 'resnet51' (did you mean resnet50 or"
            + " resnet56?); 'resnet4j models' lists all 107",
        "train -d x -o y -m resnet8 --recipe papr | --recipe: no recipe is named 'papr' (did you"
            + " mean paper?); there are finetune, paper, cifar, torchvision-v1, torchvision-v2,"
            + " small-images",
        "train -d x -o y -m resnet8 --freeze layre1 | --freeze: the network has no layer 'layre1'"
            + " (did you mean layer1?); 'resnet4j summary' lists them",
        "train -d x -o y -m resnet8 --lr-factors layre1=2 | --lr-factors: the network has no layer"
            + " 'layre1' (did you mean layer1?); 'resnet4j summary' lists them",
        "train -d x -o y -m resnet8 --lr-factors layer1 | --lr-factors must be LAYER=FACTOR,"
            + " was 'layer1'",
        "explain --method gradcma x.png | --method must be gradcam, gradcam++, eigencam or"
            + " occlusion, was 'gradcma' (did you mean gradcam?)",
        "explain --layer layre2 x.png | --layer: the network has no layer 'layre2' (did you mean"
            + " layer2?); 'resnet4j summary' lists them",
        "features --layer layre2 ../samples | --layer: the network has no layer 'layre2' (did you"
            + " mean layer2?); 'resnet4j summary' lists them",
        "explain --class 11 x.png | --class must be a name or 0 to 9, was 11",
        "explain --class seven x.png | --class: no class is named 'seven'",
        "draw resnet18 --figure stage:9 -o x.svg | --figure: stage 9: the network has stages 1 to"
            + " 4",
        "bench -m resnet18,resnet19 | --model: no network is named 'resnet19' (did you mean"
            + " resnet18?); 'resnet4j models' lists all 107",
        "summary resnet18 --input-size 224 | --input-size must be like 3x224x224, was '224'",
        "weights --download resnet50:IMAGENET1K_V3 | --download: resnet50 has no weights"
            + " 'IMAGENET1K_V3' (did you mean IMAGENET1K_V1 or IMAGENET1K_V2?); there are DEFAULT,"
            + " IMAGENET1K_V1, IMAGENET1K_V2",
        "similar x.png y -o sheet.jpg | --output must end in .png, was 'sheet.jpg'",
        "inspect x.pth --histograms h.svg | --histograms must end in .png, was 'h.svg'",
        "explain x.png --heatmap v.csv | --heatmap must end in .npy, was 'v.csv'",
        "forward -i x.npy -o y.txt | --output must end in .npy or .safetensors, was 'y.txt'",
        "draw resnet18 -o x.gif | --output must end in .svg, .png, .mmd or .dot, was 'x.gif'",
        "convert a.pth b.onnx | OUT must end in .safetensors, .pth, .pt or .bin, was 'b.onnx'",
        "import a.onnx b.onnx | OUT must end in .safetensors, .pth, .pt or .bin, was 'b.onnx'",
        "quantize b.pth --calibration-data x | OUT must end in .safetensors, was 'b.pth'",
        "export b.pb | OUT must end in .onnx, was 'b.pb'",
      })
  void invalidValuesNameTheirOption(String line, String error) {
    Outcome outcome = run(line.split(" "));
    String command = line.substring(0, line.indexOf(' '));
    assertEquals(
        "resnet4j: %s%nTry 'resnet4j %s --help'.%n".formatted(error, command), outcome.err());
    assertEquals(2, outcome.code());
  }

  @Test
  void networkNameGivenAsWeightsIsExplained() {
    Outcome outcome = run("classify", "-w", "resnet50", "x.png");
    assertEquals(
        "resnet4j: resnet50: is a network: name it with --model, and its weights with --weights"
            + " DEFAULT or a file"
            + System.lineSeparator(),
        outcome.err());
    assertEquals(1, outcome.code());
  }

  /** The inputs do not exist, so the outputs must be checked before anything is read. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "forward -w no.pth -i no.npy -o | --output | y.npy",
        "convert no.pth | OUT | y.pth",
        "quantize --calibration-data no -n 8 | OUT | y.safetensors",
        "export -w no.pth | OUT | y.onnx",
        "import no.onnx | OUT | y.pth",
        "train -d no -m resnet8 -o | --output | run",
        "evaluate -d no --confusion-matrix | --confusion-matrix | y.csv",
        "curves no -o | --output | chart",
        "explain no.png -o | --output | y.png",
        "explain no.png --heatmap | --heatmap | y.npy",
        "features no -o | --output | y.npy",
        "similar no.png no -o | --output | y.png",
        "similar no.png no --index | --index | y",
        "inspect no.pth --histograms | --histograms | y.png",
        "draw no.pth -o | --output | y.svg",
        "compare no.pth -o | --output | chart",
        "spark-train -d no -m resnet8 -o | --output | run",
      })
  void unwritableOutputsFailBeforeInputsAreRead(
      String line, String option, String name, @TempDir Path folder) throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "");
    Path output = file.resolve(name);
    var words = new ArrayList<>(List.of(line.split(" ")));
    words.add(output.toString());
    Outcome outcome = run(words.toArray(String[]::new));
    assertTrue(
        outcome.err().startsWith("resnet4j: %s %s: cannot be written: ".formatted(option, output)),
        outcome.err());
    assertEquals(1, outcome.err().lines().count(), outcome.err());
    assertEquals(1, outcome.code());
    assertEquals(0, Files.size(file));
  }

  @Test
  void everyOutputPathIsChecked() {
    var inputs =
        List.of(
            "--preprocessing",
            "--labels",
            "--data",
            "--val-data",
            "--ground-truth",
            "--val",
            "DATA",
            "--input",
            "--expected",
            "--model-repository",
            "--token-file",
            "--tls-certificate",
            "--tls-key",
            "IN",
            "CHECKPOINT",
            "IMAGE",
            "QUERY",
            "DIR",
            "A",
            "B");
    var others = new ArrayList<String>();
    for (CommandLine command : new CommandLine(new Main()).getSubcommands().values()) {
      for (ArgSpec argument : command.getCommandSpec().args()) {
        String name =
            argument instanceof CommandLine.Model.OptionSpec option
                ? option.longestName()
                : argument.paramLabel();
        if (argument.type() == Path.class
            && ((Field) argument.userObject()).getAnnotation(Output.class) == null
            && !inputs.contains(name)) {
          others.add(command.getCommandName() + " " + name);
        }
      }
    }
    assertEquals(List.of("serve --access-log"), others); // is appended to by the server
  }

  @Test
  void enumValuesIgnoreCase() {
    assertTrue(run("models", "-f", "JSON", "--nonsense").err().contains("'--nonsense'"));
  }
}
