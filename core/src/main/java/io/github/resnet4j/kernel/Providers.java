package io.github.resnet4j.kernel;

import java.lang.System.Logger.Level;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the kernels once, when they are first used: machine code if processor and JVM support it,
 * else vectors if the JVM has the Vector API and compiles it well, else scalar kernels. The system
 * property {@code resnet4j.kernels} is {@code auto}, {@code machine}, {@code machine256}, {@code
 * vector} or {@code scalar}.
 */
final class Providers {
  private static final String PROPERTY = "resnet4j.kernels";
  private static final System.Logger LOG = System.getLogger("io.github.resnet4j");
  private static @Nullable Kernels chosen;

  private Providers() {}

  /**
   * @throws IllegalArgumentException if the property names kernels that this JVM does not support
   */
  static synchronized Kernels chosen() {
    if (chosen == null) {
      chosen = choose(System.getProperty(PROPERTY, "auto"));
    }
    return chosen;
  }

  /** Whether machine code was requested, or is already in use. */
  static synchronized boolean expectsMachine() {
    return chosen instanceof MachineKernels
        || System.getProperty(PROPERTY, "auto").toLowerCase(Locale.ROOT).startsWith("machine");
  }

  static Optional<Kernels> machine() {
    String setting = System.getProperty(PROPERTY, "auto").toLowerCase(Locale.ROOT);
    boolean possible =
        setting.startsWith("machine")
            || (setting.equals("auto") && MachineSupport.here().obstacle().isEmpty());
    return possible ? Optional.of(chosen()) : Optional.empty();
  }

  private static Kernels choose(String setting) {
    return switch (setting.toLowerCase(Locale.ROOT)) {
      case "scalar" -> new ScalarKernels();
      case "vector" -> {
        Optional<String> obstacle = obstacle();
        if (obstacle.isPresent()) {
          throw new IllegalArgumentException("no vector kernels: " + obstacle.get());
        }
        yield new VectorKernels();
      }
      case "machine", "machine256" -> {
        MachineSupport support = MachineSupport.here();
        if (support.obstacle().isPresent()) {
          throw new IllegalArgumentException("no machine kernels: " + support.obstacle().get());
        }
        // On a newer machine the latter tests what an older machine would run.
        yield setting.endsWith("256") ? support.kernels(Vec.Width.YMM) : support.kernels();
      }
      case "auto" -> {
        MachineSupport support = MachineSupport.here();
        if (support.obstacle().isEmpty()) {
          yield support.kernels();
        }
        Optional<String> obstacle = obstacle();
        String why = "no machine code: " + support.obstacle().get();
        if (obstacle.isEmpty()) {
          LOG.log(Level.INFO, "running on vector kernels: " + why);
          yield new VectorKernels();
        }
        LOG.log(Level.WARNING, "running on slow scalar kernels: " + why + "; " + obstacle.get());
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
