package io.github.resnet4j.engine.graph;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Plans the arena: gives everything that a run writes a place that nothing else uses while it is
 * needed. Collects {@link Room}s first; {@link #place} makes an {@link Arena} of them.
 */
public final class ArenaPlanner {
  /**
   * Where the first vector of an array begins: with its header of 16 bytes, on a cache line, as
   * long as the collector puts the array itself on one (G1 does so with large arrays).
   */
  public static final int ALIGNMENT = 12;

  private final List<Room> rooms = new ArrayList<>();

  /** So many words, from the first step that uses them to the last. */
  public static final class Room {
    private final int words;
    private int first = Integer.MAX_VALUE;
    private int last = -1;

    private Room(int words) {
      this.words = words;
    }

    /** Says that a step uses it. */
    public Room use(int step) {
      first = Math.min(first, step);
      last = Math.max(last, step);
      return this;
    }

    /** Says that it is in use from the first step on and after the last. */
    public Room keep() {
      return use(0).use(Integer.MAX_VALUE);
    }

    private boolean meets(Room other) {
      return first <= other.last && other.first <= last;
    }
  }

  /** The arena's size in words, and where in it everything lies. */
  public static final class Arena {
    private final Map<Room, Integer> offsets = new IdentityHashMap<>();
    private int size = ALIGNMENT;

    private Arena() {}

    public int size() {
      return size;
    }

    /** Where a room of this arena's planner begins. */
    public int offset(Room room) {
      Integer offset = offsets.get(room);
      if (offset == null) {
        throw new IllegalArgumentException("a room of another arena");
      }
      return offset;
    }
  }

  /**
   * Asks for a room.
   *
   * @param words how many
   */
  public Room room(int words) {
    var room = new Room(words);
    rooms.add(room);
    return room;
  }

  /**
   * Places all rooms, the largest first, each at the first gap that is wide enough.
   *
   * @throws ArithmeticException if one array cannot hold them
   */
  public Arena place() {
    var arena = new Arena();
    var order = new ArrayList<>(rooms);
    order.sort(Comparator.comparingInt((Room room) -> room.words).reversed());
    var placed = new ArrayList<Room>();
    long end = ALIGNMENT;
    for (Room room : order) {
      long at = ALIGNMENT;
      var others =
          placed.stream()
              .filter(room::meets)
              .sorted(Comparator.comparingInt(arena::offset))
              .toList();
      for (Room other : others) {
        if (at + room.words <= arena.offset(other)) {
          break;
        }
        at = Math.max(at, aligned(arena.offset(other) + (long) other.words));
      }
      if (at + room.words > Integer.MAX_VALUE - 1024) {
        throw new ArithmeticException("more words than one array holds");
      }
      arena.offsets.put(room, (int) at);
      placed.add(room);
      end = Math.max(end, at + room.words);
    }
    arena.size = (int) aligned(end);
    return arena;
  }

  private static long aligned(long offset) {
    return Math.ceilDiv(offset - ALIGNMENT, 16) * 16 + ALIGNMENT;
  }
}
