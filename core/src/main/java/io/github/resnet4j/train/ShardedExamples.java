package io.github.resnet4j.train;

import io.github.resnet4j.train.Dataset.Example;
import java.util.AbstractList;
import java.util.RandomAccess;

/**
 * Images of a set of any size, in files that are best read from front to back (shards). The list
 * creates an image when it is asked for, so that its memory does not depend on the number of
 * images. It must not change.
 *
 * <p>An epoch takes the shards in random order and shuffles successive images in windows: see
 * {@link Sampling}.
 */
public abstract class ShardedExamples extends AbstractList<Example> implements RandomAccess {
  /** The index of the first image of each shard: ascending, starting with 0. */
  public abstract int[] starts();

  /** The number of successive images that are shuffled together, at least 1. */
  public abstract int window();
}
