package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.ArenaPlanner.Arena;
import io.github.resnet4j.engine.graph.ArenaPlanner.Buffer;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;

/** The positions of everything in the arena, and the sizes of the arrays. */
final class TrainingBuffers {
  /** The coefficient of zeros that are used as bias: at least the channels of a block. */
  static final int ZEROS = 64;

  private final TrainingLayout trainingLayout;
  private final ArenaPlanner planner = new ArenaPlanner();
  private final Map<Slot, Buffer> slots = new HashMap<>();
  private final Map<Task, List<Buffer>> workers = new IdentityHashMap<>();
  private final Arena arena;
  private final int[] gradients;
  private final int zeros;
  private final int scratch;

  /**
   * @throws ArithmeticException if one array cannot hold the activations
   */
  TrainingBuffers(TrainingLayout trainingLayout) {
    this.trainingLayout = trainingLayout;
    int maxScratch = 0;
    for (int s = 0; s < trainingLayout.stages().size(); s++) {
      for (Task task : trainingLayout.stages().get(s).tasks()) {
        for (Slot slot : task.uses()) {
          buffer(slot).use(s);
        }
        int words = task.workspace(trainingLayout);
        if (words > 0) {
          workers.put(task, forEachWorker(words));
          for (Buffer buffer : known(workers, task)) {
            buffer.use(s);
          }
        }
        maxScratch = Math.max(maxScratch, task.scratch(trainingLayout));
      }
    }
    trainingLayout.units().forEach(unit -> buffer(unit.coefficients()).keep());
    buffer(trainingLayout.head().logits())
        .keep(); // the caller reads it to count correct predictions
    List<Buffer> parts = forEachWorker(trainingLayout.parameters().size());
    parts.forEach(Buffer::keep);
    Buffer bias = planner.buffer(ZEROS).keep();
    this.arena = planner.place();
    this.gradients = parts.stream().mapToInt(arena::offset).toArray();
    this.zeros = arena.offset(bias);
    this.scratch = maxScratch;
  }

  private Buffer buffer(Slot slot) {
    return slots.computeIfAbsent(slot, _ -> planner.buffer(trainingLayout.layout(slot).size()));
  }

  private List<Buffer> forEachWorker(int words) {
    return Stream.generate(() -> planner.buffer(words))
        .limit(trainingLayout.setup().threads())
        .toList();
  }

  private static <K> List<Buffer> known(Map<K, List<Buffer>> buffers, K key) {
    return Objects.requireNonNull(buffers.get(key));
  }

  /**
   * The coefficient of floats of the arena; a tile may read a block's zeros beyond the last buffer.
   */
  int floats() {
    return Math.addExact(arena.size(), ZEROS);
  }

  /** The coefficient of floats of the scratch array that all stages use. */
  int scratch() {
    return scratch;
  }

  int offset(Slot slot) {
    return arena.offset(Objects.requireNonNull(slots.get(slot)));
  }

  /** The index of a worker's own workspace for a task. */
  int offset(Task task, int worker) {
    return arena.offset(known(workers, task).get(worker));
  }

  /** The index of a worker's gradients of all parameters. */
  int gradients(int worker) {
    return gradients[worker];
  }

  /** The index of the zeros. */
  int zeros() {
    return zeros;
  }
}
