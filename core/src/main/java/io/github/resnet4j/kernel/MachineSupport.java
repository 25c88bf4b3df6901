package io.github.resnet4j.kernel;

import io.github.resnet4j.kernel.MachineCode.Feature;
import io.github.resnet4j.kernel.Vec.Width;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Whether machine code works here. It is separate from {@link MachineKernels}, since loading that
 * class requests native calls from the JVM.
 *
 * @param features the features of the processor
 * @param obstacle the reason why machine code is not available, or empty
 */
record MachineSupport(Set<Feature> features, Optional<String> obstacle) {
  private static @Nullable MachineSupport here;

  /** Checks once; the last check runs a self-test. */
  static synchronized MachineSupport here() {
    if (here == null) {
      here = detect();
    }
    return here;
  }

  private static MachineSupport detect() {
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

  boolean hasAvx512() {
    return features.contains(Feature.AVX512);
  }

  /** The kernels with the longest vectors of this processor. */
  MachineKernels kernels() {
    return kernels(hasAvx512() ? Width.ZMM : Width.YMM);
  }

  MachineKernels kernels(Width width) {
    return new MachineKernels(width, features);
  }
}
