package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.WindowAxes;
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
 * Schedules the backward pass: the operations in reverse order, each with its gradient rule. When
 * an operation is processed, all operations that read its result have been processed, so its
 * gradient is complete.
 *
 * <p>Batch norm ends a stage, since it needs sums over the whole batch. The stage that completes
 * the gradient of a result also sums it. The next stage starts with the gradient of the
 * convolution's result, followed by those of weights and input.
 */
final class BackwardPass {
  private final TrainingSetup setup;
  private final ForwardPass forward;
  private final StageSchedule schedule;

  /** Values whose gradients are needed for the gradient of a parameter. */
  private final Set<Value> needed = new HashSet<>();

  /** The gradients of values. */
  private final Map<Value, Slot> gradients = new HashMap<>();

  private String stage = "first sums";
  private int chunkSize = 1;

  /** Whether the open stage began with the gradient of a norm, and has no convolution yet. */
  private boolean isBegun;

  /**
   * @param graph the graph of the forward pass
   * @param schedule receives the tasks of the pass
   */
  BackwardPass(Graph graph, TrainingSetup setup, ForwardPass forward, StageSchedule schedule) {
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
    schedule.close(stage, chunkSize);
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
          windows(in, out, (from, to) -> WindowAxes.of(pool, from, to));
      case Op.Blur(var pool, Value in, Value out) ->
          windows(in, out, (from, to) -> WindowAxes.of(pool, from, to));
      case Op.Subsample(var pad, Value in, Value out) -> {
        boolean isSum = gradients.containsKey(in);
        Slot to = isSum ? gradient(in) : write(in);
        schedule.add(new PoolTasks.SubsampleGradient(pad.stride(), gradient(out), to, isSum));
      }
      case Op.Input _, Op.Output _ -> {}
      case Op.Norm norm -> norm(norm);
      case Op.Relu _, Op.Add _ ->
          throw new IllegalArgumentException(op.name() + ": is only supported after a convolution");
    }
  }

  private void head(Linear linear, Value in) {
    HeadUnit head = forward.head();
    schedule.add(new HeadTasks.Gradients(head, !isFrozen(linear.weight())));
    if (needed.contains(in)) {
      schedule.add(new HeadTasks.InputGradientTask(head, write(in)));
    }
    schedule.close(linear.name() + " gradient", 1);
  }

  private void convolution(Op.Conv op) {
    ConvUnit conv = forward.convolution(op.out());
    if (op.norm() == null) {
      Slot g = gradient(op.out());
      if (!isBegun) {
        begin(conv.conv().name(), conv.chunkSize());
      }
      stage = conv.conv().name() + " gradient";
      chunkSize = conv.chunkSize();
      isBegun = false;
      BranchFactors factors = forward.branches().get(op.out());
      if (factors == null) {
        convolution(op, conv, g);
      } else { // g is also the gradient of the shortcut
        Slot scaled = Slot.of(g.layout());
        schedule.add(new BranchTask(g, scaled, factors));
        convolution(op, conv, scaled);
      }
      if (op.residual() != null && needed.contains(op.residual())) {
        gradients.put(op.residual(), g); // its other readers add to it later
      }
      return;
    }
    BatchNormUnit unit = forward.unit(op.out());
    if (op.relu()) {
      complete(unit, op.out(), op.residual());
    }
    begin(op.name(), conv.chunkSize());
    Slot g = gradient(op.out());
    // If g is also the gradient of a shortcut it is still needed, and the ReLU was already applied
    // to it.
    boolean isOwn = op.relu() && op.residual() == null;
    Slot dx = isOwn ? g : Slot.of(unit.x().layout());
    schedule.add(new BatchNormTasks.Gradient(unit, isOwn, g, dx));
    convolution(op, conv, dx);
  }

  private void norm(Op.Norm op) {
    BatchNormUnit unit = forward.unit(op.out());
    complete(unit, op.out(), null);
    begin(op.name(), 1);
    isBegun = true;
    Slot g = gradient(op.out());
    schedule.add(new BatchNormTasks.Gradient(unit, true, g, g));
    add(op.in(), g);
  }

  /** Adds a gradient of a value to that from its other readers. */
  private void add(Value value, Slot dx) {
    Slot sum = gradients.putIfAbsent(value, dx);
    if (sum != null) {
      schedule.add(new AddTask(dx, sum));
    }
  }

  private void groupNorm(Op.GroupNorm op) {
    GroupNormUnit unit = forward.groupNorm(op.out());
    begin(op.name(), 1);
    isBegun = true;
    Slot g = gradient(op.out());
    // Without ReLU it is the norm of a projection, whose gradient is also that of the main branch.
    boolean isOwn = op.relu() && op.residual() == null;
    Slot dx = isOwn ? g : Slot.of(unit.x().layout());
    schedule.add(new GroupNormTasks.Gradient(unit, g, dx));
    add(op.in(), dx);
    if (op.residual() != null && needed.contains(op.residual())) {
      gradients.put(op.residual(), g); // its other readers add to it later
    }
  }

  /** Starts the stage of a layer's gradients. */
  private void begin(String layer, int images) {
    schedule.close(stage, chunkSize);
    stage = layer + " gradient";
    chunkSize = images;
    isBegun = false;
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
   * Applies the ReLU to the complete gradient of a unit's result and sums it for batch norm; the
   * gradient of the residual is the same.
   */
  private void complete(BatchNormUnit unit, Value result, @Nullable Value residual) {
    Slot g = gradient(result);
    schedule.add(new BatchNormTasks.GradientSums(unit, g, forward.slot(result)));
    if (residual != null && needed.contains(residual)) {
      gradients.put(residual, g); // its other readers add to it later
    }
  }

  /**
   * The gradient of a pooling layer, which is added to the gradients from other readers of its
   * input.
   */
  private void windows(Value in, Value out, PoolTasks.Axes axes) {
    boolean isSum = gradients.containsKey(in);
    Slot to = isSum ? gradient(in) : write(in);
    schedule.add(new PoolTasks.WindowGradient(axes, gradient(out), to, isSum));
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
