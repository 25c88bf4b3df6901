package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.MachineCode.Feature;
import io.github.resnet4j.kernel.Vec.Width;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Whether machine code works here. Not a part of {@link MachineKernels}, whose mere loading asks
 * the JVM for native calls.
 *
 * @param features what the processor has
 * @param obstacle what speaks against using machine code, or empty
 */
record MachineSupport(Set<Feature> features, Optional<String> obstacle) {
  private static @Nullable MachineSupport here;

  /** Finds out, once; the last step is to run some. */
  static synchronized MachineSupport here() {
    if (here == null) {
      here = find();
    }
    return here;
  }

  private static MachineSupport find() {
    Optional<String> obstacle = MachineCode.obstacle();
    if (obstacle.isPresent()) {
      return new MachineSupport(Set.of(), obstacle);
    }
    try {
      Set<Feature> features = MachineCode.features();
      if (!features.contains(Feature.AVX2)) {
        return new MachineSupport(features, Optional.of("the processor has no AVX2"));
      }
      var found = new MachineSupport(features, Optional.empty());
      return new MachineSupport(features, SelfTest.failure(found.kernels()));
    } catch (UnsupportedOperationException | IllegalCallerException e) {
      return new MachineSupport(Set.of(), Optional.of(String.valueOf(e.getMessage())));
    }
  }

  boolean isWide() {
    return features.contains(Feature.AVX512);
  }

  /** The kernels of the longest vectors that there are. */
  MachineKernels kernels() {
    return kernels(isWide() ? Width.ZMM : Width.YMM);
  }

  MachineKernels kernels(Width width) {
    return new MachineKernels(width, features);
  }
}
