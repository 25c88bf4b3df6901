package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.InputGradient;
import io.github.resnet4j.engine.conv.WeightGradient;
import io.github.resnet4j.engine.conv.WinogradWeightGradient;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A convolution, and the gradients of its weights and its input. */
final class ConvTasks {
  private ConvTasks() {}

  static Task forward(ConvUnit unit, TrainingSetup setup) {
    var conv =
        new Convolution(unit.conv(), null, unit.in().layout(), unit.x().layout(), null, false);
    Winograd form = form(conv, unit, setup);
    return form == null ? new Forward(unit) : WinogradTask.forward(unit, form);
  }

  /**
   * @param dx the gradient of the convolution's result
   */
  static Task weightGradient(ConvUnit unit, Slot dx, TrainingSetup setup) {
    var conv = new Convolution(unit.conv(), null, unit.in().layout(), dx.layout(), null, false);
    Winograd form = form(conv, unit, setup);
    int images = Math.ceilDiv(setup.batch(), setup.threads());
    return form != null && WinogradWeightGradient.pays(conv.in(), conv.out(), form, images)
        ? new OfWeightsByWinograd(unit, dx, form)
        : new OfWeights(unit, dx);
  }

  /**
   * @param dx the gradient of the convolution's result
   * @param to the gradient of its input
   * @param isSum whether it is added to what is there
   */
  static Task inputGradient(ConvUnit unit, Slot dx, Slot to, boolean isSum, TrainingSetup setup) {
    var conv =
        new Convolution(
            turned(unit.conv()), null, dx.layout(), to.layout(), isSum ? to.layout() : null, false);
    Winograd form = form(conv, unit, setup);
    return form == null
        ? new OfInput(unit, dx, to, isSum)
        : WinogradTask.inputGradient(unit, conv.layer(), dx, to, isSum, form);
  }

  private static @Nullable Winograd form(Convolution conv, ConvUnit unit, TrainingSetup setup) {
    return conv.isWinograd() ? setup.choice().winograd(conv, unit.imagesAtOnce(), 1) : null;
  }

  /** The convolution that leads from the gradient of a result to that of its input. */
  private static Conv2d turned(Conv2d layer) {
    return new Conv2d(
        layer.name(),
        layer.outChannels(),
        layer.inChannels(),
        layer.kernel(),
        layer.stride(),
        layer.dilation() * (layer.kernel() - 1) - layer.padding(),
        layer.dilation(),
        layer.groups());
  }

  /** The convolution itself. */
  private record Forward(ConvUnit unit) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.in(), unit.x());
    }

    @Override
    public Map<Slot, Border> borders() {
      return Map.of(unit.in(), Border.of(unit.conv().padding()));
    }

    @Override
    public Pass place(Placed placed) {
      LaidOut laid = placed.laid();
      var step =
          new DirectConv(
              laid.convolution(unit.conv(), unit.in(), unit.x(), false),
              new Operands(placed.at(unit.in()), placed.at(unit.x()), null),
              laid.weights(unit.conv()).direct,
              laid.kernels());
      return Pass.of((_, first, n) -> step.run(placed.frame(), first, n, 0, 0, 1));
    }
  }

  /** The gradient of the weights, each worker's for its own images. */
  private record OfWeights(ConvUnit unit, Slot dx) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.in(), dx);
    }

    @Override
    public Pass place(Placed placed) {
      var step =
          new WeightGradient(
              placed.laid().weights(unit.conv()),
              placed.at(unit.in()),
              placed.at(dx),
              placed.zerosAt(),
              placed.laid().kernels());
      var pass =
          Pass.of((worker, first, n) ->
              step.run(placed.memory(), placed.gradientsAt(worker), first, n, 0, step.blocks()));
      return unit.conv().groups() == 1
          ? pass
          : pass.finishedBy(
              (worker, _) -> step.clearBetweenGroups(placed.arena(), placed.gradientsAt(worker)));
    }
  }

  /** The same by Winograd's algorithm. */
  private record OfWeightsByWinograd(ConvUnit unit, Slot dx, Winograd form) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.in(), dx);
    }

    @Override
    public Map<Slot, Border> borders() {
      Slot in = unit.in();
      return Map.of(
          in,
          Border.of(form, in.layout().height(), in.layout().width()),
          dx,
          Border.of(form, dx.layout().height(), dx.layout().width()));
    }

    @Override
    public int room(LaidOut laid) {
      return WinogradWeightGradient.room(
          laid.layout(unit.in()), laid.layout(dx), form, unit.imagesAtOnce());
    }

    @Override
    public Pass place(Placed placed) {
      Activation in = placed.at(unit.in());
      Activation gradient = placed.at(dx);
      Kernels kernels = placed.laid().kernels();
      var steps = new WinogradWeightGradient[placed.laid().setup().threads()];
      Arrays.setAll(
          steps,
          worker ->
              new WinogradWeightGradient(
                  placed.laid().weights(unit.conv()),
                  in,
                  gradient,
                  form,
                  unit.imagesAtOnce(),
                  placed.roomAt(this, worker),
                  placed.zerosAt(),
                  kernels));
      return Pass.of((worker, first, n) -> steps[worker].run(placed.memory(), first, n))
          .preparedBy((worker, _) -> steps[worker].clear(placed.arena()))
          .finishedBy(
              (worker, _) -> steps[worker].finish(placed.arena(), placed.gradientsAt(worker)));
    }
  }

  /** The gradient of the input. */
  private record OfInput(ConvUnit unit, Slot dx, Slot to, boolean isSum) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(dx, to);
    }

    @Override
    public Map<Slot, Border> borders() {
      return Map.of(dx, InputGradient.border(unit.conv(), dx.layout(), to.layout()));
    }

    private InputGradient step(LaidOut laid) {
      return new InputGradient(
          laid.weights(unit.conv()), laid.layout(dx), laid.layout(to), isSum, laid.kernels());
    }

    @Override
    public int scratch(LaidOut laid) {
      return InputGradient.START + step(laid).scratchSize();
    }

    @Override
    public Pass place(Placed placed) {
      InputGradient step = step(placed.laid());
      Activation from = placed.at(dx);
      Activation result = placed.at(to);
      int threads = placed.laid().setup().threads();
      return Pass.of(
              (_, first, n) -> step.run(placed.memory(), placed.scratch(), from, result, first, n))
          .preparedBy((worker, _) -> {
            for (int b = worker; b < step.parts(); b += threads) {
              step.prepare(placed.scratch(), InputGradient.START, b);
            }
          });
    }
  }
}
