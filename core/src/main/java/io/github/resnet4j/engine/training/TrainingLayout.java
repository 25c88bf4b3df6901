package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.conv.ConvWeights;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Fusion;
import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.GraphBuilder;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.StateDict;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A training step with the layouts of its activations and the order of its weights. The required
 * memory is known, but no positions are assigned yet.
 */
public final class TrainingLayout {
  private final Sequential network;
  private final StateDict state;
  private final TrainingSetup setup;
  private final List<StageSchedule.Stage> stages;
  private final List<ConvUnit> convolutions;
  private final List<BatchNormUnit> units;
  private final List<BranchFactors> branches;
  private final HeadUnit head;
  private final Map<Slot, Layout> layouts = new HashMap<>();
  private final ParameterLayout parameters;

  private TrainingLayout(
      Sequential network,
      StateDict state,
      TrainingSetup setup,
      StageSchedule schedule,
      ForwardPass forward) {
    this.network = network;
    this.state = state;
    this.setup = setup;
    this.stages = schedule.stages();
    this.convolutions = forward.convolutions();
    this.units = forward.units();
    this.branches = List.copyOf(forward.branches().values());
    this.head = forward.head();
    var borders = new HashMap<Slot, Border>();
    for (StageSchedule.Stage stage : stages) {
      for (Task task : stage.tasks()) {
        task.borders().forEach((slot, border) -> borders.merge(slot, border, Border::or));
      }
    }
    borders.forEach((slot, border) -> layouts.put(slot, slot.layout().withBorder(border)));
    var weighted = new LinkedHashMap<String, Convolution>();
    for (ConvUnit unit : convolutions) {
      weighted.put(unit.conv().name(), convolution(unit.conv(), unit.in(), unit.x(), false));
    }
    weighted.put(
        head.layer().name(), convolution(head.conv(), head.pooled(), head.logits(), false));
    this.parameters = new ParameterLayout(network, weighted, state, setup.kernels());
  }

  /**
   * @param network the layers, which must end with a head
   * @param state the initial weights and statistics, which are copied
   * @param height the height of an image in pixels
   * @param width the width of an image in pixels
   * @throws IllegalArgumentException if images of this size do not fit the network, or training
   *     does not support its order of layers
   */
  public static TrainingLayout of(
      Sequential network,
      StateDict state,
      int inChannels,
      int height,
      int width,
      TrainingSetup setup) {
    Graph graph = Fusion.fuse(GraphBuilder.build(network, inChannels, height, width));
    var schedule = new StageSchedule();
    var forward = new ForwardPass(graph, setup, schedule);
    new BackwardPass(graph, setup, forward, schedule);
    return new TrainingLayout(network, state, setup, schedule, forward);
  }

  /**
   * The number of bytes of all arrays of a plan.
   *
   * @return {@link Long#MAX_VALUE} if one array cannot hold the activations
   */
  public long bytes() {
    try {
      var buffers = new TrainingBuffers(this);
      return 4L
          * ((long) buffers.floats() + parameters.weights().values().length + buffers.scratch());
    } catch (ArithmeticException e) {
      return Long.MAX_VALUE;
    }
  }

  /**
   * Assigns positions to everything.
   *
   * @throws ArithmeticException if one array cannot hold the activations
   */
  public TrainingPlan place() {
    return new TrainingPlan(new TrainingPlacement(this));
  }

  Sequential network() {
    return network;
  }

  StateDict state() {
    return state;
  }

  TrainingSetup setup() {
    return setup;
  }

  Kernels kernels() {
    return setup.kernels();
  }

  ParameterLayout parameters() {
    return parameters;
  }

  List<StageSchedule.Stage> stages() {
    return stages;
  }

  /** The convolutions, in order. */
  List<ConvUnit> convolutions() {
    return convolutions;
  }

  /** The convolutions with batch norm, in order. */
  List<BatchNormUnit> units() {
    return units;
  }

  /** The factors of stochastic depth of blocks whose main branch ends without norm, in order. */
  List<BranchFactors> branches() {
    return branches;
  }

  HeadUnit head() {
    return head;
  }

  Layout layout(Slot slot) {
    return layouts.getOrDefault(slot, slot.layout());
  }

  /**
   * @param isSum whether the result is added to the existing values
   */
  Convolution convolution(Conv2d layer, Slot in, Slot out, boolean isSum) {
    return new Convolution(layer, null, layout(in), layout(out), isSum ? layout(out) : null, false);
  }

  ConvWeights weights(Conv2d layer) {
    return parameters.convolution(layer.name());
  }
}
