package io.github.resnet4j.benchmarks;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.checkpoint.Checkpoint;
import io.github.resnet4j.checkpoint.Npy;
import io.github.resnet4j.engine.Calibration;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Precision;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.tensor.Tensor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;

/**
 * The resnet4j process of {@code peers/run}: loads a network and a batch. For each line on standard
 * input with a number of runs, it prints a line with the time of each run in seconds. An empty line
 * or the end of input ends it.
 */
public final class Peer {
  private Peer() {}

  /**
   * @param arguments architecture, weights (.pth), input (.npy), output file for the logits (.npy),
   *     threads, precision
   */
  public static void main(String[] arguments) throws IOException {
    Tensor x = Npy.read(Path.of(arguments[2]));
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    try (Session session = compile(arguments, x)) {
      Tensor y = session.run(x);
      Npy.write(Path.of(arguments[3]), y);
      System.out.println(session.kernels());
      System.out.flush();
      for (String line = in.readLine(); line != null && !line.isBlank(); line = in.readLine()) {
        var answer = new StringBuilder();
        for (int i = Integer.parseInt(line); i > 0; i--) {
          long start = System.nanoTime();
          session.run(x, y);
          answer.append((System.nanoTime() - start) * 1e-9).append(' ');
        }
        System.out.println(answer);
        System.out.flush();
      }
    }
  }

  /** Compiles the network of the arguments; int8 is calibrated with the input. */
  static Session compile(String[] arguments, Tensor x) throws IOException {
    ResNet network;
    try (var checkpoint = Checkpoint.open(Path.of(arguments[1]))) {
      network = ResNet.load(Architecture.named(arguments[0]), checkpoint);
    }
    var options =
        CompileOptions.defaults()
            .withThreads(Integer.parseInt(arguments[4]))
            .withAlgorithm(CompileOptions.Algorithm.TUNED)
            .withPrecision(Precision.valueOf(arguments[5].toUpperCase(Locale.ROOT)));
    if (options.precision() == Precision.INT8) {
      try (var calibration = new Calibration(network.compile(CompileOptions.defaults()))) {
        calibration.observe(x);
        network = network.withQuantization(calibration.quantization(Calibration.Method.MIN_MAX));
      }
    }
    return network.compile(options);
  }
}
