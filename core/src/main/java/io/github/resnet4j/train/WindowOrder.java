package io.github.resnet4j.train;

import java.util.AbstractList;
import java.util.Arrays;
import java.util.RandomAccess;
import java.util.SplittableRandom;
import java.util.function.IntToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * The indices of an epoch's images in shards: the shards in random order, and their images shuffled
 * in windows of successive ones. It is computed window by window, so its memory does not depend on
 * the number of images.
 */
final class WindowOrder extends AbstractList<Integer> implements RandomAccess {
  private final long seed;
  private final int size;
  private final int window;
  private final @Nullable IntToDoubleFunction weight;

  /** For each shard in the order of the epoch: the index of its first image. */
  private final int[] firsts;

  /** For each shard in the order of the epoch: the number of images up to its end. */
  private final int[] ends;

  private int loaded = -1;
  private int[] indices = {};

  /**
   * @param seed the random seed of the epoch
   * @param weight of each image, for drawing with replacement within a window; without it each
   *     image occurs once
   */
  WindowOrder(ShardedExamples examples, long seed, @Nullable IntToDoubleFunction weight) {
    this.seed = seed;
    this.size = examples.size();
    this.window = examples.window();
    this.weight = weight;
    int[] starts = examples.starts();
    int[] shards = new int[starts.length];
    Arrays.setAll(shards, i -> i);
    shuffle(shards, new SplittableRandom(seed));
    firsts = new int[shards.length];
    ends = new int[shards.length];
    int end = 0;
    for (int i = 0; i < shards.length; i++) {
      int shard = shards[i];
      firsts[i] = starts[shard];
      end += (shard + 1 < starts.length ? starts[shard + 1] : size) - starts[shard];
      ends[i] = end;
    }
  }

  private static void shuffle(int[] values, SplittableRandom random) {
    for (int i = values.length - 1; i > 0; i--) {
      int other = random.nextInt(i + 1);
      int value = values[i];
      values[i] = values[other];
      values[other] = value;
    }
  }

  @Override
  public int size() {
    return size;
  }

  @Override
  public synchronized Integer get(int position) {
    if (position < 0 || position >= size) {
      throw new IndexOutOfBoundsException(position);
    }
    if (position / window != loaded) {
      loaded = position / window;
      indices = load(loaded);
    }
    return indices[position % window];
  }

  private int[] load(int number) {
    int from = number * window;
    int[] successive = new int[Math.min(window, size - from)];
    int at = Arrays.binarySearch(ends, from);
    int shard = at < 0 ? -at - 1 : at + 1;
    for (int i = 0; i < successive.length; i++) {
      while (ends[shard] <= from + i) {
        shard++; // possibly over shards without images
      }
      int before = shard == 0 ? 0 : ends[shard - 1];
      successive[i] = firsts[shard] + from + i - before;
    }
    var random = new SplittableRandom(seed * 1_000_003 + number + 1);
    if (weight == null) {
      shuffle(successive, random);
      return successive;
    }
    double[] sums = Sampling.sums(successive.length, i -> weight.applyAsDouble(successive[i]));
    int[] drawn = new int[successive.length];
    Arrays.setAll(drawn, _ -> successive[Sampling.draw(sums, random.nextDouble())]);
    return drawn;
  }
}
