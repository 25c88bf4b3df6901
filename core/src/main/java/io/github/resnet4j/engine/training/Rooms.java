package io.github.resnet4j.engine.training;

import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.ArenaPlanner.Arena;
import io.github.resnet4j.engine.graph.ArenaPlanner.Room;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;

/** Where everything will lie in the arena, and how large the arrays must be. */
final class Rooms {
  /** Zeros that serve as bias: as many as a block has channels at most. */
  static final int ZEROS = 64;

  private final LaidOut laid;
  private final ArenaPlanner planner = new ArenaPlanner();
  private final Map<Slot, Room> slots = new HashMap<>();
  private final Map<Task, List<Room>> workers = new IdentityHashMap<>();
  private final Arena arena;
  private final int[] gradients;
  private final int zeros;
  private final int scratch;

  /**
   * @throws ArithmeticException if one array cannot hold the activations
   */
  Rooms(LaidOut laid) {
    this.laid = laid;
    int mostScratch = 0;
    for (int s = 0; s < laid.stages().size(); s++) {
      for (Task task : laid.stages().get(s).tasks()) {
        for (Slot slot : task.uses()) {
          room(slot).use(s);
        }
        int words = task.room(laid);
        if (words > 0) {
          workers.put(task, forEachWorker(words));
          for (Room room : known(workers, task)) {
            room.use(s);
          }
        }
        mostScratch = Math.max(mostScratch, task.scratch(laid));
      }
    }
    laid.units().forEach(unit -> room(unit.numbers()).keep());
    room(laid.head().logits()).keep(); // for who wants to know how many were right
    List<Room> parts = forEachWorker(laid.parameters().size());
    parts.forEach(Room::keep);
    Room bias = planner.room(ZEROS).keep();
    this.arena = planner.place();
    this.gradients = parts.stream().mapToInt(arena::offset).toArray();
    this.zeros = arena.offset(bias);
    this.scratch = mostScratch;
  }

  private Room room(Slot slot) {
    return slots.computeIfAbsent(slot, _ -> planner.room(laid.layout(slot).size()));
  }

  private List<Room> forEachWorker(int words) {
    return Stream.generate(() -> planner.room(words)).limit(laid.setup().threads()).toList();
  }

  private static <K> List<Room> known(Map<K, List<Room>> rooms, K key) {
    return Objects.requireNonNull(rooms.get(key));
  }

  /** Floats of the arena; a tile may read a block's zeros beyond the last room. */
  int floats() {
    return Math.addExact(arena.size(), ZEROS);
  }

  /** Floats of the scratch that all stages use. */
  int scratch() {
    return scratch;
  }

  int offset(Slot slot) {
    return arena.offset(Objects.requireNonNull(slots.get(slot)));
  }

  /** Where a worker's own room for a task begins. */
  int offset(Task task, int worker) {
    return arena.offset(known(workers, task).get(worker));
  }

  /** Where a worker's gradients of all parameters begin. */
  int gradients(int worker) {
    return gradients[worker];
  }

  /** Where zeros lie. */
  int zeros() {
    return zeros;
  }
}
