package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.engine.step.WindowAxes;
import io.github.resnet4j.kernel.PoolKernels;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The tasks of layers without parameters, forward and backward. */
final class PoolTasks {
  private PoolTasks() {}

  private static void clear(float[] arena, Activation activation, int image) {
    int from = activation.image(image);
    Arrays.fill(arena, from, from + activation.layout().imageSize(), 0);
  }

  /** Creates the step of a layer. */
  interface Placing {
    Step step(Activation in, Activation out);
  }

  /** Creates the windows of a layer. */
  interface Axes {
    WindowAxes of(Activation in, Activation out);
  }

  /**
   * @param border the number of pixels that windows extend beyond the edge
   */
  record Forward(Slot in, Slot out, int border, Placing placing) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(in, out);
    }

    @Override
    public Map<Slot, Border> borders() {
      return Map.of(in, Border.of(border));
    }

    @Override
    public Work place(TrainingPlacement placement) {
      Step step = placing.step(placement.at(in), placement.at(out));
      int phases = step.phases();
      return Work.of((_, first, n) -> {
        for (int phase = 0; phase < phases; phase++) {
          step.run(placement.context(), first, n, phase, 0, 1);
        }
      });
    }
  }

  /**
   * The gradient of average pooling, or of a low-pass filter: weighted sums again.
   *
   * @param axes those of the layer
   * @param g the gradient of the output
   * @param to the gradient of the input
   * @param isSum whether the result is added to the existing gradient
   */
  record WindowGradient(Axes axes, Slot g, Slot to, boolean isSum) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(g, to);
    }

    @Override
    public Work place(TrainingPlacement placement) {
      Activation from = placement.at(g);
      Activation result = placement.at(to);
      WindowAxes transposed = axes.of(result, from).transposed(result);
      PoolKernels.WeightedRow kernel =
          placement
              .trainingLayout()
              .kernels()
              .pool()
              .weighted(
                  transposed.rows(), transposed.columns(), from.asPlane(), result.asPlane(), isSum);
      return Work.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          if (!isSum) {
            result.clearBorder(placement.arena(), i);
          }
          for (int b = 0; b < from.blocks(); b++) {
            for (int y = 0; y < result.height(); y++) {
              kernel.run(placement.memory(), from.at(i, b, 0, 0), y, result.at(i, b, y, 0));
            }
          }
        }
      });
    }
  }

  /**
   * The gradient of the option A shortcut.
   *
   * @param g the gradient of the output
   * @param to the gradient of the input
   * @param isSum whether the result is added to the existing gradient
   */
  record SubsampleGradient(int stride, Slot g, Slot to, boolean isSum) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(g, to);
    }

    @Override
    public Work place(TrainingPlacement placement) {
      Activation from = placement.at(g);
      Activation result = placement.at(to);
      return Work.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          if (!isSum) {
            clear(placement.arena(), result, i);
          }
          PoolGradients.addSubsampled(placement.arena(), stride, from, result, i);
        }
      });
    }
  }

  /**
   * The gradient of max pooling.
   *
   * @param g the gradient of the output
   * @param to that of the input
   */
  record MaxGradient(MaxPool2d pool, Slot in, Slot out, Slot g, Slot to) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(in, out, g, to);
    }

    @Override
    public Map<Slot, Border> borders() {
      return Map.of(to, Border.of(pool.padding()));
    }

    @Override
    public Work place(TrainingPlacement placement) {
      Activation input = placement.at(in);
      Activation maxima = placement.at(out);
      Activation from = placement.at(g);
      Activation result = placement.at(to);
      PoolKernels.MaxGradientRow kernel =
          placement
              .trainingLayout()
              .kernels()
              .pool()
              .maxGradient(
                  new PoolKernels.Windows(pool.kernel(), pool.stride()),
                  input.asPlane(),
                  maxima.asPlane(),
                  result.asPlane());
      return Work.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          clear(placement.arena(), result, i);
          for (int b = 0; b < input.blocks(); b++) {
            for (int y = 0; y < maxima.height(); y++) {
              int row = y * pool.stride() - pool.padding();
              kernel.run(
                  placement.memory(),
                  input.at(i, b, row, -pool.padding()),
                  maxima.at(i, b, y, 0),
                  from.at(i, b, y, 0),
                  result.at(i, b, row, -pool.padding()));
            }
          }
        }
      });
    }
  }
}
