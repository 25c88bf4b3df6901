package io.github.resnet4j.engine.step;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Axis;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.PoolKernels;
import io.github.resnet4j.kernel.PoolKernels.WeightedRow;

/**
 * The sum of two branches, in floats, where the convolution at the end of a branch cannot add the
 * other one: a product of integers adds no floats.
 *
 * @param copy copies a row
 * @param add adds a row to the existing values
 */
public record AddStep(
    String name,
    Activation main,
    Activation shortcut,
    Activation out,
    WeightedRow copy,
    WeightedRow add)
    implements Step {
  public static AddStep of(
      String name, Activation main, Activation shortcut, Activation out, Kernels kernels) {
    Axis rows = Axis.of(out.height(), (row, _) -> row, 1);
    Axis columns = Axis.of(out.width(), (column, _) -> column, 1);
    PoolKernels pool = kernels.pool();
    return new AddStep(
        name,
        main,
        shortcut,
        out,
        pool.weighted(rows, columns, main.asPlane(), out.asPlane(), false),
        pool.weighted(rows, columns, shortcut.asPlane(), out.asPlane(), true));
  }

  @Override
  public String algorithm() {
    return "sum";
  }

  @Override
  public void run(ExecutionContext context, int first, int count, int phase, int part, int parts) {
    for (int n = first; n < first + count; n++) {
      if (part == 0) {
        out.clearBorder(context.arena(), n);
      }
      for (int y = out.height() * part / parts; y < out.height() * (part + 1) / parts; y++) {
        for (int b = 0; b < out.blocks(); b++) {
          copy.run(context.memory(), main.at(n, b, 0, 0), y, out.at(n, b, y, 0));
          add.run(context.memory(), shortcut.at(n, b, 0, 0), y, out.at(n, b, y, 0));
        }
      }
    }
  }
}
