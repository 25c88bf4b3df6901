package io.github.resnet4j.kernel;

import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Whether machine code works here. Not a part of {@link MachineKernels}, whose mere loading asks
 * the JVM for native calls.
 *
 * @param vectors the longest that the processor has
 * @param obstacle what speaks against using machine code, or empty
 */
record MachineSupport(MachineCode.Vectors vectors, Optional<String> obstacle) {
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
      return new MachineSupport(MachineCode.Vectors.NONE, obstacle);
    }
    try {
      MachineCode.Vectors vectors = MachineCode.vectors();
      if (vectors == MachineCode.Vectors.NONE) {
        return new MachineSupport(vectors, Optional.of("the processor has no AVX2"));
      }
      boolean wide = vectors == MachineCode.Vectors.OF_512_BITS;
      return new MachineSupport(vectors, SelfTest.failure(new MachineKernels(wide)));
    } catch (UnsupportedOperationException | IllegalCallerException e) {
      return new MachineSupport(
          MachineCode.Vectors.NONE, Optional.of(String.valueOf(e.getMessage())));
    }
  }

  MachineKernels kernels() {
    return new MachineKernels(vectors == MachineCode.Vectors.OF_512_BITS);
  }
}
