package io.github.resnet4j.engine.graph;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ArenaPlannerTest {
  private static final int ALIGNED = 16;

  /** A buffer with the values of its request. */
  private record Request(ArenaPlanner.Buffer buffer, int words, int first, int last) {}

  @Test
  void buffersInUseTogetherDoNotOverlap() {
    var random = new Random(1);
    for (int round = 0; round < 200; round++) {
      var planner = new ArenaPlanner();
      var all = new ArrayList<Request>();
      long words = 0;
      for (int i = 0; i < 40; i++) {
        int size = 1 + random.nextInt(500);
        int first = random.nextInt(30);
        int last = first + random.nextInt(6);
        all.add(new Request(planner.buffer(size).use(last).use(first), size, first, last));
        words += size + ALIGNED;
      }
      ArenaPlanner.Arena arena = planner.place();
      assertTrue(arena.size() <= ArenaPlanner.ALIGNMENT + words);
      for (Request a : all) {
        int at = arena.offset(a.buffer);
        assertTrue(at >= ArenaPlanner.ALIGNMENT && at + a.words <= arena.size());
        assertEquals(ArenaPlanner.ALIGNMENT % ALIGNED, at % ALIGNED);
        for (Request b : all) {
          if (a != b && a.first <= b.last && b.first <= a.last) {
            int other = arena.offset(b.buffer);
            assertTrue(at + a.words <= other || other + b.words <= at, a + " and " + b);
          }
        }
      }
    }
  }

  @Test
  void buffersInUseAtDifferentTimesShareMemory() {
    var planner = new ArenaPlanner();
    ArenaPlanner.Buffer early = planner.buffer(100).use(0).use(3);
    ArenaPlanner.Buffer late = planner.buffer(100).use(4);
    ArenaPlanner.Buffer kept = planner.buffer(10).keep();
    ArenaPlanner.Arena arena = planner.place();
    assertEquals(arena.offset(early), arena.offset(late));
    assertTrue(arena.offset(kept) >= arena.offset(early) + 100);
  }

  @Test
  void tooManyWordsForOneArrayAreRejected() {
    var planner = new ArenaPlanner();
    planner.buffer(Integer.MAX_VALUE / 2).use(0);
    planner.buffer(Integer.MAX_VALUE / 2).use(0);
    planner.buffer(2000).use(0);
    assertThrows(ArithmeticException.class, planner::place);
  }
}
