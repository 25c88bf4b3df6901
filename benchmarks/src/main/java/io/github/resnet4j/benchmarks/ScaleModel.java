package io.github.resnet4j.benchmarks;

import io.github.resnet4j.figures.LineChart;
import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.figures.LineChart.Scale;
import io.github.resnet4j.figures.LineChart.Stroke;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;
import java.util.SplittableRandom;
import java.util.function.ToDoubleFunction;

/**
 * Predicts the time of Spark jobs with many executors: formulas, and a task-by-task simulation to
 * verify them. Prints the tables of {@code docs/scale.md} and draws its charts. A megabyte is 10⁶
 * bytes; times are in seconds.
 */
public final class ScaleModel {
  private static final double IMAGES = 100e6;
  private static final double IMAGENET = 1_281_167;

  /**
   * The measured cost of a network.
   *
   * @param classify images per second and core, decoding included
   * @param train training images per second and core, decoding and augmentation included
   * @param megabytes the size of its weights
   */
  record Network(String name, double classify, double train, double megabytes) {}

  private static final Network RESNET50 = new Network("resnet50", 29.6, 8.2, 102.2);

  /** Seconds for a round without data transfer: the scheduling of two stages. */
  private static final double ROUND = 0.10;

  /** Seconds for the driver to serialize a megabyte of a broadcast. */
  private static final double SEND = 0.0005;

  /** Seconds for an executor to receive and deserialize a megabyte of a broadcast. */
  private static final double FETCH = 0.0022;

  /** Seconds to receive and add a megabyte of a contribution. */
  private static final double RECEIVE = 0.00115;

  /** Seconds until the first task of a job runs, with warm JVMs and packed weights. */
  private static final double START = 9;

  // Assumptions about the cluster.
  private static final int CORES = 8;
  private static final double NIC = 1250; // MB/s: 10 Gb/s
  private static final double STORE = 40_000; // MB/s of the object store in total
  private static final double IMAGE = 0.11; // MB, the mean of ImageNet
  private static final double TASKS = 1000; // tasks per second that a driver schedules
  private static final double SPREAD = 0.1; // relative standard deviation of task times
  private static final double ARRIVAL = 20; // seconds within which executors start
  private static final double LIFE = 10 * 86_400; // mean seconds until an executor fails
  private static final double REPLACED = 60; // seconds until it is replaced

  private ScaleModel() {}

  // --- inference -------------------------------------------------------------------------------

  /** The number of images per task: small enough for a short last wave, from 250 to 1,000. */
  private static double imagesOfATask(int executors) {
    return Math.max(250, Math.min(1000, IMAGES / (20.0 * executors * CORES)));
  }

  /** Seconds of a task on one core: the maximum of computing and reading. */
  private static double task(Network network, int executors) {
    double bandwidth = Math.min(NIC, STORE / executors) / CORES;
    return imagesOfATask(executors) * Math.max(1 / network.classify, IMAGE / bandwidth);
  }

  /** Seconds to classify all images. */
  static double inference(Network network, int executors) {
    double tasks = IMAGES / imagesOfATask(executors);
    double one = task(network, executors);
    double slots = (double) executors * CORES;
    // Executors start over time; at the end, the mean wait is half a task.
    double busy = Math.max(tasks * one / slots, tasks / TASKS);
    double lost = busy / LIFE * (REPLACED + one / 2);
    return START + ARRIVAL / 2 + busy + one / 2 + lost;
  }

  /**
   * Simulates the same job task by task: executors start and fail, the driver schedules one task at
   * a time.
   */
  static double simulateInference(Network network, int executors, long seed) {
    var random = new SplittableRandom(seed);
    long tasks = Math.round(IMAGES / imagesOfATask(executors));
    double one = task(network, executors);
    record Slot(int executor, double free) {}
    var slots = new PriorityQueue<Slot>(Comparator.comparingDouble(Slot::free));
    double[] failure = new double[executors];
    for (int e = 0; e < executors; e++) {
      double start = START + ARRIVAL * random.nextDouble();
      failure[e] = start + exponential(random, LIFE);
      for (int c = 0; c < CORES; c++) {
        slots.add(new Slot(e, start));
      }
    }
    double driver = START;
    double end = 0;
    while (tasks > 0) {
      Slot slot = slots.remove();
      driver = Math.max(driver, slot.free) + 1 / TASKS;
      double done = driver + one * lognormal(random);
      if (done > failure[slot.executor]) {
        // The task is scheduled again; the other slots of the executor detect the failure
        // themselves.
        double back = Math.max(slot.free, failure[slot.executor]) + REPLACED;
        if (slot.free >= failure[slot.executor] + REPLACED) {
          failure[slot.executor] = slot.free + exponential(random, LIFE);
          back = slot.free;
        }
        slots.add(new Slot(slot.executor, back));
        continue;
      }
      tasks--;
      end = Math.max(end, done);
      slots.add(new Slot(slot.executor, done));
    }
    return end;
  }

  // --- training --------------------------------------------------------------------------------

  /**
   * A training configuration.
   *
   * @param batch images per executor and step
   * @param localSteps steps between two averages
   */
  record Configuration(String name, int cores, int batch, int localSteps) {
    /** Megabytes per direction: weights or gradients, and momentum for local steps. */
    double megabytes(Network network) {
      return network.megabytes * (localSteps > 1 ? 2 : 1);
    }

    double compute(Network network) {
      return localSteps * batch / (network.train * cores);
    }
  }

  /** The number of groups in Spark's treeAggregate of depth 2; 1 if it has no second stage. */
  static int groups(int partitions) {
    int scale = Math.max((int) Math.ceil(Math.sqrt(partitions)), 2);
    return partitions > scale + Math.ceil((double) partitions / scale) ? partitions / scale : 1;
  }

  /** Seconds to add all contributions. */
  static double reduce(double megabytes, int executors) {
    double each = megabytes * Math.max(RECEIVE, 1 / NIC);
    int groups = groups(executors);
    return groups == 1
        ? executors * each
        : Math.ceilDiv(executors, groups) * each + groups * each + ROUND / 2;
  }

  /**
   * Seconds until all executors have a broadcast, in blocks of 4 MB that executors also exchange.
   */
  static double broadcast(double megabytes, int executors) {
    double hops = Math.log(executors) / Math.log(2);
    double each = Math.max(FETCH, 1 / NIC);
    return megabytes * (SEND + each) + hops * 4 * each;
  }

  /** Seconds of a round. */
  static double round(Network network, Configuration configuration, int executors) {
    double megabytes = configuration.megabytes(network);
    // The expected maximum over all executors.
    double slowest = 1 + SPREAD * Math.sqrt(2 * Math.log(executors));
    return ROUND
        + broadcast(megabytes, executors)
        + configuration.compute(network) * slowest
        + reduce(megabytes, executors);
  }

  /** Simulates a round: exchange of blocks, tasks of different duration, one receiver. */
  static double simulateRound(
      Network network, Configuration configuration, int executors, SplittableRandom random) {
    double megabytes = configuration.megabytes(network);
    double[] ready = broadcastTimes(megabytes, executors, random);
    double[] done = new double[executors];
    for (int e = 0; e < executors; e++) {
      done[e] = ready[e] + configuration.compute(network) * lognormal(random);
    }
    double each = megabytes * Math.max(RECEIVE, 1 / NIC);
    int groups = groups(executors);
    if (groups == 1) {
      return ROUND + receive(done, each);
    }
    // The second stage starts after the first.
    double stage = Arrays.stream(done).max().orElseThrow() + ROUND / 2;
    double[] sums = new double[groups];
    for (int g = 0; g < groups; g++) {
      int members = executors / groups + (g < executors % groups ? 1 : 0);
      sums[g] = stage + members * each;
    }
    return ROUND + receive(sums, each);
  }

  /** The time when the last of them has been received, one at a time in order of arrival. */
  private static double receive(double[] arrivals, double each) {
    double[] sorted = arrivals.clone();
    Arrays.sort(sorted);
    double time = 0;
    for (double one : sorted) {
      time = Math.max(time, one) + each;
    }
    return time;
  }

  /** The time when each executor has all blocks; it fetches a block from a random holder. */
  private static double[] broadcastTimes(double megabytes, int executors, SplittableRandom random) {
    int blocks = (int) Math.ceil(megabytes / 4);
    double begin = megabytes * SEND;
    double upload = 4 / NIC;
    double own = 4 * Math.max(FETCH, 1 / NIC);
    var holders = new ArrayList<List<Integer>>();
    for (int b = 0; b < blocks; b++) {
      holders.add(new ArrayList<>(List.of(executors))); // the driver
    }
    double[] free = new double[executors + 1]; // when a machine can send next
    int[] have = new int[executors];
    int[] offset = new int[executors];
    var next = new PriorityQueue<double[]>(Comparator.comparingDouble(each -> each[0]));
    for (int e = 0; e < executors; e++) {
      offset[e] = random.nextInt(blocks); // Spark also shuffles the order
      next.add(new double[] {begin, e});
    }
    double[] ready = new double[executors];
    while (!next.isEmpty()) {
      double[] event = next.remove();
      int e = (int) event[1];
      int block = (offset[e] + have[e]) % blocks;
      List<Integer> blockHolders = holders.get(block);
      int from = blockHolders.get(random.nextInt(blockHolders.size()));
      double sent = Math.max(event[0], free[from]) + upload;
      free[from] = sent;
      double received = Math.max(sent, event[0] + own);
      blockHolders.add(e);
      have[e]++;
      if (have[e] == blocks) {
        ready[e] = received;
      } else {
        next.add(new double[] {received, e});
      }
    }
    return ready;
  }

  private static double exponential(SplittableRandom random, double mean) {
    return -mean * Math.log(1 - random.nextDouble());
  }

  /** A lognormal variable with mean 1. */
  private static double lognormal(SplittableRandom random) {
    double sigma = Math.sqrt(Math.log(1 + SPREAD * SPREAD));
    return Math.exp(sigma * random.nextGaussian() - sigma * sigma / 2);
  }

  private static double simulatedRound(
      Network network, Configuration configuration, int executors) {
    var random = new SplittableRandom(executors);
    int rounds = 20;
    double sum = 0;
    for (int i = 0; i < rounds; i++) {
      sum += simulateRound(network, configuration, executors, random);
    }
    return sum / rounds;
  }

  // --- tables and plots ------------------------------------------------------------------------

  /**
   * @param arguments the output folder for the charts
   */
  public static void main(String[] arguments) throws IOException {
    Path folder = Files.createDirectories(Path.of(arguments[0]));
    inferenceTable();
    List<Configuration> configurations =
        List.of(
            new Configuration("every step", CORES, 64, 1),
            new Configuration("every step, 256 images", CORES, 256, 1),
            new Configuration("8 local steps", CORES, 64, 8),
            new Configuration("32 local steps", CORES, 64, 32));
    trainingTable(configurations);
    compareWithMeasurements();
    writeCharts(
        folder,
        configurations.stream().filter(configuration -> configuration.batch == 64).toList());
  }

  private static void inferenceTable() {
    System.out.println(
        "| executors | images/s | time for 100 M images | simulated | core hours | read per second"
            + " | efficiency |");
    System.out.println("| --- | --- | --- | --- | --- | --- | --- |");
    for (int executors : List.of(10, 100, 1000, 10_000)) {
      double seconds = inference(RESNET50, executors);
      double simulated = simulateInference(RESNET50, executors, 1);
      System.out.printf(
          "| %,d | %,.0f | %s | %s | %,.0f | %,.2f GB | %.2f |%n",
          executors,
          IMAGES / seconds,
          time(seconds),
          time(simulated),
          seconds / 3600 * executors * CORES,
          IMAGES / seconds * IMAGE / 1000,
          efficiency(seconds, executors));
    }
  }

  private static double efficiency(double seconds, int executors) {
    return IMAGES / seconds / (executors * CORES * RESNET50.classify);
  }

  private static void trainingTable(List<Configuration> configurations) {
    System.out.println(
        "| averaging | executors | round | simulated | computing | to and from the driver |"
            + " images/s | efficiency | 90 epochs |");
    System.out.println("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (Configuration configuration : configurations) {
      for (int executors : List.of(10, 100, 1000)) {
        double seconds = round(RESNET50, configuration, executors);
        double rate = executors * (double) configuration.batch * configuration.localSteps / seconds;
        System.out.printf(
            "| %s | %,d | %.2f s | %.2f s | %.2f s | %,.1f GB | %,.0f | %.2f | %s |%n",
            configuration.name,
            executors,
            seconds,
            simulatedRound(RESNET50, configuration, executors),
            configuration.compute(RESNET50),
            configuration.megabytes(RESNET50) * (1 + groupsOrAll(executors)) / 1000,
            rate,
            configuration.compute(RESNET50) / seconds,
            time(90 * IMAGENET / rate));
      }
    }
  }

  private static int groupsOrAll(int executors) {
    int groups = groups(executors);
    return groups == 1 ? executors : groups;
  }

  /** Applies the formula to the machine on which the constants were measured. */
  private static void compareWithMeasurements() {
    for (Network network : List.of(RESNET50, new Network("resnet18", 0, 20.4, 46.8))) {
      for (int executors : List.of(1, 2)) {
        var configuration = new Configuration("measured machine", 1, 16, 1);
        System.out.printf(
            "%s, %d executors with one core, batch size 16 each: %.1f images/s%n",
            network.name, executors, executors * 16 / round(network, configuration, executors));
      }
    }
  }

  private static String time(double seconds) {
    return seconds < 7200
        ? "%,.0f min".formatted(seconds / 60)
        : seconds < 172_800
            ? "%,.1f h".formatted(seconds / 3600)
            : "%,.1f days".formatted(seconds / 86_400);
  }

  private static void writeCharts(Path folder, List<Configuration> configurations)
      throws IOException {
    List<Integer> many = List.of(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000);
    var lines = new ArrayList<Line>();
    for (Configuration configuration : configurations) {
      lines.add(
          line(
              configuration.name + ", simulated",
              many,
              n -> configuration.compute(RESNET50) / simulatedRound(RESNET50, configuration, n),
              Stroke.DASHED));
      lines.add(
          line(
              configuration.name,
              many,
              n -> configuration.compute(RESNET50) / round(RESNET50, configuration, n),
              Stroke.SOLID));
    }
    new LineChart(
            "ResNet-50 training, 64 images per executor",
            "executors",
            "fraction of time spent computing",
            lines,
            Scale.LOGARITHMIC)
        .write(folder, "training");
    List<Integer> more = List.of(10, 20, 50, 100, 200, 500, 1000, 2000, 5000);
    new LineChart(
            "ResNet-50 inference on 100 million images",
            "executors",
            "fraction of time spent computing",
            List.of(
                line(
                    "simulated",
                    more,
                    n -> efficiency(simulateInference(RESNET50, n, 1), n),
                    Stroke.DASHED),
                line("formula", more, n -> efficiency(inference(RESNET50, n), n), Stroke.SOLID)),
            Scale.LOGARITHMIC)
        .write(folder, "inference");
  }

  private static Line line(
      String name, List<Integer> executors, ToDoubleFunction<Integer> of, Stroke stroke) {
    return new Line(
        name,
        executors.stream().map(Integer::doubleValue).toList(),
        executors.stream().map(n -> of.applyAsDouble(n)).toList(),
        stroke);
  }
}
