package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.PairedWeightGradient;
import io.github.resnet4j.engine.conv.PairedWeights;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.step.Operands;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The tasks of a convolution of bfloat16 that differ from those of floats. */
final class PairedConvTasks {
  private PairedConvTasks() {}

  /** The convolution itself; its weights are rounded before the images. */
  record Forward(ConvUnit unit) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.in(), unit.x());
    }

    @Override
    public Map<Slot, Border> borders() {
      return Map.of(unit.in(), Border.of(unit.conv().padding()));
    }

    private Convolution convolution(TrainingLayout trainingLayout) {
      return trainingLayout.convolution(unit.conv(), unit.in(), unit.x(), false);
    }

    @Override
    public int scratch(TrainingLayout trainingLayout) {
      ConvWeights weights = trainingLayout.weights(unit.conv());
      return PairedWeights.scratchSize(weights, convolution(trainingLayout));
    }

    @Override
    public Work place(TrainingPlacement placement) {
      TrainingLayout trainingLayout = placement.trainingLayout();
      Convolution conv = convolution(trainingLayout);
      var weights =
          new PairedWeights(
              trainingLayout.weights(unit.conv()),
              conv,
              placement.scratch(),
              trainingLayout.kernels());
      var step =
          new DirectConv(
              conv,
              new Operands(placement.at(unit.in()), placement.at(unit.x()), null),
              weights.direct(),
              trainingLayout.kernels());
      int threads = trainingLayout.setup().threads();
      return Work.of((_, first, n) -> step.run(placement.context(), first, n, 0, 0, 1))
          .preparedBy((worker, _) -> {
            for (int b = worker; b < weights.parts(); b += threads) {
              weights.prepare(b);
            }
          });
    }
  }

  /** The gradient of the weights; each worker sums over its own images. */
  record WeightGradientTask(ConvUnit unit, Slot dx) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(unit.in(), dx);
    }

    @Override
    public int workspace(TrainingLayout trainingLayout) {
      return PairedWeightGradient.workspace(
          trainingLayout.weights(unit.conv()),
          trainingLayout.layout(unit.in()),
          trainingLayout.layout(dx),
          unit.chunkSize());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      TrainingLayout trainingLayout = placement.trainingLayout();
      ConvWeights weights = trainingLayout.weights(unit.conv());
      Activation in = placement.at(unit.in());
      Activation gradient = placement.at(dx);
      var steps = new PairedWeightGradient[trainingLayout.setup().threads()];
      Arrays.setAll(
          steps,
          worker ->
              new PairedWeightGradient(
                  weights,
                  in,
                  gradient,
                  unit.chunkSize(),
                  placement.workspaceAt(this, worker),
                  placement.zerosAt(),
                  trainingLayout.kernels()));
      var pass =
          Work.of((worker, first, n) ->
                  steps[worker].run(placement.memory(), placement.gradientsAt(worker), first, n))
              .preparedBy((worker, _) -> steps[worker].clear(placement.arena()));
      return unit.conv().groups() == 1
          ? pass
          : pass.finishedBy((worker, _) ->
              weights.clearBetweenGroups(placement.arena(), placement.gradientsAt(worker)));
    }
  }
}
