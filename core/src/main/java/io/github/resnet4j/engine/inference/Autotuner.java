package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.nn.StateDict;
import java.util.ArrayList;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Measures direct convolution and the forms of Winograd's algorithm. Each is measured in a plan
 * that uses it everywhere, so that the state of the caches is realistic.
 */
public final class Autotuner {
  /**
   * How long the algorithms of one plan are measured; the JVM's compiler determines the time
   * between both limits.
   */
  private static final long MIN_NANOS = 2_000_000_000L;

  private static final long MAX_NANOS = 12_000_000_000L;
  private static final int IDLE_ROUNDS = 3;

  private final PlanCompiler compiler;
  private final StateDict state;
  private final Function<Plan, PlanProfiler> profiler;

  /**
   * @param state the network's weights
   * @param profiler creates the profiler of a plan
   */
  public Autotuner(PlanCompiler compiler, StateDict state, Function<Plan, PlanProfiler> profiler) {
    this.compiler = compiler;
    this.state = state;
    this.profiler = profiler;
  }

  /** Measures the convolutions of a plan unless all are known, and stores the results. */
  public void tune(Tuning known, Workload workload) {
    var layers = new ArrayList<Convolution>();
    Plan direct =
        compile(
            workload,
            (conv, _, _) -> {
              layers.add(conv);
              return null;
            });
    if (layers.stream().allMatch(conv -> known.knows(conv, workload.images(), workload.parts()))) {
      return;
    }
    var forms = new ArrayList<@Nullable Winograd>();
    var runs = new ArrayList<PlanProfiler>();
    forms.add(null);
    runs.add(profiler.apply(direct));
    for (Winograd form : Winograd.values()) {
      forms.add(form);
      runs.add(profiler.apply(compile(workload, (_, _, _) -> form)));
    }
    // The JVM takes seconds to compile the kernels: measure as long as any time still improves.
    long start = System.nanoTime();
    for (int idle = 0; idle < IDLE_ROUNDS; idle++) {
      double before = runs.stream().mapToDouble(PlanProfiler::fastest).sum();
      runs.forEach(PlanProfiler::run);
      double after = runs.stream().mapToDouble(PlanProfiler::fastest).sum();
      long spent = System.nanoTime() - start;
      if (spent > MAX_NANOS) {
        break;
      }
      if (after < 0.97 * before || spent < MIN_NANOS) {
        idle = -1;
      }
    }
    for (Convolution conv : layers) {
      String layer = conv.layer().name();
      int best =
          forms.indexOf(
              AlgorithmChoice.BY_RULE.winograd(conv, workload.images(), workload.parts()));
      for (int i = 0; i < forms.size(); i++) {
        // Measurements override the rule only if they differ clearly.
        if (runs.get(i).fastest(layer) < 0.95 * runs.get(best).fastest(layer)) {
          best = i;
        }
      }
      known.put(conv, workload.images(), workload.parts(), forms.get(best));
    }
    known.save();
  }

  /** Compiles with separate weights, since no other plan needs most of them. */
  private Plan compile(Workload workload, AlgorithmChoice choice) {
    return compiler.compile(workload, new PackedWeights(state), choice);
  }
}
