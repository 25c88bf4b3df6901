package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.InputGradient;
import io.github.resnet4j.engine.conv.WeightGradient;
import io.github.resnet4j.engine.conv.WinogradWeightGradient;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The tasks of a convolution: forward, and the gradients of its weights and its input. */
final class ConvTasks {
  private ConvTasks() {}

  static Task forward(ConvUnit unit, TrainingSetup setup) {
    var conv =
        new Convolution(unit.conv(), null, unit.in().layout(), unit.x().layout(), null, false);
    Winograd form = form(conv, unit, setup);
    if (form != null) {
      return WinogradTask.forward(unit, form);
    }
    return setup.format() == Format.BF16 ? new PairedConvTasks.Forward(unit) : new Forward(unit);
  }

  /**
   * @param dx the gradient of the convolution's result
   */
  static Task weightGradient(ConvUnit unit, Slot dx, TrainingSetup setup) {
    var conv = new Convolution(unit.conv(), null, unit.in().layout(), dx.layout(), null, false);
    boolean isOfPairs = setup.format() == Format.BF16;
    Winograd form = conv.isWinograd(setup.kernels()) ? form(conv.ofFloats(), unit, setup) : null;
    // Its factors are floats. Only F(4×4) saves more products than bfloat16 makes faster.
    boolean isFaster = !isOfPairs || (form == Winograd.F4 && form(conv, unit, setup) != null);
    int images = Math.ceilDiv(setup.batch(), setup.threads());
    if (form != null
        && isFaster
        && WinogradWeightGradient.isWorthwhile(conv.in(), conv.out(), form, images)) {
      return new WinogradWeightGradientTask(unit, dx, form);
    }
    return isOfPairs
        ? new PairedConvTasks.WeightGradientTask(unit, dx)
        : new WeightGradientTask(unit, dx);
  }

  /**
   * @param dx the gradient of the convolution's result
   * @param to the gradient of its input
   * @param isSum whether the result is added to the existing gradient
   */
  static Task inputGradient(ConvUnit unit, Slot dx, Slot to, boolean isSum, TrainingSetup setup) {
    var conv =
        new Convolution(
            rotated(unit.conv()),
            null,
            dx.layout(),
            to.layout(),
            isSum ? to.layout() : null,
            false);
    Winograd form = form(conv, unit, setup);
    return form == null
        ? new InputGradientTask(unit, dx, to, isSum)
        : WinogradTask.inputGradient(unit, conv.layer(), dx, to, isSum, form);
  }

  private static @Nullable Winograd form(Convolution conv, ConvUnit unit, TrainingSetup setup) {
    return conv.isWinograd(setup.kernels())
            && setup.choice().winograd(conv, unit.chunkSize(), 1) instanceof Winograd form
            && conv.allows(form)
        ? form
        : null;
  }

  /** The convolution that computes the gradient of the input from that of the result. */
  private static Conv2d rotated(Conv2d layer) {
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
    public Work place(TrainingPlacement placement) {
      TrainingLayout trainingLayout = placement.trainingLayout();
      var step =
          new DirectConv(
              trainingLayout.convolution(unit.conv(), unit.in(), unit.x(), false),
              new Operands(placement.at(unit.in()), placement.at(unit.x()), null),
              trainingLayout.weights(unit.conv()).direct,
              trainingLayout.kernels());
      return Work.of((_, first, n) -> step.run(placement.context(), first, n, 0, 0, 1));
    }
  }

  /** The gradient of the weights; each worker sums over its own images. */
  private record WeightGradientTask(ConvUnit unit, Slot dx) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.in(), dx);
    }

    @Override
    public Work place(TrainingPlacement placement) {
      ConvWeights weights = placement.trainingLayout().weights(unit.conv());
      var step =
          new WeightGradient(
              weights,
              placement.at(unit.in()),
              placement.at(dx),
              placement.zerosAt(),
              placement.trainingLayout().kernels());
      var pass =
          Work.of((worker, first, n) ->
              step.run(
                  placement.memory(), placement.gradientsAt(worker), first, n, 0, step.blocks()));
      return unit.conv().groups() == 1
          ? pass
          : pass.finishedBy((worker, _) ->
              weights.clearBetweenGroups(placement.arena(), placement.gradientsAt(worker)));
    }
  }

  /** The same by Winograd's algorithm. */
  private record WinogradWeightGradientTask(ConvUnit unit, Slot dx, Winograd form) implements Task {
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
    public int workspace(TrainingLayout trainingLayout) {
      return WinogradWeightGradient.workspace(
          trainingLayout.layout(unit.in()), trainingLayout.layout(dx), form, unit.chunkSize());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      Activation in = placement.at(unit.in());
      Activation gradient = placement.at(dx);
      Kernels kernels = placement.trainingLayout().kernels();
      var steps = new WinogradWeightGradient[placement.trainingLayout().setup().threads()];
      Arrays.setAll(
          steps,
          worker ->
              new WinogradWeightGradient(
                  placement.trainingLayout().weights(unit.conv()),
                  in,
                  gradient,
                  form,
                  unit.chunkSize(),
                  placement.workspaceAt(this, worker),
                  placement.zerosAt(),
                  kernels));
      return Work.of((worker, first, n) -> steps[worker].run(placement.memory(), first, n))
          .preparedBy((worker, _) -> steps[worker].clear(placement.arena()))
          .finishedBy((worker, _) ->
              steps[worker].finish(placement.memory(), placement.gradientsAt(worker)));
    }
  }

  /** The gradient of the input. */
  private record InputGradientTask(ConvUnit unit, Slot dx, Slot to, boolean isSum) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(dx, to);
    }

    @Override
    public Map<Slot, Border> borders() {
      return Map.of(dx, InputGradient.border(unit.conv(), dx.layout(), to.layout()));
    }

    private InputGradient step(TrainingLayout trainingLayout) {
      return new InputGradient(
          trainingLayout.weights(unit.conv()),
          trainingLayout.layout(dx),
          trainingLayout.layout(to),
          isSum,
          trainingLayout.kernels());
    }

    @Override
    public int scratch(TrainingLayout trainingLayout) {
      return InputGradient.START + step(trainingLayout).scratchSize();
    }

    @Override
    public Work place(TrainingPlacement placement) {
      InputGradient step = step(placement.trainingLayout());
      Activation from = placement.at(dx);
      Activation result = placement.at(to);
      int threads = placement.trainingLayout().setup().threads();
      return Work.of((_, first, n) ->
              step.run(placement.memory(), placement.scratch(), from, result, first, n))
          .preparedBy((worker, _) -> {
            for (int b = worker; b < step.parts(); b += threads) {
              step.prepare(placement.scratch(), InputGradient.START, b);
            }
          });
    }
  }
}
