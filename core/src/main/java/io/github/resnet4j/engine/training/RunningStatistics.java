package io.github.resnet4j.engine.training;

import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.StateDict;

/** A batch norm's running statistics, which are updated by every training step. */
final class RunningStatistics {
  private final BatchNorm2d layer;
  final float[] mean;
  final float[] variance;
  long batches;

  RunningStatistics(BatchNorm2d layer, StateDict state) {
    this.layer = layer;
    this.mean = new float[layer.channels()];
    this.variance = new float[layer.channels()];
    load(state);
  }

  void load(StateDict state) {
    System.arraycopy(state.get(layer.name() + ".running_mean").data(), 0, mean, 0, mean.length);
    System.arraycopy(
        state.get(layer.name() + ".running_var").data(), 0, variance, 0, variance.length);
    batches = (long) state.get(layer.name() + ".num_batches_tracked").data()[0];
  }
}
