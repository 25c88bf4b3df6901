package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.InputGradient;
import io.github.resnet4j.engine.conv.WeightGradient;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.kernel.PoolKernels;
import java.util.Arrays;
import java.util.List;

/** The tasks after the last block: the mean of all pixels, the head, the loss. */
final class HeadTasks {
  private HeadTasks() {}

  /** The mean of all pixels, which becomes a pixel of an image of one row. */
  record Average(Slot in, Slot out) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(in, out);
    }

    @Override
    public Work place(TrainingPlacement placement) {
      Activation from = placement.at(in);
      Activation to = placement.at(out);
      TrainingSetup setup = placement.trainingLayout().setup();
      PoolKernels.Average average = setup.kernels().pool().average(from.asPlane());
      return Work.of(
              (_, first, n) -> {
                for (int i = first; i < first + n; i++) {
                  for (int b = 0; b < from.blocks(); b++) {
                    average.run(placement.memory(), from.at(i, b, 0, 0), to.at(0, b, 0, i));
                  }
                }
              })
          .finishedBy((worker, count) -> {
            int end = setup.rangeStart(worker + 1, to.blocks());
            for (int b = setup.rangeStart(worker, to.blocks()); b < end; b++) {
              // Missing images.
              Arrays.fill(
                  placement.arena(), to.at(0, b, 0, count), to.at(0, b, 0, setup.batch()), 0);
            }
          });
    }
  }

  /** Computes logits from means. */
  record Forward(HeadUnit head) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.pooled(), head.logits());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      TrainingLayout trainingLayout = placement.trainingLayout();
      var step =
          new DirectConv(
              trainingLayout.convolution(head.conv(), head.pooled(), head.logits(), false),
              new Operands(placement.at(head.pooled()), placement.at(head.logits()), null),
              trainingLayout.weights(head.conv()).direct,
              trainingLayout.kernels());
      int threads = trainingLayout.setup().threads();
      return Work.before((worker, _) -> step.run(placement.context(), 0, 1, 0, worker, threads));
    }
  }

  /** The loss and the gradient of the logits. */
  record Loss(HeadUnit head) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.logits(), head.gradient());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      HeadLoss loss = placement.loss();
      return Work.of((worker, first, n) -> loss.run(placement.arena(), worker, first, n))
          .finishedBy((worker, _) -> {
            if (worker == 0) {
              loss.clearRest(placement.arena());
            }
          });
    }
  }

  /** The gradients of weight and bias; each worker computes those of some outputs. */
  record Gradients(HeadUnit head, boolean weightLearns) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.pooled(), head.gradient());
    }

    @Override
    public Work place(TrainingPlacement placement) {
      TrainingLayout trainingLayout = placement.trainingLayout();
      TrainingSetup setup = trainingLayout.setup();
      var weight =
          new WeightGradient(
              trainingLayout.weights(head.conv()),
              placement.at(head.pooled()),
              placement.at(head.gradient()),
              placement.zerosAt(),
              trainingLayout.kernels());
      int biasAt =
          placement.gradientsAt(0) + trainingLayout.parameters().from(head.layer().bias().name());
      return Work.before((worker, _) -> {
        if (weightLearns) {
          int from = setup.rangeStart(worker, weight.blocks());
          int end = setup.rangeStart(worker + 1, weight.blocks());
          weight.run(placement.memory(), placement.gradientsAt(worker), 0, 1, from, end);
        }
        if (worker == 0) {
          placement.loss().addBiasGradient(placement.arena(), biasAt);
        }
      });
    }
  }

  /** The gradient of the means: all workers prepare the weights, one worker multiplies. */
  record InputGradientTask(HeadUnit head, Slot to) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.gradient(), to);
    }

    private InputGradient step(TrainingLayout trainingLayout) {
      return new InputGradient(
          trainingLayout.weights(head.conv()),
          trainingLayout.layout(head.gradient()),
          trainingLayout.layout(to),
          false,
          trainingLayout.kernels());
    }

    @Override
    public int scratch(TrainingLayout trainingLayout) {
      return InputGradient.START + step(trainingLayout).scratchSize();
    }

    @Override
    public Work place(TrainingPlacement placement) {
      InputGradient step = step(placement.trainingLayout());
      Activation from = placement.at(head.gradient());
      Activation result = placement.at(to);
      int threads = placement.trainingLayout().setup().threads();
      return Work.before(
              (worker, _) -> {
                for (int b = worker; b < step.parts(); b += threads) {
                  step.prepare(placement.scratch(), InputGradient.START, b);
                }
              })
          .finishedBy((worker, _) -> {
            if (worker == 0) {
              step.run(placement.memory(), placement.scratch(), from, result, 0, 1);
            }
          });
    }
  }

  /** The gradient of the pixels from that of their mean. */
  record Spread(Slot g, Slot to) implements Task {
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
          for (int b = 0; b < result.blocks(); b++) {
            PoolGradients.spread(placement.arena(), from.at(0, b, 0, i), result, i, b);
          }
        }
      });
    }
  }
}
