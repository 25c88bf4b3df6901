package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Model;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.cli.Command.Run;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Error messages that only a process shows. */
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
        "completion bash",
        "train --help",
        "--version",
      })
  @EnabledOnOs(OS.LINUX)
  void unwritableStdoutIsAnError(String arguments) throws IOException {
    Run run = shell("sh resnet4j " + arguments + " > /dev/full");
    assertEquals(
        "resnet4j: standard output: cannot be written: No space left on device\n", run.err());
    assertEquals(1, run.code());
  }

  @Test
  void closedPipeIsNoError() throws IOException {
    Run run = shell("{ sh resnet4j summary resnet152 -f csv; echo code $? >&2; } | head -n 1");
    assertEquals(1, run.lines().size());
    assertEquals("code 0\n", run.err());
  }

  /** NaN is never printed as a prediction: the error names the weights. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "classify -w bad.pth samples/digit-6.png",
        "features -w bad.pth samples/digit-6.png",
        "explain -w bad.pth samples/digit-6.png",
        "evaluate -w bad.pth -d digits",
        "export -w bad.pth bad.onnx",
        "forward -w bad.pth -i zeros.npy -o y.npy",
      })
  void nonFiniteWeightsAreNamed(String arguments) throws IOException {
    for (float value : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
      Path resnet4j = home.resolve("resnet4j");
      Npy.write(resnet4j.resolve("zeros.npy"), Tensor.zeros(1, 3, 32, 32));
      Model digits = Model.embedded();
      digits.network().state().get("layer2.0.conv1.weight").data()[7] = value;
      digits.save(resnet4j.resolve("bad.pth"));
      Run run = shell("sh resnet4j " + arguments);
      assertEquals(
          "resnet4j: bad.pth: layer2.0.conv1.weight contains NaN or infinity; the weights are"
              + " damaged, or the training diverged\n",
          run.err());
      assertEquals("", run.out());
      assertEquals(1, run.code());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "quan | quantize",
        "classify --pre | --precision --preprocessing",
        "train --lr-scheduler one | one_cycle",
        "classify --precision b | bf16",
        "models -f j | json",
      })
  void bashCompletesCommandsOptionsAndValues(String words, String completed) throws IOException {
    assumeTrue(Files.isExecutable(Path.of("/bin/bash")));
    String script =
        """
        compopt() { :; } # is for a terminal only
        eval "$(sh resnet4j completion bash)"
        COMP_WORDS=(resnet4j %s)
        COMP_CWORD=%d
        _complete_resnet4j
        echo "${COMPREPLY[@]}"
        """
            .formatted(words, words.split(" ").length);
    Run run =
        new Command(home, folder).runProcess(Map.of(), "", List.of("/bin/bash", "-c", script));
    assertEquals("", run.err());
    assertEquals(completed, run.out().strip());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "quantize q.safetensors --calibration-data nope/ | 1 | nope: does not exist",
        "quantize q.safetensors --calibration-data lib/ | 1 | no images in lib/",
        "classify nope/ | 1 | nope: does not exist",
        "features samples/ -o /dev/full -f jsonl | 1 | /dev/full: cannot be written: No space left"
            + " on device",
        "features samples/ -o /dev/full -f parquet | 1 | /dev/full: cannot be written: No space"
            + " left on device",
        "classify --labels lib samples/digit-6.png | 1 | --labels lib: is a folder, not a file",
        "serve --token-file lib | 1 | --token-file lib: is a folder, not a file",
        "serve --access-log none/log | 1 | --access-log none/log: cannot be written: there is no"
            + " folder ",
        "serve --host no.host.invalid | 1 | cannot listen at 'no.host.invalid' (--host): it is"
            + " neither an address nor a known host name; 127.0.0.1 accepts clients on this machine"
            + " only, 0.0.0.0 clients on any machine",
        "train -d digits -m resnet8 -o /proc/x | 1 | --output /proc/x: cannot be written: folder"
            + " /proc: new files are not allowed",
        "classify --labels imagenet-22k samples/digit-6.png | 1 | --labels imagenet-22k: has 21,841"
            + " labels, one per line, but the network has 10 classes",
      })
  @EnabledOnOs(OS.LINUX)
  void everyErrorIsOneLine(String arguments, int code, String error) throws IOException {
    Run run = shell("sh resnet4j " + arguments);
    assertTrue(run.err().startsWith("resnet4j: " + error), run.err());
    assertEquals(1, run.err().lines().count(), run.err());
    assertEquals(code, run.code());
    assertEquals("", run.out());
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void unwritableIndexCacheSuggestsIndexOption() throws IOException {
    Run run = shell("XDG_CACHE_HOME=/proc sh resnet4j similar samples/digit-6.png samples/");
    assertTrue(
        run.err()
            .matches(
                "resnet4j: the index /proc/resnet4j/index-[0-9a-f]+: cannot be written: folder"
                    + " /proc: new files are not allowed; choose another folder with --index\n"),
        run.err());
    assertEquals(1, run.code());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "convert large.pth out/x.safetensors --precision fp64",
        "features - -o out/x.npy",
        "features - -o out/x.jsonl",
        "features - -o out/x.parquet",
        "export out/x.onnx -w large.pth",
      })
  void interruptedCommandLeavesNoPartialFile(String arguments) throws Exception {
    Path resnet4j = home.resolve("resnet4j");
    Path out = folder.resolve("out");
    Files.createDirectories(out);
    if (arguments.contains("large.pth") && Files.notExists(resnet4j.resolve("large.pth"))) {
      ResNet.initialize(Architecture.named("wide_resnet101_2"), TorchRandom.manualSeed(0))
          .save(resnet4j.resolve("large.pth"), Map.of());
    }
    var words = new ArrayList<>(List.of("sh", "resnet4j"));
    words.addAll(List.of(arguments.replace("out/", out + "/").split(" ")));
    Path list = folder.resolve("list");
    Files.writeString(list, "samples/digit-6.png\n".repeat(300_000)); // for a minute
    Process process =
        new ProcessBuilder(words)
            .directory(resnet4j.toFile())
            .redirectInput(list.toFile())
            .redirectErrorStream(true)
            .redirectOutput(folder.resolve("output").toFile())
            .start();
    String message = "the command ended before its file was begun: ";
    for (int i = 0; files(out).isEmpty() && i < 6000; i++) {
      assertTrue(process.isAlive(), () -> message + arguments);
      Thread.sleep(10);
    }
    assertFalse(files(out).isEmpty(), message + Files.readString(folder.resolve("output")));
    process.destroy(); // SIGTERM, which the JVM answers as Ctrl-C
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    assertEquals(143, process.exitValue());
    assertEquals(List.of(), files(out));
  }

  private static List<Path> files(Path folder) throws IOException {
    try (var files = Files.list(folder)) {
      return files.toList();
    }
  }

  @Test
  void nonFiniteInputIsNamed() throws IOException {
    Path resnet4j = home.resolve("resnet4j");
    Model.embedded().save(resnet4j.resolve("good.pth"));
    Npy.write(resnet4j.resolve("nan.npy"), Tensor.filled(Float.NaN, 1, 3, 32, 32));
    Run run = shell("sh resnet4j forward -w good.pth -i nan.npy -o y.npy");
    assertEquals("resnet4j: nan.npy: contains NaN or infinity\n", run.err());
    assertEquals(1, run.code());
  }
}
