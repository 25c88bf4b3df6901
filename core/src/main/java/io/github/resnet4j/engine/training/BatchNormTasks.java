package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.kernel.NormKernels.Mask;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The tasks of batch norm with the following addition and ReLU, forward and backward. */
final class BatchNormTasks {
  private BatchNormTasks() {}

  /** The slots that are not null. */
  static List<Slot> present(@Nullable Slot... slots) {
    return Stream.of(slots).filter(Objects::nonNull).toList();
  }

  /** Computes the statistics of the batch, and from them the forward coefficients. */
  record Statistics(BatchNormUnit unit) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.x(), unit.sums());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      TrainingSetup setup = placement.trainingLayout().setup();
      TrainedNorm norm = placement.norm(unit);
      BranchScale scale = placement.scale(unit);
      TrainedNorm projection = unit.projection() == null ? null : placement.norm(unit.projection());
      int channels = unit.norm().channels();
      Work.Job prepare =
          (worker, _) -> {
            norm.begin(
                placement.arena(),
                setup.rangeStart(worker, channels),
                setup.rangeStart(worker + 1, channels));
            if (worker == 0 && scale != null) {
              scale.begin();
            }
          };
      Work.Job finish =
          (worker, count) -> {
            int from = setup.rangeStart(worker, channels);
            int end = setup.rangeStart(worker + 1, channels);
            norm.finish(placement.arena(), count, from, end);
            if (projection != null) {
              norm.add(projection, placement.arena(), from, end);
            }
          };
      boolean needsSums = !setup.frozenStatistics() || isScaled(unit);
      return new Work(prepare, needsSums ? moments(placement, norm) : null, finish);
    }

    private static boolean isScaled(BatchNormUnit unit) {
      return unit.end() != null && unit.end().attention() != null;
    }

    private static Work.Images moments(TrainingPlacement placement, TrainedNorm norm) {
      Activation x = norm.x();
      NormKernels.Moments kernel = placement.trainingLayout().kernels().norm().moments(x.asPlane());
      return (_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          norm.clearSums(placement.arena(), i);
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placement.memory(),
                x.at(i, b, 0, 0),
                norm.coefficients(b, TrainedNorm.PIVOT),
                norm.sums(i, b));
          }
        }
      };
    }
  }

  /**
   * {@code y = relu(norm(x) + residual)}.
   *
   * @param y the result
   */
  record Normalize(BatchNormUnit unit, Slot y) implements Task {
    @Override
    public List<Slot> uses() {
      // The scale is computed from the sums.
      Slot sums = unit.scale() == null ? null : unit.sums();
      return present(unit.x(), y, unit.residual(), unit.scale(), sums);
    }

    @Override
    public Work place(TrainingPlacement placement) {
      TrainedNorm norm = placement.norm(unit);
      BranchScale scale = placement.scale(unit);
      Activation x = norm.x();
      Activation result = placement.at(y);
      Activation residual = unit.residual() == null ? null : placement.at(unit.residual());
      NormKernels.Normalize kernel =
          placement
              .trainingLayout()
              .kernels()
              .norm()
              .normalize(
                  x.asPlane(), residual == null ? null : residual.asPlane(), result.asPlane());
      return Work.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          result.clearBorder(placement.arena(), i);
          if (scale != null) {
            scale.open(placement.arena(), i);
          }
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placement.memory(),
                x.at(i, b, 0, 0),
                scale == null ? norm.coefficients(b, TrainedNorm.A) : scale.forward(i, b),
                residual == null ? 0 : residual.at(i, b, 0, 0),
                result.at(i, b, 0, 0));
          }
        }
      });
    }
  }

  /**
   * Applies the ReLU to a complete gradient and sums it for the batch norm before it, and for that
   * of a projection.
   *
   * @param g the gradient of the result
   * @param y the result
   */
  record GradientSums(BatchNormUnit unit, Slot g, Slot y) implements Task {
    @Override
    public List<Slot> uses() {
      BatchNormUnit projection = unit.projection();
      return present(
          g,
          y,
          unit.x(),
          unit.sums(),
          unit.scale(),
          projection == null ? null : projection.x(),
          projection == null ? null : projection.sums());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      Mask mask = unit.end() == null ? Mask.INPUT : Mask.OUTPUT;
      Sums own = sums(placement, placement.norm(unit), mask);
      Sums projections =
          unit.projection() == null
              ? null
              : sums(placement, placement.norm(unit.projection()), Mask.NONE);
      BranchScale scale = placement.scale(unit);
      int blocks = placement.norm(unit).x().blocks();
      return Work.of(
              (worker, first, n) -> {
                for (int i = first; i < first + n; i++) {
                  own.clear(placement.arena(), i);
                  if (projections != null) {
                    projections.clear(placement.arena(), i);
                  }
                  for (int b = 0; b < blocks; b++) {
                    own.run(placement.memory(), i, b);
                    if (projections != null) {
                      projections.run(placement.memory(), i, b);
                    }
                  }
                  if (scale != null) {
                    scale.close(placement.arena(), i, placement.gradientsAt(worker));
                  }
                }
              })
          .finishedBy((worker, count) -> {
            finish(placement, unit, worker, count);
            if (unit.projection() != null) {
              finish(placement, unit.projection(), worker, count);
            }
          });
    }

    private Sums sums(TrainingPlacement placement, TrainedNorm norm, Mask mask) {
      Activation gradient = placement.at(g);
      Activation result = mask == Mask.OUTPUT ? placement.at(y) : null;
      return new Sums(
          norm,
          gradient,
          result,
          placement
              .trainingLayout()
              .kernels()
              .norm()
              .gradientMoments(
                  mask,
                  gradient.asPlane(),
                  norm.x().asPlane(),
                  result == null ? null : result.asPlane()));
    }

    /** The sums for one batch norm. */
    private record Sums(
        TrainedNorm norm,
        Activation gradient,
        @Nullable Activation result,
        NormKernels.GradientMoments kernel) {
      void clear(float[] arena, int image) {
        norm.clearSums(arena, image);
      }

      void run(Floats arena, int image, int b) {
        kernel.run(
            arena,
            gradient.at(image, b, 0, 0),
            norm.x().at(image, b, 0, 0),
            result == null ? 0 : result.at(image, b, 0, 0),
            norm.coefficients(b, TrainedNorm.MEAN),
            norm.sums(image, b));
      }
    }

    private static void finish(
        TrainingPlacement placement, BatchNormUnit unit, int worker, int count) {
      TrainingSetup setup = placement.trainingLayout().setup();
      int channels = unit.norm().channels();
      placement
          .norm(unit)
          .finishGradient(
              placement.arena(),
              placement.gradientsAt(0),
              count,
              setup.rangeStart(worker, channels),
              setup.rangeStart(worker + 1, channels));
    }
  }

  /**
   * The gradient of the norm's input.
   *
   * @param isMasked whether the ReLU is still to be applied to g
   * @param g the gradient of the result
   * @param dx the gradient of x
   */
  record Gradient(BatchNormUnit unit, boolean isMasked, Slot g, Slot dx) implements Task {
    @Override
    public List<Slot> uses() {
      return present(g, dx, unit.x(), unit.scale());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      TrainedNorm norm = placement.norm(unit);
      BranchScale scale = placement.scale(unit);
      Activation x = norm.x();
      Activation from = placement.at(g);
      Activation to = placement.at(dx);
      NormKernels.Gradient kernel =
          placement
              .trainingLayout()
              .kernels()
              .norm()
              .gradient(isMasked, from.asPlane(), x.asPlane(), to.asPlane());
      return Work.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          to.clearBorder(placement.arena(), i);
          if (scale != null) {
            scale.openGradient(placement.arena(), i);
          }
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placement.memory(),
                from.at(i, b, 0, 0),
                x.at(i, b, 0, 0),
                scale == null ? norm.coefficients(b, TrainedNorm.P) : scale.backward(i, b),
                to.at(i, b, 0, 0));
          }
        }
      });
    }
  }
}
