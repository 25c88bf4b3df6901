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
 * What jobs on Spark take with many executors: formulas, and a simulation of the same jobs task by
 * task that checks them. Prints the tables of {@code docs/scale.md} and draws its plots. Bytes are
 * 10⁶ to the megabyte, times are seconds.
 */
public final class ScaleModel {
  private static final double IMAGES = 100e6;
  private static final double IMAGENET = 1_281_167;

  /**
   * A network's costs, as measured.
   *
   * @param classify images a second and core, decoded and classified
   * @param train images a second and core of forward, backward, decoding and augmentation
   * @param megabytes of its weights
   */
  record Network(String name, double classify, double train, double megabytes) {}

  private static final Network RESNET50 = new Network("resnet50", 29.6, 8.2, 102.2);

  /** Seconds for a round of training that moves nothing: two stages' worth of scheduling. */
  private static final double ROUND = 0.10;

  /** Seconds for the driver to make a megabyte of a broadcast, once. */
  private static final double SEND = 0.0005;

  /** Seconds for an executor to have a megabyte of a broadcast: blocks, copies, objects. */
  private static final double FETCH = 0.0022;

  /** Seconds for a megabyte of someone's contribution, received and added. */
  private static final double RECEIVE = 0.00115;

  /** Seconds until a job's first task runs in warm JVMs with packed weights. */
  private static final double START = 9;

  // What is assumed of the cluster.
  private static final int CORES = 8;
  private static final double NIC = 1250; // MB/s: 10 Gb/s
  private static final double STORE = 40_000; // MB/s of the object store, for all
  private static final double IMAGE = 0.11; // MB, ImageNet's mean
  private static final double TASKS = 1000; // a second, that a driver hands out
  private static final double SPREAD = 0.1; // deviation of tasks' times, as a part of them
  private static final double ARRIVAL = 20; // seconds in which executors come
  private static final double LIFE = 10 * 86_400; // mean seconds until an executor is lost
  private static final double REPLACED = 60; // seconds until another is there

  private ScaleModel() {}

  // --- inference -------------------------------------------------------------------------------

  /**
   * Images of a task: enough of them for the last wave to be short, and not more than a thousand.
   */
  private static double imagesOfATask(int executors) {
    return Math.max(250, Math.min(1000, IMAGES / (20.0 * executors * CORES)));
  }

  /** Seconds of a task of one core: what computes it or what brings its data, the slower. */
  private static double task(Network network, int executors) {
    double bandwidth = Math.min(NIC, STORE / executors) / CORES;
    return imagesOfATask(executors) * Math.max(1 / network.classify, IMAGE / bandwidth);
  }

  /** Seconds to classify all images. */
  static double inference(Network network, int executors) {
    double tasks = IMAGES / imagesOfATask(executors);
    double one = task(network, executors);
    double slots = (double) executors * CORES;
    // Executors come over a while; at the end, on average half a task is waited for.
    double busy = Math.max(tasks * one / slots, tasks / TASKS);
    double lost = busy / LIFE * (REPLACED + one / 2);
    return START + ARRIVAL / 2 + busy + one / 2 + lost;
  }

  /** The same, task by task: executors come and are lost, the driver hands out one at a time. */
  static double simulateInference(Network network, int executors, long seed) {
    var random = new SplittableRandom(seed);
    long tasks = Math.round(IMAGES / imagesOfATask(executors));
    double one = task(network, executors);
    record Slot(int executor, double free) {}
    var slots = new PriorityQueue<Slot>(Comparator.comparingDouble(Slot::free));
    double[] dies = new double[executors];
    for (int e = 0; e < executors; e++) {
      double comes = START + ARRIVAL * random.nextDouble();
      dies[e] = comes + exponential(random, LIFE);
      for (int c = 0; c < CORES; c++) {
        slots.add(new Slot(e, comes));
      }
    }
    double driver = START;
    double end = 0;
    while (tasks > 0) {
      Slot slot = slots.remove();
      driver = Math.max(driver, slot.free) + 1 / TASKS;
      double done = driver + one * lognormal(random);
      if (done > dies[slot.executor]) {
        // The task is handed out again; the executor's other slots find out by themselves.
        double back = Math.max(slot.free, dies[slot.executor]) + REPLACED;
        if (slot.free >= dies[slot.executor] + REPLACED) {
          dies[slot.executor] = slot.free + exponential(random, LIFE);
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
   * A way to train.
   *
   * @param batch images of an executor and step
   * @param localSteps between two averages
   */
  record Way(String name, int cores, int batch, int localSteps) {
    /** Megabytes that go one way: weights or gradients, and momentum where machines step alone. */
    double megabytes(Network network) {
      return network.megabytes * (localSteps > 1 ? 2 : 1);
    }

    double compute(Network network) {
      return localSteps * batch / (network.train * cores);
    }
  }

  /** How Spark's treeAggregate of depth 2 cuts its partitions into groups; 1 for none. */
  static int groups(int partitions) {
    int scale = Math.max((int) Math.ceil(Math.sqrt(partitions)), 2);
    return partitions > scale + Math.ceil((double) partitions / scale) ? partitions / scale : 1;
  }

  /** Seconds to add up everyone's contribution. */
  static double reduce(double megabytes, int executors) {
    double each = megabytes * Math.max(RECEIVE, 1 / NIC);
    int groups = groups(executors);
    return groups == 1
        ? executors * each
        : Math.ceilDiv(executors, groups) * each + groups * each + ROUND / 2;
  }

  /** Seconds until all executors have a broadcast: blocks of 4 MB, passed on among them. */
  static double broadcast(double megabytes, int executors) {
    double hops = Math.log(executors) / Math.log(2);
    double each = Math.max(FETCH, 1 / NIC);
    return megabytes * (SEND + each) + hops * 4 * each;
  }

  /** Seconds of a round. */
  static double round(Network network, Way way, int executors) {
    double megabytes = way.megabytes(network);
    // The slowest of so many.
    double slowest = 1 + SPREAD * Math.sqrt(2 * Math.log(executors));
    return ROUND
        + broadcast(megabytes, executors)
        + way.compute(network) * slowest
        + reduce(megabytes, executors);
  }

  /** The same: a torrent of blocks, tasks of different lengths, receivers one at a time. */
  static double simulateRound(Network network, Way way, int executors, SplittableRandom random) {
    double megabytes = way.megabytes(network);
    double[] ready = torrent(megabytes, executors, random);
    double[] done = new double[executors];
    for (int e = 0; e < executors; e++) {
      done[e] = ready[e] + way.compute(network) * lognormal(random);
    }
    double each = megabytes * Math.max(RECEIVE, 1 / NIC);
    int groups = groups(executors);
    if (groups == 1) {
      return ROUND + receive(done, each);
    }
    // The second stage begins when the first is over.
    double stage = Arrays.stream(done).max().orElseThrow() + ROUND / 2;
    double[] sums = new double[groups];
    for (int g = 0; g < groups; g++) {
      int members = executors / groups + (g < executors % groups ? 1 : 0);
      sums[g] = stage + members * each;
    }
    return ROUND + receive(sums, each);
  }

  /** When the last of them is received, one after the other as they come. */
  private static double receive(double[] comes, double each) {
    double[] sorted = comes.clone();
    Arrays.sort(sorted);
    double time = 0;
    for (double one : sorted) {
      time = Math.max(time, one) + each;
    }
    return time;
  }

  /** When each executor has all blocks: of each it asks one of those that have it already. */
  private static double[] torrent(double megabytes, int executors, SplittableRandom random) {
    int blocks = (int) Math.ceil(megabytes / 4);
    double begin = megabytes * SEND;
    double upload = 4 / NIC;
    double own = 4 * Math.max(FETCH, 1 / NIC);
    var holders = new ArrayList<List<Integer>>();
    for (int b = 0; b < blocks; b++) {
      holders.add(new ArrayList<>(List.of(executors))); // the driver
    }
    double[] free = new double[executors + 1]; // when a machine can send again
    int[] have = new int[executors];
    int[] offset = new int[executors];
    var next = new PriorityQueue<double[]>(Comparator.comparingDouble(each -> each[0]));
    for (int e = 0; e < executors; e++) {
      offset[e] = random.nextInt(blocks); // Spark shuffles the order too
      next.add(new double[] {begin, e});
    }
    double[] ready = new double[executors];
    while (!next.isEmpty()) {
      double[] event = next.remove();
      int e = (int) event[1];
      int block = (offset[e] + have[e]) % blocks;
      List<Integer> having = holders.get(block);
      int from = having.get(random.nextInt(having.size()));
      double sent = Math.max(event[0], free[from]) + upload;
      free[from] = sent;
      double here = Math.max(sent, event[0] + own);
      having.add(e);
      have[e]++;
      if (have[e] == blocks) {
        ready[e] = here;
      } else {
        next.add(new double[] {here, e});
      }
    }
    return ready;
  }

  private static double exponential(SplittableRandom random, double mean) {
    return -mean * Math.log(1 - random.nextDouble());
  }

  /** Of mean 1. */
  private static double lognormal(SplittableRandom random) {
    double sigma = Math.sqrt(Math.log(1 + SPREAD * SPREAD));
    return Math.exp(sigma * random.nextGaussian() - sigma * sigma / 2);
  }

  private static double simulatedRound(Network network, Way way, int executors) {
    var random = new SplittableRandom(executors);
    int rounds = 20;
    double sum = 0;
    for (int i = 0; i < rounds; i++) {
      sum += simulateRound(network, way, executors, random);
    }
    return sum / rounds;
  }

  // --- tables and plots ------------------------------------------------------------------------

  /**
   * @param arguments the folder for the plots
   */
  public static void main(String[] arguments) throws IOException {
    Path folder = Files.createDirectories(Path.of(arguments[0]));
    inferenceTable();
    List<Way> ways =
        List.of(
            new Way("every step", CORES, 64, 1),
            new Way("every step, 256 images", CORES, 256, 1),
            new Way("8 local steps", CORES, 64, 8),
            new Way("32 local steps", CORES, 64, 32));
    trainingTable(ways);
    checkHere();
    plots(folder, ways.stream().filter(way -> way.batch == 64).toList());
  }

  private static void inferenceTable() {
    System.out.println(
        "| executors | images/s | 100 M images take | simulated | core hours | read a second |"
            + " efficiency |");
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

  private static void trainingTable(List<Way> ways) {
    System.out.println(
        "| averaged | executors | a round | simulated | of it computing | to and from the driver |"
            + " images/s | efficiency | 90 epochs |");
    System.out.println("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (Way way : ways) {
      for (int executors : List.of(10, 100, 1000)) {
        double seconds = round(RESNET50, way, executors);
        double rate = executors * (double) way.batch * way.localSteps / seconds;
        System.out.printf(
            "| %s | %,d | %.2f s | %.2f s | %.2f s | %,.1f GB | %,.0f | %.2f | %s |%n",
            way.name,
            executors,
            seconds,
            simulatedRound(RESNET50, way, executors),
            way.compute(RESNET50),
            way.megabytes(RESNET50) * (1 + groupsOrAll(executors)) / 1000,
            rate,
            way.compute(RESNET50) / seconds,
            time(90 * IMAGENET / rate));
      }
    }
  }

  private static int groupsOrAll(int executors) {
    int groups = groups(executors);
    return groups == 1 ? executors : groups;
  }

  /** The formula for the machine on which the constants were measured. */
  private static void checkHere() {
    for (Network network : List.of(RESNET50, new Network("resnet18", 0, 20.4, 46.8))) {
      for (int executors : List.of(1, 2)) {
        var way = new Way("here", 1, 16, 1);
        System.out.printf(
            "%s, %d executors of a core, batch 16 each: %.1f images/s%n",
            network.name, executors, executors * 16 / round(network, way, executors));
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

  private static void plots(Path folder, List<Way> ways) throws IOException {
    List<Integer> many = List.of(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000);
    var lines = new ArrayList<Line>();
    for (Way way : ways) {
      lines.add(
          line(
              way.name + ", simulated",
              many,
              n -> way.compute(RESNET50) / simulatedRound(RESNET50, way, n),
              Stroke.DASHED));
      lines.add(
          line(way.name, many, n -> way.compute(RESNET50) / round(RESNET50, way, n), Stroke.SOLID));
    }
    new LineChart(
            "Training ResNet-50, 64 images per executor",
            "executors",
            "part of the time spent computing",
            lines,
            Scale.LOGARITHMIC)
        .write(folder, "training");
    List<Integer> more = List.of(10, 20, 50, 100, 200, 500, 1000, 2000, 5000);
    new LineChart(
            "100 million images through ResNet-50",
            "executors",
            "part of the time spent computing",
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
