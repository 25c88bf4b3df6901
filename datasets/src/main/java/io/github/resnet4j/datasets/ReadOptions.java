package io.github.resnet4j.datasets;

import io.github.resnet4j.image.ImageDecoder;
import java.io.IOException;

/**
 * How a data set is read.
 *
 * @param decoder reads image files
 * @param split the fraction of the images that is held out for validation, if the data does not say
 *     which ones are; in [0, 1)
 * @param seed the random seed of the split
 * @param window the number of successive images of shards that are shuffled together, at least 1
 * @param damages receives what is wrong with parts of the data, which are skipped
 */
public record ReadOptions(
    ImageDecoder decoder, double split, long seed, int window, Damages damages) {
  /** The usual shuffle window. */
  public static final int WINDOW = 1000;

  /** A fifth for validation; damages are logged. */
  public static final ReadOptions DEFAULT =
      new ReadOptions(
          ImageDecoder.DEFAULT,
          0.2,
          0,
          WINDOW,
          damage ->
              System.getLogger(ReadOptions.class.getName())
                  .log(System.Logger.Level.WARNING, damage.getMessage()));

  /** Receives what is wrong with a part of the data. */
  public interface Damages {
    /**
     * @throws IOException to stop reading
     */
    void found(IOException damage) throws IOException;
  }

  /**
   * @throws IllegalArgumentException if split or window are out of their range
   */
  public ReadOptions {
    if (!(split >= 0 && split < 1)) {
      throw new IllegalArgumentException("the validation split must be in [0, 1), was " + split);
    }
    if (window < 1) {
      throw new IllegalArgumentException("the shuffle window must be at least 1, was " + window);
    }
  }

  /** The same with another split. */
  public ReadOptions withSplit(double fraction, long randomSeed) {
    return new ReadOptions(decoder, fraction, randomSeed, window, damages);
  }

  /** The same with another decoder. */
  public ReadOptions withDecoder(ImageDecoder other) {
    return new ReadOptions(other, split, seed, window, damages);
  }

  /** The same with another shuffle window. */
  public ReadOptions withWindow(int images) {
    return new ReadOptions(decoder, split, seed, images, damages);
  }

  /** The same with another receiver of damages. */
  public ReadOptions withDamages(Damages receiver) {
    return new ReadOptions(decoder, split, seed, window, receiver);
  }
}
