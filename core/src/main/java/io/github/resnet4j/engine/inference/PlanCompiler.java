package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Fusion;
import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.GraphBuilder;
import io.github.resnet4j.engine.graph.Numbers;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Sequential;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Compiles a network into plans: a {@link Graph} is made of its layers, then {@link LaidOut}, then
 * {@link Placed}, and then every operation becomes a step.
 */
public final class PlanCompiler {
  private final Sequential network;
  private final int inChannels;
  private final List<String> taps;
  private final Numbers numbers;
  private final Kernels kernels;

  /**
   * @param inChannels of the images
   * @param taps names of layers whose results are outputs too, before the network's own
   */
  public PlanCompiler(
      Sequential network, int inChannels, List<String> taps, Numbers numbers, Kernels kernels) {
    this.network = network;
    this.inChannels = inChannels;
    this.taps = taps;
    this.numbers = numbers;
    this.kernels = kernels;
  }

  /**
   * Compiles a plan, and packs the weights that it needs and that are not packed yet.
   *
   * @throws IllegalArgumentException if the images do not fit the network or one arena, or a tapped
   *     layer is not there
   */
  public Plan compile(Workload load, PackedWeights weights, AlgorithmChoice choice) {
    Graph graph =
        Fusion.fuse(GraphBuilder.build(network, inChannels, load.height(), load.width()))
            .withOutputs(taps);
    LaidOut laid = LaidOut.of(graph, load, numbers, choice, kernels);
    weights.pack(laid.packings(kernels));
    Placed placed = Placed.of(laid);
    var maker = new StepMaker(laid, placed, weights, kernels);
    List<Op> ops = graph.ops();
    // In parallel, since the kernels of each are written as they are asked for.
    List<Step> steps = IntStream.range(0, ops.size()).parallel().mapToObj(maker::step).toList();
    return new Plan(segments(laid, steps), outputs(graph), load, placed.size());
  }

  private static List<Plan.Segment> segments(LaidOut laid, List<Step> steps) {
    var segments = new ArrayList<Plan.Segment>();
    for (int from = 0; from < steps.size(); ) {
      int end = laid.segmentEnd(from) + 1;
      segments.add(
          new Plan.Segment(laid.imagesAtOnce()[from], List.copyOf(steps.subList(from, end))));
      from = end;
    }
    return List.copyOf(segments);
  }

  private static List<int[]> outputs(Graph graph) {
    var outputs = new ArrayList<int[]>();
    for (Op op : graph.ops()) {
      if (op instanceof Op.Output(var _, Value out, var _)) {
        outputs.add(
            switch (graph.producer(out)) {
              case Op.Head _, Op.GlobalAverage _ -> new int[] {out.channels()};
              default -> new int[] {out.channels(), out.height(), out.width()};
            });
      }
    }
    return List.copyOf(outputs);
  }
}
