package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import java.util.List;

/** Group norm with the sum and the ReLU behind it, and its gradient: image by image. */
final class GroupNormTasks {
  private GroupNormTasks() {}

  private static GroupMoments moments(GroupNormUnit unit, Placed placed) {
    ParameterLayout parameters = placed.laid().parameters();
    return new GroupMoments(
        unit.norm(),
        parameters.weights().values(),
        parameters::from,
        unit.relu(),
        placed.at(unit.x()),
        placed.at(unit.numbers()),
        placed.laid().kernels());
  }

  /** {@code y = norm(x)}, or {@code relu(norm(x) + residual)}. */
  record Normalize(GroupNormUnit unit) implements Task {
    @Override
    public List<Slot> uses() {
      return NormTasks.present(unit.x(), unit.numbers(), unit.residual(), unit.y());
    }

    @Override
    public Pass place(Placed placed) {
      GroupMoments moments = moments(unit, placed);
      Activation x = placed.at(unit.x());
      Activation y = placed.at(unit.y());
      Activation residual = unit.residual() == null ? null : placed.at(unit.residual());
      NormKernels.Normalize kernel =
          GroupMoments.normalize(
              unit.relu(),
              x.asPlane(),
              residual == null ? null : residual.asPlane(),
              y.asPlane(),
              placed.laid().kernels());
      return Pass.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          for (int b = 0; b < x.blocks(); b++) {
            moments.sum(placed.memory(), i, b);
          }
          moments.finish(placed.arena(), i);
          y.clearBorder(placed.arena(), i);
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placed.memory(),
                x.at(i, b, 0, 0),
                moments.forward(i, b),
                residual == null ? 0 : residual.at(i, b, 0, 0),
                y.at(i, b, 0, 0));
          }
        }
      });
    }
  }

  /**
   * Takes a complete gradient through the ReLU, in its place, and from there to what is normalised
   * and to weight and bias.
   *
   * @param g the gradient of the result
   * @param dx that of x; may be g
   */
  record Gradient(GroupNormUnit unit, Slot g, Slot dx) implements Task {
    @Override
    public List<Slot> uses() {
      return NormTasks.present(g, dx, unit.x(), unit.numbers(), unit.relu() ? unit.y() : null);
    }

    @Override
    public Pass place(Placed placed) {
      GroupMoments moments = moments(unit, placed);
      Kernels kernels = placed.laid().kernels();
      Activation x = placed.at(unit.x());
      Activation y = unit.relu() ? placed.at(unit.y()) : null;
      Activation from = placed.at(g);
      Activation to = placed.at(dx);
      NormKernels.GradientMoments sums =
          GroupMoments.gradientMoments(
              from.asPlane(), x.asPlane(), y == null ? null : y.asPlane(), kernels);
      NormKernels.Gradient kernel =
          kernels.norm().gradient(false, from.asPlane(), x.asPlane(), to.asPlane());
      return Pass.of((worker, first, n) -> {
        for (int i = first; i < first + n; i++) {
          for (int b = 0; b < x.blocks(); b++) {
            sums.run(
                placed.memory(),
                from.at(i, b, 0, 0),
                x.at(i, b, 0, 0),
                y == null ? 0 : y.at(i, b, 0, 0),
                moments.means(i, b),
                moments.clearedSums(placed.arena(), i, b));
          }
          moments.finishGradient(placed.arena(), i, placed.gradientsAt(worker));
          to.clearBorder(placed.arena(), i);
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placed.memory(),
                from.at(i, b, 0, 0),
                x.at(i, b, 0, 0),
                moments.backward(i, b),
                to.at(i, b, 0, 0));
          }
        }
      });
    }
  }
}
