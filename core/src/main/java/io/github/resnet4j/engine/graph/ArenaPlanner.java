package io.github.resnet4j.engine.graph;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Plans the arena: assigns memory to every buffer, so that buffers in use at the same time do not
 * overlap. First request {@link Buffer}s; then {@link #place} computes an {@link Arena}.
 */
public final class ArenaPlanner {
  /**
   * The index of the first vector in an array. Behind the array's header of 16 bytes it is at the
   * start of a cache line, provided that the collector aligns the array itself (G1 does so for
   * large arrays).
   */
  public static final int ALIGNMENT = 12;

  private final List<Buffer> buffers = new ArrayList<>();

  /** A number of words that are in use from the first step that uses them to the last. */
  public static final class Buffer {
    private final int words;
    private int first = Integer.MAX_VALUE;
    private int last = -1;

    private Buffer(int words) {
      this.words = words;
    }

    /** Adds a step that uses the buffer. */
    public Buffer use(int step) {
      first = Math.min(first, step);
      last = Math.max(last, step);
      return this;
    }

    /** Marks the buffer as in use from the first step on and after the last. */
    public Buffer keep() {
      return use(0).use(Integer.MAX_VALUE);
    }

    private boolean meets(Buffer other) {
      return first <= other.last && other.first <= last;
    }
  }

  /** The arena's size in words, and the offset of every buffer. */
  public static final class Arena {
    private final Map<Buffer, Integer> offsets = new IdentityHashMap<>();
    private int size = ALIGNMENT;

    private Arena() {}

    public int size() {
      return size;
    }

    /** The index of the buffer's first word. The buffer must be of this arena's planner. */
    public int offset(Buffer buffer) {
      Integer offset = offsets.get(buffer);
      if (offset == null) {
        throw new IllegalArgumentException("a buffer of another arena");
      }
      return offset;
    }
  }

  /**
   * Requests a buffer.
   *
   * @param words the number of words
   */
  public Buffer buffer(int words) {
    var buffer = new Buffer(words);
    buffers.add(buffer);
    return buffer;
  }

  /**
   * Places all buffers, the largest first, each into the first gap that is large enough.
   *
   * @throws ArithmeticException if they do not fit into one array
   */
  public Arena place() {
    var arena = new Arena();
    var order = new ArrayList<>(buffers);
    order.sort(Comparator.comparingInt((Buffer buffer) -> buffer.words).reversed());
    var placed = new ArrayList<Buffer>();
    long end = ALIGNMENT;
    for (Buffer buffer : order) {
      long at = ALIGNMENT;
      var others =
          placed.stream()
              .filter(buffer::meets)
              .sorted(Comparator.comparingInt(arena::offset))
              .toList();
      for (Buffer other : others) {
        if (at + buffer.words <= arena.offset(other)) {
          break;
        }
        at = Math.max(at, aligned(arena.offset(other) + (long) other.words));
      }
      if (at + buffer.words > Integer.MAX_VALUE - 1024) {
        throw new ArithmeticException("more words than one array holds");
      }
      arena.offsets.put(buffer, (int) at);
      placed.add(buffer);
      end = Math.max(end, at + buffer.words);
    }
    arena.size = (int) aligned(end);
    return arena;
  }

  private static long aligned(long offset) {
    return Math.ceilDiv(offset - ALIGNMENT, 16) * 16 + ALIGNMENT;
  }
}
