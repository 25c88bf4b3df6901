package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.ArenaPlanner;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.nn.StateDict;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The weights in the orders in which kernels read them, shared by all plans of a session and of its
 * siblings, which may compile concurrently. The weights packed for one plan are in one array: a
 * large array is aligned to a cache line, many small ones are not, and a vector that crosses a
 * cache line reduces speed by a fifth.
 */
public final class PackedWeights {
  private final StateDict state;
  private final Map<String, Object> packed = new HashMap<>();

  public PackedWeights(StateDict state) {
    this.state = state;
  }

  /** The original weights. */
  public StateDict state() {
    return state;
  }

  /** Packs the requested weights that are not packed yet, on all cores. */
  public synchronized void pack(List<Packing<?>> wanted) {
    var keys = new HashSet<>(packed.keySet());
    List<Packing<?>> missing = wanted.stream().filter(packing -> keys.add(packing.key())).toList();
    int[] at = new int[missing.size()];
    long size = ArenaPlanner.ALIGNMENT;
    for (int i = 0; i < at.length; i++) {
      at[i] = Math.toIntExact(size);
      size += Math.ceilDiv(missing.get(i).size(), 16) * 16L;
    }
    if (missing.isEmpty()) {
      return;
    }
    if (size > Integer.MAX_VALUE - 16) {
      throw new IllegalArgumentException("the network has more weights than an array can hold");
    }
    Floats data = Floats.of(new float[(int) size]);
    var results = new Object[missing.size()];
    IntStream.range(0, results.length)
        .parallel()
        .forEach(i -> results[i] = missing.get(i).pack(state, data, at[i]));
    for (int i = 0; i < results.length; i++) {
      packed.put(missing.get(i).key(), results[i]);
    }
  }

  /** The result of {@link #pack} for this packing. */
  @SuppressWarnings("unchecked") // the key identifies the packing and so the type of its result
  public synchronized <W> W get(Packing<W> packing) {
    Object found = packed.get(packing.key());
    if (found == null) {
      throw new IllegalStateException("not packed: " + packing.key());
    }
    return (W) found;
  }
}
