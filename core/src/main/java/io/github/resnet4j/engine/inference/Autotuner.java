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
 * Measures direct convolution and the forms of Winograd's algorithm, each in a plan that uses it
 * everywhere, so that caches are as full and as empty as they will be.
 */
public final class Autotuner {
  /** How long measuring the algorithms of one plan takes: the JVM's compiler decides in between. */
  private static final long LEAST_NANOS = 2_000_000_000L;

  private static final long MOST_NANOS = 12_000_000_000L;
  private static final int IDLE_ROUNDS = 3;

  private final PlanCompiler compiler;
  private final StateDict state;
  private final Function<Plan, PlanProfiler> profiler;

  /**
   * @param state the network's weights
   * @param profiler of a plan
   */
  public Autotuner(PlanCompiler compiler, StateDict state, Function<Plan, PlanProfiler> profiler) {
    this.compiler = compiler;
    this.state = state;
    this.profiler = profiler;
  }

  /** Measures the convolutions of a plan unless all are known, and keeps what was found. */
  public void tune(Tuning known, Workload load) {
    var layers = new ArrayList<Convolution>();
    Plan direct =
        compile(
            load,
            (conv, _, _) -> {
              layers.add(conv);
              return null;
            });
    if (layers.stream().allMatch(conv -> known.knows(conv, load.images(), load.parts()))) {
      return;
    }
    var forms = new ArrayList<@Nullable Winograd>();
    var runs = new ArrayList<PlanProfiler>();
    forms.add(null);
    runs.add(profiler.apply(direct));
    for (Winograd form : Winograd.values()) {
      forms.add(form);
      runs.add(profiler.apply(compile(load, (_, _, _) -> form)));
    }
    // The compiler takes seconds until kernels are fast: go on while anything still improves.
    long start = System.nanoTime();
    for (int idle = 0; idle < IDLE_ROUNDS; idle++) {
      double before = runs.stream().mapToDouble(PlanProfiler::fastest).sum();
      runs.forEach(PlanProfiler::run);
      double after = runs.stream().mapToDouble(PlanProfiler::fastest).sum();
      long spent = System.nanoTime() - start;
      if (spent > MOST_NANOS) {
        break;
      }
      if (after < 0.97 * before || spent < LEAST_NANOS) {
        idle = -1;
      }
    }
    for (Convolution conv : layers) {
      String layer = conv.layer().name();
      int best = forms.indexOf(AlgorithmChoice.BY_RULE.winograd(conv, load.images(), load.parts()));
      for (int i = 0; i < forms.size(); i++) {
        // The rule is overruled for a clear difference only.
        if (runs.get(i).fastest(layer) < 0.95 * runs.get(best).fastest(layer)) {
          best = i;
        }
      }
      known.put(conv, load.images(), load.parts(), forms.get(best));
    }
    known.save();
  }

  /** With weights of its own: most of them no other plan will need. */
  private Plan compile(Workload load, AlgorithmChoice choice) {
    return compiler.compile(load, new PackedWeights(state), choice);
  }
}
