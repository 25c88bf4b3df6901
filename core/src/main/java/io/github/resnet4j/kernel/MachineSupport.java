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
 * @param features the features of an x86-64 processor
 * @param arm64 the optional features of an arm64 processor
 * @param obstacle the reason why machine code is not available, or empty
 */
record MachineSupport(Set<Feature> features, Set<Arm64Feature> arm64, Optional<String> obstacle) {
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
      return none(obstacle);
    }
    try {
      if (MachineCode.ARM64) {
        Set<Arm64Feature> arm64 = Arm64Feature.detect();
        return new MachineSupport(Set.of(), arm64, SelfTest.failure(new Arm64Kernels(arm64)));
      }
      Set<Feature> features = MachineCode.features();
      if (!features.contains(Feature.AVX2)) {
        return none(Optional.of("the processor has no AVX2"));
      }
      var found = new MachineSupport(features, Set.of(), Optional.empty());
      return new MachineSupport(features, Set.of(), SelfTest.failure(found.kernels()));
    } catch (UnsupportedOperationException | IllegalCallerException e) {
      return none(Optional.of(String.valueOf(e.getMessage())));
    }
  }

  private static MachineSupport none(Optional<String> obstacle) {
    return new MachineSupport(Set.of(), Set.of(), obstacle);
  }

  /** Whether the processor is an x86-64 one, the only one with every family of kernels. */
  boolean isX86() {
    return !MachineCode.ARM64 && obstacle.isEmpty();
  }

  boolean hasAvx512() {
    return features.contains(Feature.AVX512);
  }

  /** The kernels with the longest vectors of this processor. */
  Kernels kernels() {
    if (MachineCode.ARM64) {
      return new Arm64Kernels(arm64);
    }
    return kernels(hasAvx512() ? Width.ZMM : Width.YMM);
  }

  MachineKernels kernels(Width width) {
    return new MachineKernels(width, features);
  }
}
