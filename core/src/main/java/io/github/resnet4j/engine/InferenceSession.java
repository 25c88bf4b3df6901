package io.github.resnet4j.engine;

import io.github.resnet4j.tensor.Tensor;
import java.util.SequencedMap;

/**
 * A compiled network: a {@link Session} of resnet4j's own engine, or of another {@link
 * InferenceEngine}. Thread-safe.
 */
public interface InferenceSession extends AutoCloseable {
  /** The options with which the network was compiled. */
  CompileOptions options();

  /** The precision of the computation; never {@link Precision#AUTO}. */
  Precision precision();

  /** What computes, for people: {@code machine code, 512 bit}. */
  String kernels();

  /**
   * Another session on the same weights, for concurrent calls. Each session is closed separately.
   */
  InferenceSession sibling();

  /**
   * A session of the same network with other taps.
   *
   * @param layers whose results are outputs too, see {@link CompileOptions#taps}
   */
  InferenceSession withTaps(String... layers);

  /**
   * Runs the network, as with {@code model.eval()}.
   *
   * @param x {@code [N, C, H, W]}
   * @return the tapped results ({@link CompileOptions#taps}) by layer name, {@code [N, C, H, W]},
   *     and last the network's own result as {@code output}: logits {@code [N, classes]}, or a
   *     feature map if the network has no head
   * @throws IllegalArgumentException if the input has another shape, or there is no layer of a
   *     tap's name
   */
  SequencedMap<String, Tensor> runAll(Tensor x);

  /** Runs the network; returns its own result, see {@link #runAll}. */
  default Tensor run(Tensor x) {
    return runAll(x).lastEntry().getValue();
  }

  /**
   * Runs the network and writes its own result into an existing tensor.
   *
   * @throws IllegalArgumentException if a shape does not match
   */
  default void run(Tensor x, Tensor y) {
    Tensor result = run(x);
    if (!result.sameShape(y)) {
      throw new IllegalArgumentException("the result of %s is %s, not %s".formatted(x, result, y));
    }
    System.arraycopy(result.data(), 0, y.data(), 0, y.size());
  }

  /** Ends the threads and frees the memory, after running batches. A closed session cannot run. */
  @Override
  void close();
}
