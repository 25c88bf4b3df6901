package io.github.resnet4j.kernel;

import java.lang.System.Logger.Level;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the kernels once, when they are first asked for: machine code where processor and JVM
 * permit it, else vectors where the JVM has them and can compile them well, else the scalar twin.
 * The system property {@code resnet4j.kernels} says {@code auto}, {@code machine}, {@code vector}
 * or {@code scalar}.
 */
final class Providers {
  private static final String PROPERTY = "resnet4j.kernels";
  private static final System.Logger LOG = System.getLogger("io.github.resnet4j");
  private static @Nullable Kernels chosen;

  private Providers() {}

  /**
   * @throws IllegalArgumentException if the property asks for what this JVM does not have
   */
  static synchronized Kernels chosen() {
    if (chosen == null) {
      chosen = choose(System.getProperty(PROPERTY, "auto"));
    }
    return chosen;
  }

  /** Whether machine code was asked for, or is in use already. */
  static synchronized boolean expectsMachine() {
    return chosen instanceof MachineKernels
        || System.getProperty(PROPERTY, "auto").toLowerCase(Locale.ROOT).startsWith("machine");
  }

  static Optional<Kernels> machine() {
    String wish = System.getProperty(PROPERTY, "auto").toLowerCase(Locale.ROOT);
    boolean possible =
        wish.startsWith("machine")
            || (wish.equals("auto") && MachineSupport.here().obstacle().isEmpty());
    return possible ? Optional.of(chosen()) : Optional.empty();
  }

  private static Kernels choose(String wish) {
    return switch (wish.toLowerCase(Locale.ROOT)) {
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
        // The latter tries on a newer machine what an older one would run.
        yield wish.endsWith("256") ? support.kernels(Vec.Width.YMM) : support.kernels();
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
                  .formatted(PROPERTY, wish));
    };
  }

  /** Why vectors would not work, or not be worth it. */
  private static Optional<String> obstacle() {
    if (ModuleLayer.boot().findModule("jdk.incubator.vector").isEmpty()) {
      return Optional.of(
          "the Vector API is not enabled; start Java with --add-modules jdk.incubator.vector");
    }
    String info = System.getProperty("java.vm.info", "");
    if (info.contains("interpreted") || info.contains("emulated-client")) {
      return Optional.of("this JVM runs without its optimising compiler (" + info + ")");
    }
    int bits = VectorKernels.SPECIES.vectorBitSize();
    if (bits < 128 || bits > 512) {
      return Optional.of("vectors of %d bits are not supported".formatted(bits));
    }
    return Optional.empty();
  }
}
