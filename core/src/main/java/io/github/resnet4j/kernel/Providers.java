package io.github.resnet4j.kernel;

import java.lang.System.Logger.Level;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the kernels once, when they are first asked for: vectors where the JVM has them and can
 * compile them well, else the scalar twin. The system property {@code resnet4j.kernels} says {@code
 * auto}, {@code vector} or {@code scalar}.
 */
final class Providers {
  private static final String PROPERTY = "resnet4j.kernels";
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

  private static Kernels choose(String wish) {
    switch (wish.toLowerCase(Locale.ROOT)) {
      case "scalar" -> {
        return new ScalarKernels();
      }
      case "vector" -> {
        Optional<String> obstacle = obstacle();
        if (obstacle.isPresent()) {
          throw new IllegalArgumentException("no vector kernels: " + obstacle.get());
        }
        return new VectorKernels();
      }
      case "auto" -> {
        Optional<String> obstacle = obstacle();
        if (obstacle.isEmpty()) {
          return new VectorKernels();
        }
        System.getLogger("io.github.resnet4j")
            .log(Level.WARNING, "running on slow scalar kernels: " + obstacle.get());
        return new ScalarKernels();
      }
      default ->
          throw new IllegalArgumentException(
              "%s must be auto, vector or scalar, was '%s'".formatted(PROPERTY, wish));
    }
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
