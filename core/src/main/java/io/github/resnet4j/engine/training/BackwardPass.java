package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Parameter;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Writes the backward pass down: the operations from the last to the first, each with the rule for
 * its gradient. When an operation's turn has come, all that read its result have had theirs, so its
 * gradient is complete.
 *
 * <p>Batch norm ends a stage, since it needs sums over the whole batch: the stage that completes
 * the gradient of a result also sums it. The next one begins with the gradient of the convolution's
 * result and goes on with those of weights and input.
 */
final class BackwardPass {
  private final TrainingSetup setup;
  private final ForwardPass forward;
  private final Schedule schedule;

  /** Values on whose gradient that of a parameter depends. */
  private final Set<Value> needed = new HashSet<>();

  /** Where the gradient of a value is. */
  private final Map<Value, Slot> gradients = new HashMap<>();

  private String stage = "first sums";
  private int imagesAtOnce = 1;

  /**
   * @param graph as the forward pass has it
   * @param schedule to which the pass is added
   */
  BackwardPass(Graph graph, TrainingSetup setup, ForwardPass forward, Schedule schedule) {
    this.setup = setup;
    this.forward = forward;
    this.schedule = schedule;
    for (Op op : graph.ops()) {
      if (learns(op) || op.inputs().stream().anyMatch(needed::contains)) {
        needed.add(op.out());
      }
    }
    for (Op op : graph.ops().reversed()) {
      if (needed.contains(op.out()) || op instanceof Op.Head) {
        add(op);
      }
    }
    schedule.close(stage, imagesAtOnce);
  }

  private boolean learns(Op op) {
    return op instanceof Op.OfLayer one && learns(one.layer())
        || op instanceof Op.Conv conv && conv.norm() instanceof Layer norm && learns(norm);
  }

  private boolean learns(Layer layer) {
    return layer.parameters().stream()
        .anyMatch(parameter ->
            parameter.role() == Parameter.Role.TRAINED
                && !setup.frozen().contains(parameter.name()));
  }

  private void add(Op op) {
    switch (op) {
      case Op.Head(var linear, Value in, Value _) -> head(linear, in);
      case Op.GlobalAverage(var _, Value in, Value out) ->
          schedule.add(new HeadTasks.Spread(gradient(out), write(in)));
      case Op.Conv conv -> convolution(conv);
      case Op.Attention attention -> {
        complete(forward.unit(attention.in()), attention.out(), attention.residual());
        gradients.put(attention.in(), gradient(attention.out())); // batch norm adds the gates
      }
      case Op.GroupNorm norm -> groupNorm(norm);
      case Op.MaxPool(var pool, Value in, Value out) ->
          schedule.add(
              new PoolTasks.MaxGradient(
                  pool, forward.slot(in), forward.slot(out), gradient(out), write(in)));
      case Op.AveragePool(var pool, Value in, Value out) ->
          scatter(
              in,
              out,
              (arena, g, to, image) -> PoolGradients.addAveraged(arena, pool, g, to, image));
      case Op.Blur(var pool, Value in, Value out) ->
          scatter(
              in,
              out,
              (arena, g, to, image) -> PoolGradients.addBlurred(arena, pool, g, to, image));
      case Op.Subsample(var pad, Value in, Value out) ->
          scatter(
              in,
              out,
              (arena, g, to, image) -> PoolGradients.addSubsampled(arena, pad, g, to, image));
      case Op.Input _, Op.Output _ -> {}
      case Op.Norm _, Op.Relu _, Op.Add _ ->
          throw new IllegalArgumentException(op.name() + ": no convolution before it");
    }
  }

  private void head(Linear linear, Value in) {
    HeadUnit head = forward.head();
    schedule.add(new HeadTasks.Gradients(head, !isFrozen(linear.weight())));
    if (needed.contains(in)) {
      schedule.add(new HeadTasks.OfInput(head, write(in)));
    }
    schedule.close(linear.name() + " gradient", 1);
  }

  private void convolution(Op.Conv op) {
    if (op.norm() == null) { // its group norm has begun the stage
      convolution(op, forward.convolution(op.out()), gradient(op.out()));
      return;
    }
    Unit unit = forward.unit(op.out());
    if (op.relu()) {
      complete(unit, op.out(), op.residual());
    }
    begin(unit.conv());
    Slot g = gradient(op.out());
    // Where g is that of a shortcut, too, it is still needed, and its ReLU has had its turn.
    boolean isOwn = op.relu() && op.residual() == null;
    Slot dx = isOwn ? g : Slot.of(unit.x().layout());
    schedule.add(new NormTasks.Gradient(unit, isOwn, g, dx));
    convolution(op, unit.conv(), dx);
  }

  private void groupNorm(Op.GroupNorm op) {
    GroupNormUnit unit = forward.groupNorm(op.out());
    begin(unit.conv());
    Slot g = gradient(op.out());
    // Without ReLU it is a projection's, whose gradient is the main branch's, too.
    boolean isOwn = op.relu() && op.residual() == null;
    Slot dx = isOwn ? g : Slot.of(unit.x().layout());
    schedule.add(new GroupNormTasks.Gradient(unit, g, dx));
    gradients.put(op.in(), dx);
    if (op.residual() != null && needed.contains(op.residual())) {
      gradients.put(op.residual(), g); // its other readers add to it, as their turn comes later
    }
  }

  /** Begins the stage of a convolution's gradients. */
  private void begin(ConvUnit unit) {
    schedule.close(stage, imagesAtOnce);
    stage = unit.conv().name() + " gradient";
    imagesAtOnce = unit.imagesAtOnce();
  }

  /**
   * @param dx the complete gradient of the convolution's result
   */
  private void convolution(Op.Conv op, ConvUnit unit, Slot dx) {
    if (!isFrozen(op.layer().weight())) {
      schedule.add(ConvTasks.weightGradient(unit, dx, setup));
    }
    if (needed.contains(op.in())) {
      boolean isSum = gradients.containsKey(op.in());
      Slot to = isSum ? gradient(op.in()) : write(op.in());
      schedule.add(ConvTasks.inputGradient(unit, dx, to, isSum, setup));
    }
  }

  /**
   * Takes the complete gradient of a unit's result through the ReLU and sums it for batch norm; the
   * residual's gradient is the same.
   */
  private void complete(Unit unit, Value result, @Nullable Value residual) {
    Slot g = gradient(result);
    schedule.add(new NormTasks.GradientSums(unit, g, forward.slot(result)));
    if (residual != null && needed.contains(residual)) {
      gradients.put(residual, g); // its other readers add to it, as their turn comes later
    }
  }

  /** The gradient of a pool that adds to what other readers of its input left. */
  private void scatter(Value in, Value out, PoolTasks.Scatter scatter) {
    boolean isSum = gradients.containsKey(in);
    Slot to = isSum ? gradient(in) : write(in);
    schedule.add(new PoolTasks.Gradient(gradient(out), to, isSum, scatter));
  }

  private boolean isFrozen(Parameter parameter) {
    return setup.frozen().contains(parameter.name());
  }

  private Slot gradient(Value value) {
    return Objects.requireNonNull(gradients.get(value));
  }

  private Slot write(Value value) {
    Slot slot = Slot.of(forward.slot(value).layout());
    gradients.put(value, slot);
    return slot;
  }
}
