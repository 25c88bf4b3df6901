package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Plane;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.kernel.WinogradKernels;
import java.util.ArrayList;
import java.util.Arrays;

/**
 * The gradient of a 3×3 convolution's weights by Winograd's algorithm, the forward one read
 * backwards:
 *
 * <pre>{@code
 * dg = Gᵀ [ sum over tiles of (Bᵀ d B) ⊙ (A dY Aᵀ) ] G
 * }</pre>
 *
 * Each product is a matrix product over tiles, on the micro-kernel of {@link WeightGradient}. One
 * for each worker, which sums its own images and transforms the sums back when all are in.
 */
public final class WinogradWeightGradient {
  /** Between planes, so that they do not all fall into the same sets of a cache. */
  private static final int SKEW = 16;

  private final ConvWeights weights;
  private final Activation in;
  private final Activation gradient;
  private final Winograd form;
  private final int images;
  private final Kernels kernels;
  private final int channels;

  /** Tiles of an image. */
  private final int tiles;

  private final Activation room;
  private final WinogradKernels.Transform inputs;
  private final WinogradKernels.Transform outputs;
  private final ConvTile.Reduction[] sumsOf; // by images
  private final Sized[] sizes;
  private final float[][] g;
  private final float[][] sums;
  private final float[][] half;
  private final float[] result;

  /** Kernel tiles of as many input channels of a block. */
  private record Sized(ConvTile kernel, int tiles) {}

  /**
   * Whether there are so many tiles that sums, of which there are four times as many as weights,
   * are not the most of what is moved.
   *
   * @param images of a worker
   */
  public static boolean pays(Activation in, Activation out, Winograd form, int images) {
    long tiles = (long) images * tiles(out, form);
    long c = in.paddedChannels();
    long o = out.paddedChannels();
    return tiles * (c + o) >= 2 * c * o;
  }

  private static int tiles(Activation out, Winograd form) {
    return Math.ceilDiv(out.height, form.outputs()) * Math.ceilDiv(out.width, form.outputs());
  }

  /** What one worker needs for its transformed images and its sums. */
  public static Activation room(Activation in, Activation out, Winograd form, int images) {
    int floats =
        form.products()
            * (images * tiles(out, form) * (in.paddedChannels() + out.paddedChannels())
                + in.paddedChannels() * out.paddedChannels()
                + 3 * SKEW
                + Math.max(in.block(), out.block()));
    return new Activation(1, 1, floats, 1);
  }

  /**
   * @param images most images at once
   * @param zerosAt where as many zeros lie in the arena as a block has channels
   */
  public WinogradWeightGradient(
      ConvWeights weights,
      Activation in,
      Activation gradient,
      Winograd form,
      int images,
      Activation room,
      int zerosAt,
      Kernels kernels) {
    this.weights = weights;
    this.in = in;
    this.gradient = gradient;
    this.form = form;
    this.images = images;
    this.room = room;
    this.kernels = kernels;
    this.channels = weights.direct.channels();
    this.tiles = tiles(gradient, form);
    this.inputs = kernels.winograd().input(form, in.asPlane(), places(in, -1), inputStep());
    this.outputs =
        kernels.winograd().gradient(form, gradient.asPlane(), places(gradient, 0), outputStep());
    int[] offsets = new int[images];
    Arrays.setAll(offsets, i -> i * tiles * in.block());
    this.sumsOf = new ConvTile.Reduction[images + 1];
    Arrays.setAll(sumsOf, count -> new ConvTile.Reduction(0, count, zerosAt));
    this.sizes = sizes(Ints.of(offsets));
    this.g = transposed(form.weightTransform());
    this.sums = new float[form.products()][channels];
    this.half = new float[3 * form.inputs()][channels];
    this.result = new float[channels];
  }

  private Ints places(Activation a, int before) {
    int across = Math.ceilDiv(gradient.width, form.outputs());
    int[] at = new int[images * tiles];
    for (int i = 0; i < at.length; i++) {
      int y = i % tiles / across * form.outputs();
      int x = i % tiles % across * form.outputs();
      at[i] = i / tiles * a.imageSize() + a.pixel(y + before, x + before);
    }
    return Ints.of(at);
  }

  private Sized[] sizes(Ints rows) {
    Plane row = Plane.ofFloats(1, tiles, gradient.block(), tiles * gradient.block()); // of an image
    int most = kernels.accumulators() * kernels.lanes() / channels;
    int pieces = Math.ceilDiv(in.block(), most);
    var all = new ArrayList<Sized>();
    for (int size = 1; size <= most; size++) {
      var from = new ArrayList<Integer>();
      var to = new ArrayList<Integer>();
      for (int b = 0; b < in.blocks(); b++) {
        for (int i = 0; i < pieces; i++) {
          int start = Tiling.start(in.block(), pieces, i);
          if (Tiling.start(in.block(), pieces, i + 1) - start == size) {
            from.add(b * images * tiles * in.block() + start);
            to.add((b * in.block() + start) * channels);
          }
        }
      }
      if (!from.isEmpty()) {
        var shape = ConvTile.Shape.ofWeightGradient(size, channels, in.block(), row);
        Ints places = Ints.of(to.stream().mapToInt(Integer::intValue).toArray());
        var tilesOfSize =
            new ConvTile.Tiles(
                Ints.of(from.stream().mapToInt(Integer::intValue).toArray()), places, places);
        all.add(new Sized(kernels.conv().tile(shape, tilesOfSize, rows), to.size()));
      }
    }
    return all.toArray(Sized[]::new);
  }

  private static float[][] transposed(float[][] matrix) {
    float[][] transposed = new float[matrix[0].length][matrix.length];
    for (int i = 0; i < matrix.length; i++) {
      for (int j = 0; j < matrix[0].length; j++) {
        transposed[j][i] = matrix[i][j];
      }
    }
    return transposed;
  }

  private int inputStep() {
    return images * tiles * in.paddedChannels() + SKEW;
  }

  private int outputStep() {
    return images * tiles * gradient.paddedChannels() + SKEW;
  }

  private int sumStep() {
    return in.paddedChannels() * gradient.paddedChannels() + SKEW;
  }

  private int outputsAt() {
    return room.offset() + form.products() * inputStep();
  }

  private int sumsAt() {
    return outputsAt() + form.products() * outputStep();
  }

  private int scratchAt() {
    return sumsAt() + form.products() * sumStep();
  }

  /** Before the first images. */
  public void clear(float[] arena) {
    Arrays.fill(arena, sumsAt(), scratchAt(), 0);
  }

  /** Adds what some images contribute. */
  public void run(Floats arena, int first, int count) {
    for (int b = 0; b < in.blocks(); b++) {
      inputs.run(
          arena,
          0,
          count * tiles,
          in.image(first) + b * in.plane(),
          room.offset() + b * images * tiles * in.block(),
          scratchAt());
    }
    for (int b = 0; b < gradient.blocks(); b++) {
      outputs.run(
          arena,
          0,
          count * tiles,
          gradient.image(first) + b * gradient.plane(),
          outputsAt() + b * images * tiles * gradient.block(),
          scratchAt());
    }
    for (int x = 0; x < form.products(); x++) {
      for (int o = 0; o < gradient.paddedChannels(); o += channels) {
        int to = sumsAt() + x * sumStep() + o * in.paddedChannels();
        int from =
            outputsAt()
                + x * outputStep()
                + o / gradient.block() * images * tiles * gradient.block()
                + o % gradient.block();
        for (Sized size : sizes) {
          size.kernel.run(
              arena,
              0,
              size.tiles,
              room.offset() + x * inputStep(),
              to,
              to,
              arena,
              from,
              sumsOf[count]);
        }
      }
    }
  }

  /**
   * Transforms the sums back and adds them.
   *
   * @param start where the gradients begin that belong to the first weight of the network
   */
  public void finish(float[] arena, int start) {
    DirectConv.Weights direct = weights.direct;
    int run = direct.run();
    int t = form.inputs();
    for (int b = 0; b < direct.at().length; b++) {
      for (int c = 0; c < in.paddedChannels(); c++) {
        int from = sumsAt() + (b * in.paddedChannels() + c) * channels;
        for (int x = 0; x < form.products(); x++) {
          System.arraycopy(arena, from + x * sumStep(), sums[x], 0, channels);
        }
        for (int i = 0; i < 3; i++) {
          for (int j = 0; j < t; j++) {
            combine(g[i], sums, j, t, half[i * t + j]);
          }
        }
        int row = start + direct.at()[b] + (c / run * 9 * run + c % run) * channels;
        for (int i = 0; i < 3; i++) {
          for (int j = 0; j < 3; j++) {
            combine(g[j], half, i * t, 1, result);
            int to = row + (3 * i + j) * run * channels;
            for (int k = 0; k < channels; k++) {
              arena[to + k] += result[k];
            }
          }
        }
      }
    }
  }

  /** The sum of some rows, each times its factor. */
  private static void combine(float[] factors, float[][] rows, int first, int step, float[] sum) {
    Arrays.fill(sum, 0);
    for (int i = 0; i < factors.length; i++) {
      float factor = factors[i];
      float[] row = rows[first + i * step];
      for (int k = 0; k < sum.length; k++) {
        sum[k] += factor * row[k];
      }
    }
  }
}
