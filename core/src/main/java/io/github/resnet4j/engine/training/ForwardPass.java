package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.engine.step.PoolSteps;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.ChannelAttention;
import io.github.resnet4j.nn.Layer.Conv2d;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Schedules the forward pass and the loss, operation by operation.
 *
 * <p>A convolution ends a stage, since its batch norm needs the statistics of the whole batch.
 * Batch norm, addition and ReLU are computed at the start of the next stage. Group norm needs only
 * one image: it is in the stage of its convolution. A pre-activation block ends with a convolution
 * and an addition; the norm that reads the sum ends the stage.
 */
final class ForwardPass {
  private final Graph graph;
  private final TrainingSetup setup;
  private final StageSchedule schedule;
  private final int block;
  private final Map<Value, Slot> slots = new HashMap<>();
  private final Map<Value, ConvUnit> convolutions = new LinkedHashMap<>();
  private final Map<Value, BatchNormUnit> units = new LinkedHashMap<>();
  private final Map<Value, GroupNormUnit> groupNorms = new HashMap<>();
  private final Map<Value, BranchFactors> branches = new LinkedHashMap<>();
  private @Nullable HeadUnit head;

  /** The convolution of the open stage. */
  private @Nullable ConvUnit open;

  /**
   * @param graph the fused graph, which ends with a head
   * @param schedule receives the tasks of the pass
   */
  ForwardPass(Graph graph, TrainingSetup setup, StageSchedule schedule) {
    this.graph = graph;
    this.setup = setup;
    this.schedule = schedule;
    this.block = graph.blockChannels();
    graph.ops().forEach(this::add);
  }

  private void add(Op op) {
    Kernels kernels = setup.kernels();
    switch (op) {
      case Op.Input(Value image) -> {
        int together = image.channels() < 16 ? image.channels() : block;
        slots.put(image, Slot.of(layout(image, together)));
        schedule.add(new InputTask(slot(image)));
      }
      case Op.Conv conv -> convolution(conv);
      case Op.Attention attention -> normalize(unit(attention.in()), attention.out());
      case Op.GroupNorm norm -> groupNorm(norm);
      case Op.MaxPool(var pool, Value in, Value out) ->
          windows(
              in,
              out,
              pool.padding(),
              (from, to) ->
                  new PoolSteps.MaxPool(pool, isSigned(op) && !pool.zeros(), from, to, kernels));
      case Op.AveragePool(var pool, Value in, Value out) ->
          windows(in, out, 0, (from, to) -> PoolSteps.Windows.of(pool, from, to, kernels));
      case Op.Blur(var pool, Value in, Value out) ->
          windows(in, out, 0, (from, to) -> PoolSteps.Windows.of(pool, from, to, kernels));
      case Op.Subsample(var pad, Value in, Value out) ->
          windows(
              in,
              out,
              0,
              (from, to) -> new PoolSteps.Subsample(pad.name(), pad.stride(), from, to));
      case Op.GlobalAverage(var _, Value in, Value out) -> {
        slots.put(out, Slot.of(Layout.of(out.channels(), 1, setup.batch(), block)));
        schedule.add(new HeadTasks.Average(slot(in), slot(out)));
        schedule.close("average", 1);
      }
      case Op.Head(var linear, Value in, Value _) -> {
        Layout logits = Layout.of(linear.out(), 1, setup.batch(), block);
        head = new HeadUnit(linear, slot(in), Slot.of(logits), Slot.of(logits));
        schedule.add(new HeadTasks.Forward(head));
        schedule.close(linear.name(), 1);
        schedule.add(new HeadTasks.Loss(head));
        schedule.close("loss", 1);
      }
      case Op.Norm norm -> norm(norm);
      case Op.Relu _, Op.Add _ ->
          throw new IllegalArgumentException(op.name() + ": is only supported after a convolution");
      case Op.Output _ -> {}
    }
  }

  private void closeConvolution() {
    if (open != null) {
      schedule.close(open.conv().name(), open.chunkSize());
      open = null;
    }
  }

  private void convolution(Op.Conv op) {
    closeConvolution(); // a stage has one
    Slot x = Slot.of(layout(op.out(), block));
    var conv = new ConvUnit(op.layer(), slot(op.in()), x, chunkSize(op));
    convolutions.put(op.out(), conv);
    schedule.add(ConvTasks.forward(conv, setup));
    open = conv;
    BatchNorm2d norm = op.norm();
    if (norm == null) { // a norm that reads it closes the stage, or the next convolution
      slots.put(op.out(), x);
      if (op.residual() != null) {
        if (setup.stochasticDepth() > 0) {
          var factors = new BranchFactors(setup.batch());
          branches.put(op.out(), factors);
          schedule.add(new BranchTask(x, x, factors));
        }
        schedule.add(new AddTask(slot(op.residual()), x));
      }
      return;
    }
    BatchNormUnit unit = unit(norm, x, end(op));
    units.put(op.out(), unit);
    schedule.add(new BatchNormTasks.Statistics(unit));
    closeConvolution();
    if (op.relu()) {
      normalize(unit, op.out());
    }
  }

  private BatchNormUnit unit(BatchNorm2d norm, Slot x, BatchNormUnit.@Nullable BlockEnd end) {
    int channels = norm.channels();
    return new BatchNormUnit(
        x,
        norm,
        Slot.of(Layout.of(channels, TrainedNorm.ROWS, 1, block)),
        Slot.of(Layout.of(channels, TrainedNorm.SUMS, 1, block).withImages(setup.batch())),
        end);
  }

  /** A batch norm of a sum, at the start of a pre-activation block. */
  private void norm(Op.Norm op) {
    if (!op.relu()) {
      throw new IllegalArgumentException(
          op.name() + ": is only supported after a convolution or with a ReLU after it");
    }
    BatchNormUnit unit = unit(op.layer(), slot(op.in()), null);
    units.put(op.out(), unit);
    schedule.add(new BatchNormTasks.Statistics(unit));
    closeConvolution();
    schedule.close(op.name(), 1);
    normalize(unit, op.out());
  }

  /** The factors of blocks whose main branch ends without norm, with stochastic depth. */
  Map<Value, BranchFactors> branches() {
    return branches;
  }

  /** Whether the input of max pooling may be negative. */
  private boolean isSigned(Op pool) {
    return !(graph.producer(pool.inputs().getFirst()) instanceof Op.Conv conv && conv.relu()
        || graph.producer(pool.inputs().getFirst()) instanceof Op.GroupNorm norm && norm.relu());
  }

  /**
   * All statistics of group norm are known after an image's last pixel, so it is in the same stage.
   */
  private void groupNorm(Op.GroupNorm op) {
    if (setup.stochasticDepth() > 0 && op.residual() != null) {
      throw new IllegalArgumentException(
          op.name() + ": blocks that end with group norm cannot be trained with stochastic depth");
    }
    Slot x = slot(op.in());
    Layout workspace = GroupMoments.workspace(x.layout(), setup.batch());
    var unit =
        new GroupNormUnit(
            op.layer(),
            x,
            Slot.of(workspace),
            op.residual() == null ? null : slot(op.residual()),
            op.relu(),
            write(op.out()));
    groupNorms.put(op.out(), unit);
    schedule.add(new GroupNormTasks.Normalize(unit));
    closeConvolution();
  }

  /** Returns the end of the block whose last convolution this is; else null. */
  private BatchNormUnit.@Nullable BlockEnd end(Op.Conv op) {
    if (op.residual() != null) {
      return end(op.residual(), op, null);
    }
    List<Op> readers = graph.readers(op.out());
    return readers.size() == 1
            && readers.getFirst() instanceof Op.Attention attention
            && attention.in().equals(op.out())
            && attention.residual() != null
        ? end(attention.residual(), op, attention.layer())
        : null;
  }

  private BatchNormUnit.BlockEnd end(
      Value residual, Op.Conv last, @Nullable ChannelAttention attention) {
    // The result of a projection is not written: its batch norm is merged into the sum.
    BatchNormUnit projection = slots.containsKey(residual) ? null : unit(residual);
    boolean isScaled = attention != null || setup.stochasticDepth() > 0;
    Layout coefficients = Layout.of(last.out().channels(), BranchScale.ROWS, 1, block);
    return new BatchNormUnit.BlockEnd(
        projection == null ? slot(residual) : projection.x(),
        projection,
        attention,
        isScaled ? Slot.of(coefficients.withImages(setup.batch())) : null);
  }

  /** Writes the result of a unit's batch norm, addition and ReLU. */
  private void normalize(BatchNormUnit unit, Value result) {
    schedule.add(new BatchNormTasks.Normalize(unit, write(result)));
  }

  private void windows(Value in, Value out, int border, PoolTasks.Placing placing) {
    schedule.add(new PoolTasks.Forward(slot(in), write(out), border, placing));
  }

  /** The chunk size: as many images as use the weights while activations stay in the cache. */
  private int chunkSize(Op.Conv op) {
    Conv2d conv = op.layer();
    long weightBytes =
        4L * conv.outChannels() * conv.inChannels() / conv.groups() * conv.kernel() * conv.kernel();
    long each = 4L * (elements(op.in()) + elements(op.out()));
    int imagesPerWorker = Math.max(1, setup.batch() / setup.threads());
    if (setup.format() == Format.BF16) {
      // Activations have half the size, but not the gradients of weights. Equal chunks are best.
      long most = Math.clamp(2 * weightBytes / each, 1, Math.min(16, imagesPerWorker));
      return Math.ceilDiv(imagesPerWorker, Math.ceilDiv(imagesPerWorker, (int) most));
    }
    return (int) Math.clamp(weightBytes / each, 1, Math.min(8, imagesPerWorker));
  }

  private static int elements(Value value) {
    return value.channels() * value.height() * value.width();
  }

  private Layout layout(Value value, int blockChannels) {
    return Layout.of(value.channels(), value.height(), value.width(), blockChannels)
        .withEncoding(setup.encoding())
        .withImages(setup.batch());
  }

  private Slot write(Value value) {
    Slot slot = Slot.of(layout(value, block));
    slots.put(value, slot);
    return slot;
  }

  /** The slot of a value. */
  Slot slot(Value value) {
    Slot slot = slots.get(value);
    if (slot == null) {
      throw new IllegalArgumentException(
          graph.producer(value).name() + ": is only supported with a ReLU after it");
    }
    return slot;
  }

  /** The convolution and batch norm that compute a value, alone or before an attention. */
  BatchNormUnit unit(Value value) {
    BatchNormUnit unit = units.get(value);
    if (unit == null) {
      throw new IllegalArgumentException(
          graph.producer(value).name() + ": is only supported after a convolution with batch norm");
    }
    return unit;
  }

  /** The convolution that computes a value, alone or with what was fused into it. */
  ConvUnit convolution(Value value) {
    return Objects.requireNonNull(convolutions.get(value));
  }

  /** The group norm that computes a value. */
  GroupNormUnit groupNorm(Value value) {
    return Objects.requireNonNull(groupNorms.get(value));
  }

  /** All convolutions, in order. */
  List<ConvUnit> convolutions() {
    return List.copyOf(convolutions.values());
  }

  /** All convolutions with batch norm, in order. */
  List<BatchNormUnit> units() {
    return List.copyOf(units.values());
  }

  /**
   * The head.
   *
   * @throws IllegalArgumentException if there is none
   */
  HeadUnit head() {
    if (head == null) {
      throw new IllegalArgumentException("a network without a head (includeTop) has no loss");
    }
    return head;
  }
}
