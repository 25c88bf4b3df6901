package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.PoolKernels;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Layers without parameters, and their gradients. */
final class PoolTasks {
  private PoolTasks() {}

  private static void clear(float[] arena, Activation activation, int image) {
    int from = activation.image(image);
    Arrays.fill(arena, from, from + activation.layout().imageSize(), 0);
  }

  /** The step of a layer. */
  interface Placing {
    Step step(Activation in, Activation out);
  }

  /** The gradient of one image: adds that of the output, times what each pixel counted. */
  interface Scatter {
    void run(float[] arena, Activation g, Activation to, int image);
  }

  /**
   * @param border pixels that windows reach over the edge
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
    public Pass place(Placed placed) {
      Step step = placing.step(placed.at(in), placed.at(out));
      return Pass.of((_, first, n) -> step.run(placed.frame(), first, n, 0, 0, 1));
    }
  }

  /**
   * @param g the gradient of the output
   * @param to that of the input
   * @param isSum whether it is added to what is there
   */
  record Gradient(Slot g, Slot to, boolean isSum, Scatter scatter) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(g, to);
    }

    @Override
    public Pass place(Placed placed) {
      Activation from = placed.at(g);
      Activation result = placed.at(to);
      return Pass.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          if (!isSum) {
            clear(placed.arena(), result, i);
          }
          scatter.run(placed.arena(), from, result, i);
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
    public Pass place(Placed placed) {
      Activation input = placed.at(in);
      Activation maxima = placed.at(out);
      Activation from = placed.at(g);
      Activation result = placed.at(to);
      PoolKernels.MaxGradientRow kernel =
          placed
              .laid()
              .kernels()
              .pool()
              .maxGradient(
                  new PoolKernels.Windows(pool.kernel(), pool.stride()),
                  input.asPlane(),
                  maxima.asPlane(),
                  result.asPlane());
      return Pass.of((_, first, n) -> {
        for (int i = first; i < first + n; i++) {
          clear(placed.arena(), result, i);
          for (int b = 0; b < input.blocks(); b++) {
            for (int y = 0; y < maxima.height(); y++) {
              int row = y * pool.stride() - pool.padding();
              kernel.run(
                  placed.memory(),
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
