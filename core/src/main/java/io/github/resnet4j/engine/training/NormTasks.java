package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.NormKernels;
import io.github.resnet4j.kernel.NormKernels.Mask;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Batch norm with the sum and the ReLU behind it, and their gradients. */
final class NormTasks {
  private NormTasks() {}

  /** Those of some slots that are there. */
  static List<Slot> present(@Nullable Slot... slots) {
    return Stream.of(slots).filter(Objects::nonNull).toList();
  }

  /**
   * The statistics of the batch, and from them what the result is multiplied with and what is added
   * to it.
   */
  record Statistics(Unit unit) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.x(), unit.sums());
    }

    @Override
    public Pass place(Placed placed) {
      TrainingSetup setup = placed.laid().setup();
      TrainedNorm norm = placed.norm(unit);
      BranchScale scale = placed.scale(unit);
      TrainedNorm projection = unit.projection() == null ? null : placed.norm(unit.projection());
      int channels = unit.norm().channels();
      Pass.Job prepare =
          (worker, _) -> {
            norm.begin(
                placed.arena(), setup.share(worker, channels), setup.share(worker + 1, channels));
            if (worker == 0 && scale != null) {
              scale.begin();
            }
          };
      Pass.Job finish =
          (worker, count) -> {
            int from = setup.share(worker, channels);
            int end = setup.share(worker + 1, channels);
            norm.finish(placed.arena(), count, from, end);
            if (projection != null) {
              norm.add(projection, placed.arena(), from, end);
            }
          };
      boolean needsSums = !setup.frozenStatistics() || isWeighed(unit);
      return new Pass(prepare, needsSums ? moments(placed, norm) : null, finish);
    }

    private static boolean isWeighed(Unit unit) {
      return unit.end() != null && unit.end().attention() != null;
    }

    private static Pass.Images moments(Placed placed, TrainedNorm norm) {
      Activation x = norm.x();
      NormKernels.Moments kernel = placed.laid().kernels().norm().moments(x.asPlane());
      return (_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          norm.clearSums(placed.arena(), i);
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placed.memory(),
                x.at(i, b, 0, 0),
                norm.numbers(b, TrainedNorm.PIVOT),
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
  record Normalize(Unit unit, Slot y) implements Task {
    @Override
    public List<Slot> uses() {
      // A scale is made of the sums.
      Slot sums = unit.scale() == null ? null : unit.sums();
      return present(unit.x(), y, unit.residual(), unit.scale(), sums);
    }

    @Override
    public Pass place(Placed placed) {
      TrainedNorm norm = placed.norm(unit);
      BranchScale scale = placed.scale(unit);
      Activation x = norm.x();
      Activation result = placed.at(y);
      Activation residual = unit.residual() == null ? null : placed.at(unit.residual());
      NormKernels.Normalize kernel =
          placed
              .laid()
              .kernels()
              .norm()
              .normalize(
                  x.asPlane(), residual == null ? null : residual.asPlane(), result.asPlane());
      return Pass.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          result.clearBorder(placed.arena(), i);
          if (scale != null) {
            scale.open(placed.arena(), i);
          }
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placed.memory(),
                x.at(i, b, 0, 0),
                scale == null ? norm.numbers(b, TrainedNorm.A) : scale.forward(i, b),
                residual == null ? 0 : residual.at(i, b, 0, 0),
                result.at(i, b, 0, 0));
          }
        }
      });
    }
  }

  /**
   * Takes a complete gradient through the ReLU and sums it for the batch norm behind it, and for
   * that of a projection.
   *
   * @param g the gradient of the result
   * @param y the result
   */
  record GradientSums(Unit unit, Slot g, Slot y) implements Task {
    @Override
    public List<Slot> uses() {
      Unit projection = unit.projection();
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
    public Pass place(Placed placed) {
      Mask mask = unit.end() == null ? Mask.INPUT : Mask.OUTPUT;
      Sums own = sums(placed, placed.norm(unit), mask);
      Sums projections =
          unit.projection() == null
              ? null
              : sums(placed, placed.norm(unit.projection()), Mask.NONE);
      BranchScale scale = placed.scale(unit);
      int blocks = placed.norm(unit).x().blocks();
      return Pass.of(
              (worker, first, n) -> {
                for (int i = first; i < first + n; i++) {
                  own.clear(placed.arena(), i);
                  if (projections != null) {
                    projections.clear(placed.arena(), i);
                  }
                  for (int b = 0; b < blocks; b++) {
                    own.run(placed.memory(), i, b);
                    if (projections != null) {
                      projections.run(placed.memory(), i, b);
                    }
                  }
                  if (scale != null) {
                    scale.close(placed.arena(), i, placed.gradientsAt(worker));
                  }
                }
              })
          .finishedBy((worker, count) -> {
            finish(placed, unit, worker, count);
            if (unit.projection() != null) {
              finish(placed, unit.projection(), worker, count);
            }
          });
    }

    private Sums sums(Placed placed, TrainedNorm norm, Mask mask) {
      Activation gradient = placed.at(g);
      Activation result = mask == Mask.OUTPUT ? placed.at(y) : null;
      return new Sums(
          norm,
          gradient,
          result,
          placed
              .laid()
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
            norm.numbers(b, TrainedNorm.MEAN),
            norm.sums(image, b));
      }
    }

    private static void finish(Placed placed, Unit unit, int worker, int count) {
      TrainingSetup setup = placed.laid().setup();
      int channels = unit.norm().channels();
      placed
          .norm(unit)
          .finishGradient(
              placed.arena(),
              placed.gradientsAt(0),
              count,
              setup.share(worker, channels),
              setup.share(worker + 1, channels));
    }
  }

  /**
   * The gradient of what is normalised.
   *
   * @param isMasked whether the ReLU has not been taken into account yet
   * @param g the gradient of the result
   * @param dx that of x
   */
  record Gradient(Unit unit, boolean isMasked, Slot g, Slot dx) implements Task {
    @Override
    public List<Slot> uses() {
      return present(g, dx, unit.x(), unit.scale());
    }

    @Override
    public Pass place(Placed placed) {
      TrainedNorm norm = placed.norm(unit);
      BranchScale scale = placed.scale(unit);
      Activation x = norm.x();
      Activation from = placed.at(g);
      Activation to = placed.at(dx);
      NormKernels.Gradient kernel =
          placed
              .laid()
              .kernels()
              .norm()
              .gradient(isMasked, from.asPlane(), x.asPlane(), to.asPlane());
      return Pass.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          to.clearBorder(placed.arena(), i);
          if (scale != null) {
            scale.openGradient(placed.arena(), i);
          }
          for (int b = 0; b < x.blocks(); b++) {
            kernel.run(
                placed.memory(),
                from.at(i, b, 0, 0),
                x.at(i, b, 0, 0),
                scale == null ? norm.numbers(b, TrainedNorm.P) : scale.backward(i, b),
                to.at(i, b, 0, 0));
          }
        }
      });
    }
  }
}
