package io.github.resnet4j.kernel;

import java.lang.System.Logger.Level;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the kernels once, when they are first used: machine code if processor and JVM support it,
 * else vectors if the JVM has the Vector API and compiles it well, else scalar kernels. For tests
 * and measurements, the system property {@code resnet4j.kernels} is {@code auto}, {@code machine},
 * {@code machine256}, {@code vector} or {@code scalar}.
 */
final class Providers {
  private static final String PROPERTY = "resnet4j.kernels";
  private static final System.Logger LOG = System.getLogger("io.github.resnet4j");
  private static @Nullable Kernels chosen;
  private static boolean usesMachine;

  private Providers() {}

  /**
   * @throws IllegalArgumentException if the property names kernels that this JVM does not support
   */
  static synchronized Kernels chosen() {
    if (chosen == null) {
      chosen = choose(setting());
    }
    return chosen;
  }

  /** Whether machine code was requested, or is already in use. */
  static synchronized boolean expectsMachine() {
    return usesMachine || setting().startsWith("machine");
  }

  static boolean hasMachine() {
    String setting = setting();
    return setting.startsWith("machine")
        || (setting.equals("auto") && MachineSupport.here().obstacle().isEmpty());
  }

  static boolean hasVector() {
    return obstacle().isEmpty();
  }

  static Kernels machine() {
    return machine(false);
  }

  /**
   * @param narrow what an older processor would run: vectors of 256 bits
   */
  private static synchronized Kernels machine(boolean narrow) {
    MachineSupport support = MachineSupport.here();
    if (support.obstacle().isPresent()) {
      throw new IllegalArgumentException("no machine kernels: " + support.obstacle().get());
    }
    usesMachine = true;
    return narrow && support.isX86() ? support.kernels(Vec.Width.YMM) : support.kernels();
  }

  static Kernels vector() {
    Optional<String> obstacle = obstacle();
    if (obstacle.isPresent()) {
      throw new IllegalArgumentException("no vector kernels: " + obstacle.get());
    }
    return new VectorKernels();
  }

  private static String setting() {
    return System.getProperty(PROPERTY, "auto").toLowerCase(Locale.ROOT);
  }

  private static Kernels choose(String setting) {
    return switch (setting) {
      case "scalar" -> new ScalarKernels();
      case "vector" -> vector();
      case "machine" -> machine();
      case "machine256" -> machine(true);
      case "auto" -> {
        Optional<String> noMachine = MachineSupport.here().obstacle();
        if (noMachine.isEmpty()) {
          yield machine();
        }
        Optional<String> noVector = obstacle();
        String why = "no machine code: " + noMachine.get();
        if (noVector.isEmpty()) {
          LOG.log(Level.INFO, "running on vector kernels: " + why);
          yield new VectorKernels();
        }
        LOG.log(Level.WARNING, "running on slow scalar kernels: " + why + "; " + noVector.get());
        yield new ScalarKernels();
      }
      default ->
          throw new IllegalArgumentException(
              "%s must be auto, machine, machine256, vector or scalar, was '%s'"
                  .formatted(PROPERTY, setting));
    };
  }

  /** The reason why vectors are not available or not faster. */
  private static Optional<String> obstacle() {
    if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
      return Optional.of(
          "the Vector API is not enabled; start Java with --add-modules jdk.incubator.vector");
    }
    String info = System.getProperty("java.vm.info", "");
    if (info.contains("interpreted") || info.contains("emulated-client")) {
      return Optional.of("this JVM runs without its optimizing compiler (" + info + ")");
    }
    int bits = VectorKernels.SPECIES.vectorBitSize();
    if (bits < 128 || bits > 512) {
      return Optional.of("vectors of %d bits are not supported".formatted(bits));
    }
    return Optional.empty();
  }
}
