package io.github.resnet4j.engine.conv;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import java.util.ArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A matrix product of integers, whose pixels are divided into tiles of several sizes. */
class TileScheduleTest {
  private static final int CHANNELS = 16;
  private static final int[] SIZES = {3, 2, 3, 1, 2};
  private static final int PIXELS = 11;

  private final Kernels kernels = Kernels.best();
  private final float[] arena = new float[2 * PIXELS * CHANNELS];
  private final float[] weights = new float[CHANNELS * CHANNELS + CHANNELS];

  private TileSchedule schedule() {
    for (int i = 0; i < PIXELS * CHANNELS; i++) {
      arena[i] = i * 7 % 11 - 5;
    }
    for (int i = 0; i < weights.length; i++) {
      weights[i] = i * 5 % 13 - 6;
    }
    var tiles = new ArrayList<TileSchedule.Tile>();
    int pixel = 0;
    for (int size : SIZES) {
      int place = pixel * CHANNELS;
      tiles.add(new TileSchedule.Tile(size, place, place, 0));
      pixel += size;
    }
    var in = new ConvTile.Input(Format.FP32, CHANNELS, CHANNELS);
    var out = new ConvTile.Output(Format.FP32, CHANNELS, null, false);
    return new TileSchedule(
        tiles, size -> new ConvTile.Shape(size, CHANNELS, in, out), Ints.of(0), kernels);
  }

  private float product(int pixel, int channel) {
    float sum = weights[CHANNELS * CHANNELS + channel];
    for (int c = 0; c < CHANNELS; c++) {
      sum += arena[pixel * CHANNELS + c] * weights[c * CHANNELS + channel];
    }
    return sum;
  }

  @ParameterizedTest
  @CsvSource({"0, 5", "0, 0", "1, 4", "4, 5", "2, 3"})
  void onlyTheGivenTilesAreComputed(int first, int end) {
    TileSchedule schedule = schedule();
    var sum = new ConvTile.Reduction(0, 1, CHANNELS * CHANNELS);
    int to = PIXELS * CHANNELS;
    schedule.run(Floats.of(arena), first, end, 0, to, 0, Floats.of(weights), 0, sum);
    int pixel = 0;
    for (int t = 0; t < SIZES.length; t++) {
      for (int i = 0; i < SIZES[t]; i++, pixel++) {
        for (int c = 0; c < CHANNELS; c++) {
          float expected = t >= first && t < end ? product(pixel, c) : 0;
          assertEquals(expected, arena[to + pixel * CHANNELS + c], "pixel " + pixel);
        }
      }
    }
  }

  @Test
  void tilesAreCounted() {
    assertEquals(SIZES.length, schedule().tiles());
  }
}
