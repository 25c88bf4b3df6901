package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A training step with the positions of everything, and the arrays that hold it. */
final class TrainingPlacement {
  private final TrainingLayout trainingLayout;
  private final TrainingBuffers buffers;
  private final ExecutionContext context = new ExecutionContext();
  private final Floats scratch;
  private final Map<BatchNormUnit, TrainedNorm> norms = new LinkedHashMap<>();
  private final Map<BatchNormUnit, BranchScale> scales = new LinkedHashMap<>();
  private final HeadLoss loss;

  /**
   * @throws ArithmeticException if one array cannot hold the activations
   */
  TrainingPlacement(TrainingLayout trainingLayout) {
    this.trainingLayout = trainingLayout;
    this.buffers = new TrainingBuffers(trainingLayout);
    context.ensureCapacity(buffers.floats());
    this.scratch = Floats.of(new float[buffers.scratch()]);
    for (BatchNormUnit unit : trainingLayout.units()) {
      norms.put(unit, makeNorm(unit));
      if (unit.scale() != null) {
        scales.put(unit, makeScale(unit));
      }
    }
    this.loss =
        new HeadLoss(
            trainingLayout.setup().loss(),
            at(trainingLayout.head().logits()),
            at(trainingLayout.head().gradient()),
            trainingLayout.setup().threads());
  }

  private TrainedNorm makeNorm(BatchNormUnit unit) {
    BatchNorm2d layer = unit.norm();
    ParameterLayout parameters = trainingLayout.parameters();
    return new TrainedNorm(
        new RunningStatistics(layer, trainingLayout.state()),
        new TrainedNorm.Weights(
            parameters.weights().values(),
            parameters.from(layer.name() + ".weight"),
            parameters.from(layer.name() + ".bias")),
        at(unit.x()),
        at(unit.coefficients()),
        at(unit.sums()),
        trainingLayout.setup().frozenStatistics());
  }

  private BranchScale makeScale(BatchNormUnit unit) {
    BatchNormUnit.BlockEnd end = Objects.requireNonNull(unit.end());
    ParameterLayout parameters = trainingLayout.parameters();
    return new BranchScale(
        norm(unit),
        end.projection() == null ? null : norm(end.projection()),
        end.attention() == null
            ? null
            : Gates.of(end.attention(), parameters.weights().values(), parameters::from),
        at(Objects.requireNonNull(end.scale())),
        trainingLayout.setup().batch());
  }

  TrainingLayout trainingLayout() {
    return trainingLayout;
  }

  Activation at(Slot slot) {
    return new Activation(trainingLayout.layout(slot), buffers.offset(slot));
  }

  /** What steps read beside the arena. */
  ExecutionContext context() {
    return context;
  }

  /** The arena in the form that kernels take. */
  Floats memory() {
    return context.memory();
  }

  float[] arena() {
    return context.arena();
  }

  /** The scratch array in which stages store weights in another order. */
  Floats scratch() {
    return scratch;
  }

  TrainedNorm norm(BatchNormUnit unit) {
    return Objects.requireNonNull(norms.get(unit));
  }

  @Nullable BranchScale scale(BatchNormUnit unit) {
    return scales.get(unit);
  }

  /** The factors of all blocks whose main branch is scaled, in order. */
  List<BranchFactors> branches() {
    return trainingLayout.branches().isEmpty()
        ? scales.values().stream().map(BranchScale::branchFactors).toList()
        : trainingLayout.branches();
  }

  HeadLoss loss() {
    return loss;
  }

  /** The index of a worker's own workspace for a task. */
  int workspaceAt(Task task, int worker) {
    return buffers.offset(task, worker);
  }

  /** The index of the gradients to which a worker adds, in the order of the weights. */
  int gradientsAt(int worker) {
    return buffers.gradients(worker);
  }

  /** The index of as many zeros as a block has channels. */
  int zerosAt() {
    return buffers.zeros();
  }
}
