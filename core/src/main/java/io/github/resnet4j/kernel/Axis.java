package io.github.resnet4j.kernel;

import java.util.ArrayList;
import java.util.List;

/**
 * The pixels along one axis, rows or columns, from which each result is computed, with their
 * weights. All results have equally many; a pixel that does not count has the weight zero.
 *
 * @param taps the number of pixels of each result, from 1 to {@link #MAX_TAPS}
 * @param positions the pixels' positions, those of the first result first
 * @param weights the pixels' weights, as the bits of floats
 */
public record Axis(int taps, Ints positions, Ints weights) {
  /** The largest number of pixels of a result. */
  public static final int MAX_TAPS = 3;

  /**
   * @throws IllegalArgumentException if there are too many pixels, or not as many for each result
   */
  public Axis {
    if (taps < 1
        || taps > MAX_TAPS
        || positions.size() % taps != 0
        || positions.size() != weights.size()) {
      throw new IllegalArgumentException(
          "an axis of %d positions and %d weights, %d each"
              .formatted(positions.size(), weights.size(), taps));
    }
  }

  /** The position of a result's tap. */
  public interface Source {
    int at(int result, int tap);
  }

  /** The weight of a result's tap. */
  public interface Weight {
    float at(int result, int tap);
  }

  /**
   * An axis on which windows may have different weights.
   *
   * @param taps the number of pixels of each result
   * @param source as for {@link #of(int, Source, float...)}
   */
  public static Axis of(int results, int taps, Source source, Weight weight) {
    int[] positions = new int[results * taps];
    int[] bits = new int[positions.length];
    for (int i = 0; i < positions.length; i++) {
      positions[i] = source.at(i / taps, i % taps);
      bits[i] = Float.floatToRawIntBits(weight.at(i / taps, i % taps));
    }
    return new Axis(taps, Ints.of(positions), Ints.of(bits));
  }

  /**
   * An axis on which all windows have the same weights. A pixel that a window has twice counts
   * twice.
   *
   * @param results the number of results
   * @param source the position of a window's pixel, between zero and the number of pixels
   * @param weights the weights of a window's pixels
   */
  public static Axis of(int results, Source source, float... weights) {
    return of(results, weights.length, source, (_, tap) -> weights[tap]);
  }

  /** The number of results. */
  public int results() {
    return positions.size() / taps;
  }

  int position(int result, int tap) {
    return positions.get(result * taps + tap);
  }

  float weight(int result, int tap) {
    return Float.intBitsToFloat(weights.get(result * taps + tap));
  }

  /**
   * The transpose, by which gradients are computed: the results that each pixel contributes to.
   *
   * @param pixels the number of pixels
   * @throws IllegalArgumentException if a pixel contributes to more than {@link #MAX_TAPS} results
   */
  public Axis transposed(int pixels) {
    List<List<Integer>> readers = new ArrayList<>();
    List<List<Float>> shares = new ArrayList<>();
    for (int i = 0; i < pixels; i++) {
      readers.add(new ArrayList<>());
      shares.add(new ArrayList<>());
    }
    for (int i = 0; i < positions.size(); i++) {
      int result = i / taps;
      List<Integer> known = readers.get(positions.get(i));
      List<Float> share = shares.get(positions.get(i));
      float weight = weight(result, i % taps);
      if (!known.isEmpty() && known.getLast() == result) {
        share.set(share.size() - 1, share.getLast() + weight);
      } else {
        known.add(result);
        share.add(weight);
      }
    }
    int most = Math.max(1, readers.stream().mapToInt(List::size).max().orElse(1));
    int[] to = new int[pixels * most];
    int[] bits = new int[to.length];
    for (int i = 0; i < to.length; i++) {
      List<Integer> known = readers.get(i / most);
      int tap = i % most;
      boolean counts = tap < known.size();
      to[i] = counts ? known.get(tap) : known.isEmpty() ? 0 : known.getLast();
      bits[i] = Float.floatToRawIntBits(counts ? shares.get(i / most).get(tap) : 0);
    }
    return new Axis(most, Ints.of(to), Ints.of(bits));
  }
}
