package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Where everything lies that a plan's steps read and write.
 *
 * @param activations of all values
 * @param rooms where the room begins that a step needs for itself, by the step's result
 * @param size words of the arena
 */
record Placed(Map<Value, Activation> activations, Map<Value, Integer> rooms, int size) {
  /**
   * Gives every value, and every step that needs room for itself, a place that nothing else uses
   * while it lives.
   *
   * @throws IllegalArgumentException if one array cannot hold them
   */
  static Placed of(LaidOut laid) {
    try {
      return place(laid);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException("the images are too large: one arena cannot hold them", e);
    }
  }

  private static Placed place(LaidOut laid) {
    List<Op> ops = laid.graph().ops();
    int[] atOnce = laid.imagesAtOnce();
    var planner = new ArenaPlanner();
    var shared = new HashMap<Value, ArenaPlanner.Room>();
    for (int i = 0; i < ops.size(); i++) {
      Op op = ops.get(i);
      if (op instanceof Op.Output) {
        continue; // what another operation made
      }
      Value out = op.out();
      int last = lastUse(ops, out, i);
      ArenaPlanner.Room room =
          residualThatEnds(laid, op, i) instanceof Value residual
              ? shared.get(residual) // a result replaces what it was added to, pixel by pixel
              : null;
      if (room == null) {
        room = planner.room(laid.layout(out).size());
      }
      boolean crosses = atOnce[last] != atOnce[i];
      room.use(crosses ? laid.segmentStart(i) : i).use(crosses ? laid.segmentEnd(last) : last);
      shared.put(out, room);
    }
    var own = new HashMap<Value, ArenaPlanner.Room>();
    for (int i = 0; i < ops.size(); i++) {
      int words = laid.room(i);
      if (words > 0) {
        own.put(ops.get(i).out(), planner.room(words).use(i));
      }
    }
    ArenaPlanner.Arena arena = planner.place();
    var activations = new HashMap<Value, Activation>();
    shared.forEach((value, room) ->
        activations.put(value, new Activation(laid.layout(value), arena.offset(room))));
    var rooms = new HashMap<Value, Integer>();
    own.forEach((value, room) -> rooms.put(value, arena.offset(room)));
    return new Placed(activations, rooms, arena.size());
  }

  /** A residual that nobody reads after this operation, and that lies as its result will. */
  private static @Nullable Value residualThatEnds(LaidOut laid, Op op, int i) {
    return op instanceof Op.Conv conv
            && conv.residual() instanceof Value residual
            && laid.layout(residual).isLike(laid.layout(conv.out()))
            && lastUse(laid.graph().ops(), residual, 0) == i
        ? residual
        : null;
  }

  private static int lastUse(List<Op> ops, Value value, int from) {
    int last = from;
    for (int j = from; j < ops.size(); j++) {
      if (ops.get(j).inputs().contains(value)) {
        last = j;
      }
    }
    return last;
  }

  Activation at(Value value) {
    return Objects.requireNonNull(activations.get(value));
  }

  /** Where the room begins that the step needs which makes a value. */
  int roomOf(Value value) {
    return Objects.requireNonNull(rooms.get(value));
  }
}
