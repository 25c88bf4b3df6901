package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Encoding;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Loss;
import java.util.Set;

/**
 * The settings of a training plan.
 *
 * @param batch the largest batch size
 * @param threads the number of threads
 * @param frozen names of parameters that are not trained
 * @param frozenStatistics whether batch norm uses its running statistics and does not update them
 * @param stochasticDepth the drop-path rate: the probability that the last block's main branch is
 *     dropped for an image
 * @param choice chooses the algorithms of convolutions
 * @param format the format of activations and their gradients: FP32 or BF16
 * @param loss the loss of the head's result
 */
public record TrainingSetup(
    int batch,
    int threads,
    Set<String> frozen,
    boolean frozenStatistics,
    double stochasticDepth,
    AlgorithmChoice choice,
    Format format,
    Kernels kernels,
    Loss loss) {
  /** How activations and their gradients are stored; statistics and the head are floats. */
  Encoding encoding() {
    return Encoding.of(format);
  }

  /**
   * The first of {@code of} indices that belongs to a worker; its range ends where that of the next
   * worker starts.
   */
  int rangeStart(int worker, int of) {
    return (int) ((long) of * worker / threads);
  }
}
