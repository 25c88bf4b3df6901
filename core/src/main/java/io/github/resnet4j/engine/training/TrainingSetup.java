package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.kernel.Kernels;
import java.util.Set;

/**
 * What a training plan is made for.
 *
 * @param batch images of the largest batch
 * @param threads that compute
 * @param frozen parameters that stay as they are, by name
 * @param frozenStatistics whether batch norm uses its running statistics and leaves them alone
 * @param stochasticDepth the probability that the last block's main branch is left out for an image
 * @param choice how convolutions are computed
 */
public record TrainingSetup(
    int batch,
    int threads,
    Set<String> frozen,
    boolean frozenStatistics,
    double stochasticDepth,
    AlgorithmChoice choice,
    Kernels kernels) {
  /** A worker's first index of so many that all workers share. */
  int share(int worker, int of) {
    return (int) ((long) of * worker / threads);
  }
}
