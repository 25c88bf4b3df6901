package io.github.resnet4j.engine;

import io.github.resnet4j.engine.graph.ArenaPlanner;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * From which stage to which an activation is in use, and from that a place for each that nothing
 * else uses while it lives.
 */
final class Lifetimes {
  private final Map<Draft, int[]> lives = new LinkedHashMap<>();

  /** Extends an activation's life to a stage. */
  void touch(Draft activation, int stage) {
    int[] life = lives.computeIfAbsent(activation, _ -> new int[] {stage, stage});
    life[0] = Math.min(life[0], stage);
    life[1] = Math.max(life[1], stage);
  }

  /** It lives from the first stage to the last. */
  void keep(Draft activation) {
    touch(activation, 0);
    touch(activation, Integer.MAX_VALUE);
  }

  /**
   * Gives everything its place, the largest first.
   *
   * @return the floats that an arena must hold
   * @throws ArithmeticException if one array cannot hold them
   */
  int place() {
    var order = new ArrayList<>(lives.keySet());
    order.sort(Comparator.comparingInt(Draft::size).reversed());
    var placed = new ArrayList<Draft>();
    long end = ArenaPlanner.ALIGNMENT;
    for (Draft each : order) {
      int[] life = life(each);
      var others =
          placed.stream()
              .filter(other -> life[0] <= life(other)[1] && life(other)[0] <= life[1])
              .sorted(Comparator.comparingInt(Draft::offset))
              .toList();
      long at = ArenaPlanner.ALIGNMENT;
      for (Draft other : others) {
        if (at + each.size() <= other.offset()) {
          break;
        }
        at = Math.max(at, aligned(other.offset() + (long) other.size()));
      }
      if (at + each.size() > Integer.MAX_VALUE - 1024) {
        throw new ArithmeticException("more floats than one array holds");
      }
      each.placeAt((int) at);
      placed.add(each);
      end = Math.max(end, at + each.size());
    }
    return (int) aligned(end);
  }

  private int[] life(Draft activation) {
    return Objects.requireNonNull(lives.get(activation));
  }

  private static long aligned(long offset) {
    return Math.ceilDiv(offset - ArenaPlanner.ALIGNMENT, 16) * 16 + ArenaPlanner.ALIGNMENT;
  }
}
