package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.step.Frame;
import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A training step in which everything has its place, with the arrays that hold it. */
final class Placed {
  private final LaidOut laid;
  private final Rooms rooms;
  private final Frame frame = new Frame();
  private final Floats scratch;
  private final Map<Unit, TrainedNorm> norms = new LinkedHashMap<>();
  private final Map<Unit, BranchScale> scales = new LinkedHashMap<>();
  private final CrossEntropy loss;

  /**
   * @throws ArithmeticException if one array cannot hold the activations
   */
  Placed(LaidOut laid) {
    this.laid = laid;
    this.rooms = new Rooms(laid);
    frame.makeRoom(rooms.floats());
    this.scratch = Floats.of(new float[rooms.scratch()]);
    for (Unit unit : laid.units()) {
      norms.put(unit, makeNorm(unit));
      if (unit.scale() != null) {
        scales.put(unit, makeScale(unit));
      }
    }
    this.loss = new CrossEntropy(at(laid.head().logits()), at(laid.head().gradient()));
  }

  private TrainedNorm makeNorm(Unit unit) {
    BatchNorm2d layer = unit.norm();
    ParameterLayout parameters = laid.parameters();
    return new TrainedNorm(
        new RunningStatistics(layer, laid.state()),
        new TrainedNorm.Weights(
            parameters.weights().values(),
            parameters.from(layer.name() + ".weight"),
            parameters.from(layer.name() + ".bias")),
        at(unit.x()),
        at(unit.numbers()),
        at(unit.sums()),
        laid.setup().frozenStatistics());
  }

  private BranchScale makeScale(Unit unit) {
    Unit.BlockEnd end = Objects.requireNonNull(unit.end());
    ParameterLayout parameters = laid.parameters();
    return new BranchScale(
        norm(unit),
        end.projection() == null ? null : norm(end.projection()),
        end.attention() == null
            ? null
            : Gates.of(end.attention(), parameters.weights().values(), parameters::from),
        at(Objects.requireNonNull(end.scale())),
        laid.setup().batch());
  }

  LaidOut laid() {
    return laid;
  }

  Activation at(Slot slot) {
    return new Activation(laid.layout(slot), rooms.offset(slot));
  }

  /** What a step reads beside the arena. */
  Frame frame() {
    return frame;
  }

  /** The arena as kernels take it. */
  Floats memory() {
    return frame.memory();
  }

  float[] arena() {
    return frame.arena();
  }

  /** Where stages put weights that they want in another order. */
  Floats scratch() {
    return scratch;
  }

  TrainedNorm norm(Unit unit) {
    return Objects.requireNonNull(norms.get(unit));
  }

  @Nullable BranchScale scale(Unit unit) {
    return scales.get(unit);
  }

  /** Of the blocks whose main branch is scaled, first to last. */
  List<BranchScale> scales() {
    return List.copyOf(scales.values());
  }

  CrossEntropy loss() {
    return loss;
  }

  /** Where a worker's own room for a task begins. */
  int roomAt(Task task, int worker) {
    return rooms.offset(task, worker);
  }

  /** Where a worker adds its gradients of all parameters, in the order of the weights. */
  int gradientsAt(int worker) {
    return rooms.gradients(worker);
  }

  /** Where as many zeros lie as a block has channels. */
  int zerosAt() {
    return rooms.zeros();
  }
}
