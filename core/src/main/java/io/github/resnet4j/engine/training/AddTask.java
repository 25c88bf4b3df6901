package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Axis;
import io.github.resnet4j.kernel.PoolKernels;
import java.util.List;

/**
 * Adds the values of a slot to those of another: the shortcut to a pre-activation block's result,
 * or a gradient to the gradient from another reader.
 */
record AddTask(Slot from, Slot to) implements Task {
  @Override
  public List<Slot> uses() {
    return List.of(from, to);
  }

  @Override
  public Work place(TrainingPlacement placement) {
    Activation summand = placement.at(from);
    Activation sum = placement.at(to);
    Axis rows = Axis.of(sum.height(), (row, _) -> row, 1);
    Axis columns = Axis.of(sum.width(), (column, _) -> column, 1);
    PoolKernels.WeightedRow kernel =
        placement
            .trainingLayout()
            .kernels()
            .pool()
            .weighted(rows, columns, summand.asPlane(), sum.asPlane(), true);
    return Work.of((_, first, n) -> {
      for (int i = first; i < first + n; i++) {
        for (int b = 0; b < sum.blocks(); b++) {
          for (int y = 0; y < sum.height(); y++) {
            kernel.run(placement.memory(), summand.at(i, b, 0, 0), y, sum.at(i, b, y, 0));
          }
        }
      }
    });
  }
}
