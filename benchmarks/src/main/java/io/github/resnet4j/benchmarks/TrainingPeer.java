package io.github.resnet4j.benchmarks;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.tensor.Tensor;
import io.github.resnet4j.tensor.TorchRandom;
import io.github.resnet4j.train.Optimizer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;

/**
 * The resnet4j process of {@code peers/run training}: prints the initial loss. For each line on
 * standard input with a number of steps, it prints a line with the time of each step in seconds.
 * The end of input ends it.
 */
public final class TrainingPeer {
  private TrainingPeer() {}

  /**
   * @param arguments architecture, input (.npy), threads, precision; weights are initialized with
   *     seed 0, and the target of image n is class n
   */
  public static void main(String[] arguments) throws IOException {
    var spec = Architecture.named(arguments[0]);
    var network = ResNet.initialize(spec, TorchRandom.manualSeed(0));
    Tensor x = Npy.read(Path.of(arguments[1]));
    int batch = x.dim(0);
    float[] targets = new float[batch * spec.numClasses()];
    for (int n = 0; n < batch; n++) {
      targets[n * spec.numClasses() + n % spec.numClasses()] = 1;
    }
    var usual = TrainingSession.Options.of(batch, x.dim(2), x.dim(3));
    var options =
        new TrainingSession.Options(
            batch,
            x.dim(2),
            x.dim(3),
            Integer.parseInt(arguments[2]),
            usual.frozen(),
            false,
            0,
            usual.algorithm(),
            Precision.valueOf(arguments[3].toUpperCase(Locale.ROOT)),
            usual.kernels());
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (var session = new TrainingSession(network.layers(), network.state(), x.dim(1), options)) {
      var optimizer =
          new Optimizer(
              session,
              new Optimizer.Method.Sgd(0.9f, false),
              1e-4f,
              _ -> true,
              _ -> false,
              _ -> 1,
              0);
      System.out.println(session.accumulate(x.data(), targets, batch, 1));
      System.out.flush();
      for (String line = in.readLine(); line != null && !line.isBlank(); line = in.readLine()) {
        var answer = new StringBuilder();
        for (int i = Integer.parseInt(line); i > 0; i--) {
          long start = System.nanoTime();
          session.clearGradients();
          session.accumulate(x.data(), targets, batch, 1);
          optimizer.step(1e-3f);
          answer.append((System.nanoTime() - start) * 1e-9).append(' ');
        }
        System.out.println(answer);
        System.out.flush();
      }
    }
  }
}
