package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.InputGradient;
import io.github.resnet4j.engine.conv.WeightGradient;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.kernel.PoolKernels;
import java.util.Arrays;
import java.util.List;

/** What comes after the last block: the mean over all pixels, the head, the loss. */
final class HeadTasks {
  private HeadTasks() {}

  /** The mean over all pixels, which becomes a pixel of an image of one row. */
  record Average(Slot in, Slot out) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(in, out);
    }

    @Override
    public Pass place(Placed placed) {
      Activation from = placed.at(in);
      Activation to = placed.at(out);
      TrainingSetup setup = placed.laid().setup();
      PoolKernels.Average average = setup.kernels().pool().average(from.asPlane());
      return Pass.of(
              (_, first, n) -> {
                for (int i = first; i < first + n; i++) {
                  for (int b = 0; b < from.blocks(); b++) {
                    average.run(placed.memory(), from.at(i, b, 0, 0), to.at(0, b, 0, i));
                  }
                }
              })
          .finishedBy((worker, count) -> {
            int end = setup.share(worker + 1, to.blocks());
            for (int b = setup.share(worker, to.blocks()); b < end; b++) {
              // Images that are not there.
              Arrays.fill(placed.arena(), to.at(0, b, 0, count), to.at(0, b, 0, setup.batch()), 0);
            }
          });
    }
  }

  /** From means to logits. */
  record Forward(HeadUnit head) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.pooled(), head.logits());
    }

    @Override
    public Pass place(Placed placed) {
      LaidOut laid = placed.laid();
      var step =
          new DirectConv(
              laid.convolution(head.conv(), head.pooled(), head.logits(), false),
              new Operands(placed.at(head.pooled()), placed.at(head.logits()), null),
              laid.weights(head.conv()).direct,
              laid.kernels());
      int threads = laid.setup().threads();
      return Pass.before((worker, _) -> step.run(placed.frame(), 0, 1, 0, worker, threads));
    }
  }

  /** The loss and the gradient of the logits. */
  record Loss(HeadUnit head) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.logits(), head.gradient());
    }

    @Override
    public Pass place(Placed placed) {
      CrossEntropy loss = placed.loss();
      return Pass.of((_, first, n) -> loss.run(placed.arena(), first, n))
          .finishedBy((worker, _) -> {
            if (worker == 0) {
              loss.clearRest(placed.arena());
            }
          });
    }
  }

  /** The gradients of weight and bias, each worker's for some of the outputs. */
  record Gradients(HeadUnit head, boolean weightLearns) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.pooled(), head.gradient());
    }

    @Override
    public Pass place(Placed placed) {
      LaidOut laid = placed.laid();
      TrainingSetup setup = laid.setup();
      var weight =
          new WeightGradient(
              laid.weights(head.conv()),
              placed.at(head.pooled()),
              placed.at(head.gradient()),
              placed.zerosAt(),
              laid.kernels());
      int biasAt = placed.gradientsAt(0) + laid.parameters().from(head.layer().bias().name());
      return Pass.before((worker, _) -> {
        if (weightLearns) {
          int from = setup.share(worker, weight.blocks());
          int end = setup.share(worker + 1, weight.blocks());
          weight.run(placed.memory(), placed.gradientsAt(worker), 0, 1, from, end);
        }
        if (worker == 0) {
          placed.loss().addBiasGradient(placed.arena(), biasAt);
        }
      });
    }
  }

  /** The gradient of the means: all workers prepare the weights, one multiplies. */
  record OfInput(HeadUnit head, Slot to) implements Task {
    @Override
    public List<Slot> uses() {
      return List.of(head.gradient(), to);
    }

    private InputGradient step(LaidOut laid) {
      return new InputGradient(
          laid.weights(head.conv()),
          laid.layout(head.gradient()),
          laid.layout(to),
          false,
          laid.kernels());
    }

    @Override
    public int scratch(LaidOut laid) {
      return InputGradient.START + step(laid).scratchSize();
    }

    @Override
    public Pass place(Placed placed) {
      InputGradient step = step(placed.laid());
      Activation from = placed.at(head.gradient());
      Activation result = placed.at(to);
      int threads = placed.laid().setup().threads();
      return Pass.before(
              (worker, _) -> {
                for (int b = worker; b < step.parts(); b += threads) {
                  step.prepare(placed.scratch(), InputGradient.START, b);
                }
              })
          .finishedBy((worker, _) -> {
            if (worker == 0) {
              step.run(placed.memory(), placed.scratch(), from, result, 0, 1);
            }
          });
    }
  }

  /** The gradient of the mean: every pixel has its share. */
  record Spread(Slot g, Slot to) implements Task {
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
          for (int b = 0; b < result.blocks(); b++) {
            PoolGradients.spread(placed.arena(), from.at(0, b, 0, i), result, i, b);
          }
        }
      });
    }
  }
}
