package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.Classifier;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.cli.Command.Run;
import io.github.resnet4j.tensor.Tensor;
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
        "completion bash",
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

  /** NaN is no prediction: the weights are named, or the input. */
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
  void weightsThatAreNotFiniteAreNamed(String arguments) throws IOException {
    for (float value : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
      Path resnet4j = home.resolve("resnet4j");
      Npy.write(resnet4j.resolve("zeros.npy"), Tensor.zeros(1, 3, 32, 32));
      Classifier digits = Classifier.embedded();
      digits.network().state().get("layer2.0.conv1.weight").data()[7] = value;
      digits.save(resnet4j.resolve("bad.pth"));
      Run run = shell("sh resnet4j " + arguments);
      assertEquals(
          "resnet4j: bad.pth: layer2.0.conv1.weight holds NaN or infinity; the weights are damaged,"
              + " or their training diverged\n",
          run.err());
      assertEquals("", run.out());
      assertEquals(1, run.code());
    }
  }

  @Test
  void anInputThatIsNotFiniteIsNamed() throws IOException {
    Path resnet4j = home.resolve("resnet4j");
    Classifier.embedded().save(resnet4j.resolve("good.pth"));
    Npy.write(resnet4j.resolve("nan.npy"), Tensor.filled(Float.NaN, 1, 3, 32, 32));
    Run run = shell("sh resnet4j forward -w good.pth -i nan.npy -o y.npy");
    assertEquals("resnet4j: nan.npy: holds NaN or infinity\n", run.err());
    assertEquals(1, run.code());
  }
}
