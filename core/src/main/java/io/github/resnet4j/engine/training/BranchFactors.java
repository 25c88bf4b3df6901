package io.github.resnet4j.engine.training;

import java.util.Arrays;

/**
 * The factors of stochastic depth (arXiv 1603.09382) of a block's main branch: 0 for images whose
 * branch is dropped, more than 1 for the others; 1 without stochastic depth.
 */
@SuppressWarnings("ArrayRecordComponent")
record BranchFactors(float[] ofImages) {
  BranchFactors(int batch) {
    this(new float[batch]);
    Arrays.fill(ofImages, 1);
  }
}
