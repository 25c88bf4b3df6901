package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.NormKernels;
import java.util.List;

/**
 * The tasks of group norm with the following addition and ReLU, forward and backward: image by
 * image.
 */
final class GroupNormTasks {
  private GroupNormTasks() {}

  private static GroupMoments moments(GroupNormUnit unit, TrainingPlacement placement) {
    ParameterLayout parameters = placement.trainingLayout().parameters();
    return new GroupMoments(
        unit.norm(),
        parameters.weights().values(),
        parameters::from,
        unit.relu(),
        placement.at(unit.x()),
        placement.at(unit.workspace()),
        placement.trainingLayout().kernels());
  }

  /** {@code y = norm(x)}, or {@code relu(norm(x) + residual)}. */
  record Normalize(GroupNormUnit unit) implements Task {
    @Override
    public List<Slot> uses() {
      return BatchNormTasks.present(unit.x(), unit.workspace(), unit.residual(), unit.y());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      GroupMoments moments = moments(unit, placement);
      Activation x = placement.at(unit.x());
      Activation y = placement.at(unit.y());
      Activation residual = unit.residual() == null ? null : placement.at(unit.residual());
      NormKernels.Normalize kernel =
          GroupMoments.normalize(
              unit.relu(),
              x.asPlane(),
              residual == null ? null : residual.asPlane(),
              y.asPlane(),
              placement.trainingLayout().kernels());
      return Work.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          for (int b = 0; b < x.blocks(); b++) {
            moments.sum(placement.memory(), i, b);
          }
          moments.finish(placement.arena(), i);
          y.clearBorder(placement.arena(), i);
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placement.memory(),
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
   * Applies the ReLU to a complete gradient, in place, and computes from it the gradients of the
   * input, of weight and of bias.
   *
   * @param g the gradient of the result
   * @param dx the gradient of x; may be g
   */
  record Gradient(GroupNormUnit unit, Slot g, Slot dx) implements Task {
    @Override
    public List<Slot> uses() {
      return BatchNormTasks.present(
          g, dx, unit.x(), unit.workspace(), unit.relu() ? unit.y() : null);
    }

    @Override
    public Work place(TrainingPlacement placement) {
      GroupMoments moments = moments(unit, placement);
      Kernels kernels = placement.trainingLayout().kernels();
      Activation x = placement.at(unit.x());
      Activation y = unit.relu() ? placement.at(unit.y()) : null;
      Activation from = placement.at(g);
      Activation to = placement.at(dx);
      NormKernels.GradientMoments sums =
          GroupMoments.gradientMoments(
              from.asPlane(), x.asPlane(), y == null ? null : y.asPlane(), kernels);
      NormKernels.Gradient kernel =
          kernels.norm().gradient(false, from.asPlane(), x.asPlane(), to.asPlane());
      return Work.of((worker, first, n) -> {
        for (int i = first; i < first + n; i++) {
          for (int b = 0; b < x.blocks(); b++) {
            sums.run(
                placement.memory(),
                from.at(i, b, 0, 0),
                x.at(i, b, 0, 0),
                y == null ? 0 : y.at(i, b, 0, 0),
                moments.means(i, b),
                moments.clearedSums(placement.arena(), i, b));
          }
          moments.finishGradient(placement.arena(), i, placement.gradientsAt(worker));
          to.clearBorder(placement.arena(), i);
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placement.memory(),
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
