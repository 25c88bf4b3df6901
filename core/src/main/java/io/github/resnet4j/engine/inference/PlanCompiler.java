package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Arithmetic;
import io.github.resnet4j.engine.graph.Fusion;
import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.GraphBuilder;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.nn.Layer.Sequential;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Compiles a network into plans: layers become a {@link Graph}, then a {@link GraphLayout}, then a
 * {@link GraphPlacement}; then every operation becomes a step.
 */
public final class PlanCompiler {
  private final Sequential network;
  private final int inChannels;
  private final List<String> taps;
  private final Arithmetic arithmetic;
  private final Kernels kernels;

  /**
   * @param inChannels the number of channels of the images
   * @param taps names of layers whose results are outputs, before the network's own
   */
  public PlanCompiler(
      Sequential network,
      int inChannels,
      List<String> taps,
      Arithmetic arithmetic,
      Kernels kernels) {
    this.network = network;
    this.inChannels = inChannels;
    this.taps = taps;
    this.arithmetic = arithmetic;
    this.kernels = kernels;
  }

  /**
   * Compiles a plan, and packs the weights that it needs and that are not packed yet.
   *
   * @throws IllegalArgumentException if the images do not fit the network or one arena, or a tapped
   *     layer does not exist
   */
  public Plan compile(Workload workload, PackedWeights weights, AlgorithmChoice choice) {
    Graph graph =
        Fusion.fuse(
                GraphBuilder.build(network, inChannels, workload.height(), workload.width()),
                arithmetic.format().isInteger())
            .withOutputs(taps);
    GraphLayout graphLayout = GraphLayout.of(graph, workload, arithmetic, choice, kernels);
    weights.pack(graphLayout.packings(kernels));
    GraphPlacement placement = GraphPlacement.of(graphLayout);
    var factory = new StepFactory(graphLayout, placement, weights, kernels);
    List<Op> ops = graph.ops();
    // In parallel, since creating a step may generate the machine code of its kernels.
    List<Step> steps = IntStream.range(0, ops.size()).parallel().mapToObj(factory::step).toList();
    return new Plan(sections(graphLayout, steps), outputs(graph), workload, placement.size());
  }

  private static List<Plan.Section> sections(GraphLayout graphLayout, List<Step> steps) {
    var sections = new ArrayList<Plan.Section>();
    for (int from = 0; from < steps.size(); ) {
      int end = graphLayout.sectionEnd(from) + 1;
      sections.add(
          new Plan.Section(graphLayout.chunkSizes()[from], List.copyOf(steps.subList(from, end))));
      from = end;
    }
    return List.copyOf(sections);
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
