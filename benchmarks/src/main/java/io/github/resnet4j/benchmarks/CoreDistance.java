package io.github.resnet4j.benchmarks;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNet;
import io.github.resnet4j.engine.CompileOptions;
import io.github.resnet4j.engine.Session;
import io.github.resnet4j.engine.StepTime;
import io.github.resnet4j.tensor.TorchRandom;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;

/**
 * Measures the steps of a network on two threads, separately for cores that are near to each other
 * and for cores that are far apart. A hypervisor may move the cores of a virtual machine at any
 * time; on processors whose cores share a third-level cache in groups, a core that is moved to
 * another group needs several times as long to read what the other one wrote. So the time that a
 * message between two threads takes is measured before and after each round of 0.4 s; rounds during
 * which it changes are not counted.
 */
public final class CoreDistance {
  private static final int IMAGE_SIZE = 224;

  private static final int MESSAGES = 20_000;

  /** A round trip longer than this, in nanoseconds, is one between groups of cores. */
  private static final double FAR = 200;

  private static volatile int message;

  private CoreDistance() {}

  /**
   * @param arguments the name of a network, the number of rounds
   */
  public static void main(String[] arguments) throws InterruptedException {
    int rounds = Integer.parseInt(arguments[1]);
    var near = new LinkedHashMap<String, List<Double>>();
    var far = new LinkedHashMap<String, List<Double>>();
    var network = ResNet.initialize(Architecture.named(arguments[0]), TorchRandom.manualSeed(0));
    try (Session session = network.compile(CompileOptions.defaults().withThreads(2))) {
      for (int r = 0; r < rounds; r++) {
        boolean isFar = roundTrip() > FAR;
        List<StepTime> steps = session.measure(1, IMAGE_SIZE, IMAGE_SIZE, 400_000_000L);
        if (roundTrip() > FAR == isFar) {
          for (StepTime step : steps) {
            (isFar ? far : near)
                .computeIfAbsent(step.name(), _ -> new ArrayList<>())
                .add(step.seconds() * 1000);
          }
        }
      }
    }
    print(near, far, System.out);
  }

  /** The time of a message to another thread and back, in nanoseconds. */
  private static double roundTrip() throws InterruptedException {
    message = 0;
    Thread other =
        Thread.ofPlatform()
            .start(() -> {
              for (int i = 0; i < MESSAGES; i++) {
                await(2 * i + 1);
                message = 2 * i + 2;
              }
            });
    long start = 0;
    for (int i = 0; i < MESSAGES; i++) {
      if (i == MESSAGES / 2) {
        start = System.nanoTime(); // the loops are compiled now
      }
      message = 2 * i + 1;
      await(2 * i + 2);
    }
    double time = (System.nanoTime() - start) / (MESSAGES / 2.0);
    other.join();
    return time;
  }

  private static void await(int expected) {
    while (message != expected) {
      Thread.onSpinWait();
    }
  }

  private static void print(
      LinkedHashMap<String, List<Double>> near,
      LinkedHashMap<String, List<Double>> far,
      PrintStream out) {
    out.printf("%-24s %12s %12s%n", "milliseconds", "near", "far");
    double allNear = 0;
    double allFar = 0;
    for (String step : (near.isEmpty() ? far : near).keySet()) {
      double timeNear = median(near.getOrDefault(step, List.of()));
      double timeFar = median(far.getOrDefault(step, List.of()));
      out.printf("%-24s %12.3f %12.3f%n", step, timeNear, timeFar);
      allNear += timeNear;
      allFar += timeFar;
    }
    out.printf("%-24s %12.3f %12.3f%n", "all", allNear, allFar);
    int rounds = near.values().stream().mapToInt(List::size).max().orElse(0);
    int farRounds = far.values().stream().mapToInt(List::size).max().orElse(0);
    out.printf("%-24s %12d %12d%n", "rounds", rounds, farRounds);
  }

  private static double median(List<Double> values) {
    return values.isEmpty()
        ? Double.NaN
        : values.stream().sorted().skip(values.size() / 2).findFirst().orElseThrow();
  }
}
