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
 * A training step whose activations are laid out and whose weights are in their order: it is known
 * how much memory it needs, but nothing has a place yet.
 */
public final class LaidOut {
  private final Sequential network;
  private final StateDict state;
  private final TrainingSetup setup;
  private final List<Schedule.Stage> stages;
  private final List<ConvUnit> convolutions;
  private final List<Unit> units;
  private final HeadUnit head;
  private final Map<Slot, Layout> layouts = new HashMap<>();
  private final ParameterLayout parameters;

  private LaidOut(
      Sequential network,
      StateDict state,
      TrainingSetup setup,
      Schedule schedule,
      ForwardPass forward) {
    this.network = network;
    this.state = state;
    this.setup = setup;
    this.stages = schedule.stages();
    this.convolutions = forward.convolutions();
    this.units = forward.units();
    this.head = forward.head();
    var borders = new HashMap<Slot, Border>();
    for (Schedule.Stage stage : stages) {
      for (Task task : stage.tasks()) {
        task.borders().forEach((slot, border) -> borders.merge(slot, border, Border::or));
      }
    }
    borders.forEach((slot, border) -> layouts.put(slot, slot.layout().withBorder(border)));
    var weighed = new LinkedHashMap<String, Convolution>();
    for (ConvUnit unit : convolutions) {
      weighed.put(unit.conv().name(), convolution(unit.conv(), unit.in(), unit.x(), false));
    }
    weighed.put(head.layer().name(), convolution(head.conv(), head.pooled(), head.logits(), false));
    this.parameters = new ParameterLayout(network, weighed, state, setup.kernels());
  }

  /**
   * @param network with a head at its end
   * @param state the first weights and statistics, which are copied
   * @param height of an image
   * @param width of an image
   * @throws IllegalArgumentException if images of this size do not fit the network, or it has an
   *     order of layers that cannot be trained
   */
  public static LaidOut of(
      Sequential network,
      StateDict state,
      int inChannels,
      int height,
      int width,
      TrainingSetup setup) {
    Graph graph = Fusion.fuse(GraphBuilder.build(network, inChannels, height, width));
    var schedule = new Schedule();
    var forward = new ForwardPass(graph, setup, schedule);
    new BackwardPass(graph, setup, forward, schedule);
    return new LaidOut(network, state, setup, schedule, forward);
  }

  /**
   * Bytes of all arrays that a plan holds.
   *
   * @return {@link Long#MAX_VALUE} if one array cannot hold the activations
   */
  public long bytes() {
    try {
      var rooms = new Rooms(this);
      return 4L * ((long) rooms.floats() + parameters.weights().values().length + rooms.scratch());
    } catch (ArithmeticException e) {
      return Long.MAX_VALUE;
    }
  }

  /**
   * Gives everything its place.
   *
   * @throws ArithmeticException if one array cannot hold the activations
   */
  public TrainingPlan place() {
    return new TrainingPlan(new Placed(this));
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

  List<Schedule.Stage> stages() {
    return stages;
  }

  /** The convolutions, first to last. */
  List<ConvUnit> convolutions() {
    return convolutions;
  }

  /** Those with batch norm. */
  List<Unit> units() {
    return units;
  }

  HeadUnit head() {
    return head;
  }

  Layout layout(Slot slot) {
    return layouts.getOrDefault(slot, slot.layout());
  }

  /**
   * @param isSum whether its result is added to what is there
   */
  Convolution convolution(Conv2d layer, Slot in, Slot out, boolean isSum) {
    return new Convolution(layer, null, layout(in), layout(out), isSum ? layout(out) : null, false);
  }

  ConvWeights weights(Conv2d layer) {
    return parameters.convolution(layer.name());
  }
}
