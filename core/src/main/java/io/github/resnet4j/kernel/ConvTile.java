package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Format.FP32;

import org.jspecify.annotations.Nullable;

/**
 * The micro-kernel of every convolution and matrix product: a few neighbouring output pixels times
 * a block of output channels, kept in registers from the first product to the only store.
 *
 * <p>The input is read in <em>runs</em> of consecutive floats: a run is the channels of one pixel
 * (one block of them), or, where the input has few channels, a whole row of the window. For every
 * float of a run there is one row of weights, {@link Shape#channels} wide.
 *
 * <pre>{@code
 * acc[p][c] = bias[c] (+ residual[p][c])
 * for run r, for i in [0, run):  acc[p][c] = fma(in[runs[r] + p * pixelStride + i], w[r][i][c], acc[p][c])
 * out[p][c] = acc[p][c]  or  relu(acc[p][c])
 * }</pre>
 *
 * In a convolution of narrow groups that would multiply mostly zeros. There, every lane of a vector
 * belongs to a group of its own ({@link Shape#groups}), and no input is shared between lanes:
 *
 * <pre>{@code
 * acc[p][v][g] = fma(in[runs[r] + p * pixelStride + i * 16 + g], w[r][i][v][g], acc[p][v][g])
 * }</pre>
 *
 * Every accumulator adds its products in this one order with fused multiply-adds, so that all
 * providers, vector lengths and tile sizes give the same bits.
 *
 * <p>Where the input has a narrower {@link Format}, its words take the place of floats: offsets,
 * strides and runs count words, and so do weights, a word of which holds the weights of the input's
 * channels that share a word. A bfloat16 product is a sum over two channels, the second one's
 * first, with what is denormal taken for zero. Whole numbers are summed exactly, and then scaled:
 *
 * <pre>{@code
 * acc[p][c] = sum of in[…] * w[…]
 * y = fma(acc[p][c], scale[c], bias[c])  (, fma(residual[p][c], factor[c], y))
 * }</pre>
 *
 * There, the scales of all of a tile's channels follow its biases, and the factors follow the
 * scales.
 */
public interface ConvTile {
  /** In a grouped tile: floats from one channel of a group to its next one. */
  int GROUP_STRIDE = 16;

  /**
   * What a tile is made for; all of it is constant in the generated code.
   *
   * @param pixels output pixels of the tile
   * @param channels output channels of the tile
   * @param in what it multiplies
   * @param out what becomes of the sums
   * @param groups 0, or how many groups the tile spans: as many as a vector has lanes
   * @param walk how it goes through its operands
   */
  record Shape(int pixels, int channels, Input in, Output out, int groups, Walk walk) {
    /**
     * @throws IllegalArgumentException if an extent is not positive, a stride negative, or formats
     *     do not go together
     */
    public Shape {
      if (pixels < 1 || channels < 1 || groups < 0) {
        throw new IllegalArgumentException(
            "%d pixels of %d channels, %d groups".formatted(pixels, channels, groups));
      }
      Format residual = out.residual;
      boolean mixed = residual != null && in.format.isWhole() != residual.isWhole();
      boolean ofFloats = in.format.isFloat() && out.format.isFloat();
      boolean ofGroups = groups > 0 && !ofFloats;
      boolean strolls = !walk.equals(Walk.dense(channels, groups)) && !ofFloats;
      if (mixed || ofGroups || strolls) {
        throw new IllegalArgumentException(
            "%s and residuals of %s to %s, %d groups"
                .formatted(in.format, residual, out.format, groups));
      }
    }

    /** A tile whose weights lie one behind the other. */
    public Shape(int pixels, int channels, Input in, Output out) {
      this(pixels, channels, in, out, 0, Walk.dense(channels, 0));
    }

    /**
     * A tile of narrow groups, a group in each lane of a vector.
     *
     * @param groups as many as a vector has lanes
     */
    public static Shape ofGroups(int pixels, int channels, Input in, Output out, int groups) {
      return new Shape(pixels, channels, in, out, groups, Walk.dense(channels, groups));
    }

    /**
     * A tile of a weight gradient: its pixels are neighbouring input channels, its runs rows of
     * pixels, its weights the gradient of the output, and it adds to what is there.
     *
     * @param inputs input channels of the tile
     * @param channels output channels of the tile
     * @param step words from one pixel's input to the next one's
     * @param gradient of the output, whose row is a run
     */
    public static Shape ofWeightGradient(int inputs, int channels, int step, Plane gradient) {
      int columns = gradient.columns();
      int pixel = gradient.block();
      return new Shape(
          inputs,
          channels,
          new Input(FP32, 1, columns),
          new Output(FP32, channels, FP32, false),
          0,
          new Walk(step, pixel, gradient.rowStride() - columns * pixel));
    }

    /** Words of the weights, from the first to the last of so many runs. */
    long weightSpan(int runs) {
      return runs == 0
          ? 0
          : (runs - 1L) * (in.run * (long) walk.row + walk.gap)
              + (in.run - 1L) * walk.row
              + channels;
    }

    /** Words of an input, from the first to the last of a tile's last run. */
    long inputSpan(int lanes) {
      return (pixels - 1L) * in.pixelStride + (in.run - 1L) * walk.step + (groups > 0 ? lanes : 1);
    }

    /** Whether floats are all that it reads and writes. */
    boolean isFloat() {
      return in.format.isFloat()
          && out.format == FP32
          && (out.residual == null || out.residual.isFloat());
    }

    /** Floats that belong to an output channel beside the weights: bias, or bias, scale, factor. */
    public static int constants(Format in) {
      return in.isWhole() ? 3 : 1;
    }

    /** Vectors of {@code lanes} floats of one pixel's results. */
    int vectors(int lanes) {
      return channels / lanes;
    }

    /** Channels from one vector of a pixel's results to the next one. */
    int spacing(int lanes) {
      return groups > 0 ? GROUP_STRIDE : lanes;
    }
  }

  /**
   * What a tile multiplies.
   *
   * @param format what the input consists of; {@link Format#S8} has no products
   * @param pixelStride words from one pixel's input to the next one's
   * @param run words of a run; in a grouped tile, channels of a group in a run
   */
  record Input(Format format, int pixelStride, int run) {
    /**
     * @throws IllegalArgumentException if there are no products or the run is empty
     */
    public Input {
      if (format == Format.S8 || pixelStride < 0 || run < 1) {
        throw new IllegalArgumentException(
            "runs of %d %s, pixels %d apart".formatted(run, format, pixelStride));
      }
    }
  }

  /**
   * What becomes of a tile's sums.
   *
   * @param format what the output will consist of
   * @param pixelStride words from one pixel's output to the next one's
   * @param residual what the residual consists of, or null if there is none; its pixels hold as
   *     many channels as the output's
   * @param relu whether negative results become zero
   */
  record Output(Format format, int pixelStride, @Nullable Format residual, boolean relu) {
    /**
     * @throws IllegalArgumentException if results may be negative that the format cannot hold
     */
    public Output {
      if (pixelStride < 0 || (format == Format.U8 && !relu)) {
        throw new IllegalArgumentException(
            "results of %s, %d apart, relu %s".formatted(format, pixelStride, relu));
      }
    }

    /** Words from one pixel's residual to the next one's. */
    int residualStride() {
      return residual == null ? 0 : pixelStride * format.perWord() / residual.perWord();
    }
  }

  /**
   * How a tile goes through its operands; all in words.
   *
   * @param step from one word of a run to the next one
   * @param row from one row of weights to the next one
   * @param gap what lies between the rows of one run and those of the next
   */
  record Walk(int step, int row, int gap) {
    /**
     * @throws IllegalArgumentException if a distance is negative
     */
    public Walk {
      if (step < 0 || row < 0 || gap < 0) {
        throw new IllegalArgumentException(
            "steps of %d, rows of %d, gaps of %d".formatted(step, row, gap));
      }
    }

    /** Through runs and weights without gaps. */
    static Walk dense(int channels, int groups) {
      return new Walk(groups > 0 ? GROUP_STRIDE : 1, channels, 0);
    }
  }

  /**
   * Where tiles lie, each relative to a place that {@link #run} is given.
   *
   * @param in where the first pixel's input begins
   * @param out where the first pixel's output goes
   * @param residual where the first pixel's residual lies; unused without residual
   */
  record Tiles(Ints in, Ints out, Ints residual) {
    /** One tile, right at the places that {@link ConvTile#run} is given. */
    public static final Tiles ONE = new Tiles(Ints.of(0), Ints.of(0), Ints.of(0));
  }

  /**
   * What a tile adds up.
   *
   * @param firstRun the first run's index
   * @param endRun the index after the last run's
   * @param biasAt where the bias of the tile's first channel lies among the weights: what the sum
   *     begins with
   */
  record Reduction(int firstRun, int endRun, int biasAt) {}

  /**
   * Computes the tiles {@code [first, end)}, which share their weights.
   *
   * @param arena holds input, residual and output
   * @param in what the tiles' inputs are relative to
   * @param out what the tiles' outputs are relative to
   * @param residual what the tiles' residuals are relative to; unused without residual
   * @param weights holds weights and bias
   * @param weightAt where the first run's weights begin
   * @throws IndexOutOfBoundsException if anything lies outside its array
   */
  void run(
      Floats arena,
      int first,
      int end,
      int in,
      int out,
      int residual,
      Floats weights,
      int weightAt,
      Reduction reduction);
}
