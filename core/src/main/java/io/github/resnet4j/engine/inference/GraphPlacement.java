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
 * The positions in the arena of everything that a plan's steps read and write.
 *
 * @param activations the activations of all values
 * @param workspaces the index of the workspace of a step, by the step's result
 * @param size the number of words of the arena
 */
record GraphPlacement(
    Map<Value, Activation> activations, Map<Value, Integer> workspaces, int size) {
  /**
   * Assigns memory to every value and workspace, so that those in use at the same time do not
   * overlap. Workspaces that consist of those of the parts are in the same place for all steps.
   *
   * @throws IllegalArgumentException if they do not fit into one array
   */
  static GraphPlacement of(GraphLayout graphLayout) {
    try {
      return place(graphLayout);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "the images are too large for one arena; use smaller images or batches", e);
    }
  }

  private static GraphPlacement place(GraphLayout graphLayout) {
    List<Op> ops = graphLayout.graph().ops();
    int[] chunkSizes = graphLayout.chunkSizes();
    var planner = new ArenaPlanner();
    var shared = new HashMap<Value, ArenaPlanner.Buffer>();
    for (int i = 0; i < ops.size(); i++) {
      Op op = ops.get(i);
      if (op instanceof Op.Output) {
        continue; // the value of another operation
      }
      Value out = op.out();
      int last = lastUse(ops, out, i);
      ArenaPlanner.Buffer buffer =
          residualThatEnds(graphLayout, op, i) instanceof Value residual
              ? shared.get(residual) // the result replaces the residual, pixel by pixel
              : null;
      if (buffer == null) {
        buffer = planner.buffer(graphLayout.layout(out).size());
      }
      boolean crosses = chunkSizes[last] != chunkSizes[i];
      buffer
          .use(crosses ? graphLayout.sectionStart(i) : i)
          .use(crosses ? graphLayout.sectionEnd(last) : last);
      shared.put(out, buffer);
    }
    var own = new HashMap<Value, ArenaPlanner.Buffer>();
    ArenaPlanner.Buffer ofParts = null;
    for (int i = 0; i < ops.size(); i++) {
      int words = graphLayout.workspace(i);
      if (graphLayout.hasWorkspaceOfParts(i)) {
        ofParts = ofParts == null ? planner.buffer(words) : ofParts;
        own.put(ops.get(i).out(), ofParts.use(i));
      } else if (words > 0) {
        own.put(ops.get(i).out(), planner.buffer(words).use(i));
      }
    }
    ArenaPlanner.Arena arena = planner.place();
    var activations = new HashMap<Value, Activation>();
    shared.forEach((value, buffer) ->
        activations.put(value, new Activation(graphLayout.layout(value), arena.offset(buffer))));
    var workspaces = new HashMap<Value, Integer>();
    own.forEach((value, buffer) -> workspaces.put(value, arena.offset(buffer)));
    return new GraphPlacement(activations, workspaces, arena.size());
  }

  /**
   * Returns a residual that no later operation reads and that has the layout of the result, or
   * null.
   */
  private static @Nullable Value residualThatEnds(GraphLayout graphLayout, Op op, int i) {
    return op instanceof Op.Conv conv
            && conv.residual() instanceof Value residual
            && graphLayout.layout(residual).isLike(graphLayout.layout(conv.out()))
            && lastUse(graphLayout.graph().ops(), residual, 0) == i
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

  /** The index of the workspace of the step that computes a value. */
  int workspaceOf(Value value) {
    return Objects.requireNonNull(workspaces.get(value));
  }
}
