package io.github.resnet4j.kernel;

import static io.github.resnet4j.kernel.Format.FP32;

import org.jspecify.annotations.Nullable;

/**
 * The micro-kernel of every convolution and matrix product: a few adjacent output pixels times a
 * block of output channels. The sums stay in registers from the first product to the single store.
 *
 * <p>The input is read in <em>segments</em> of consecutive floats: a segment contains the channels
 * of one pixel (one block of them) or, if the input has few channels, a whole row of the window.
 * For every float of a segment there is one row of weights, {@link Shape#channels} wide.
 *
 * <pre>{@code
 * acc[p][c] = bias[c] (+ residual[p][c])
 * for segment s, for i in [0, segment):
 *   acc[p][c] = fma(in[segments[s] + p * pixelStride + i], w[s][i][c], acc[p][c])
 * out[p][c] = acc[p][c]  or  relu(acc[p][c])
 * }</pre>
 *
 * In a convolution with narrow groups most of these products would be with zero. Instead, every
 * lane of a vector belongs to a different group ({@link Shape#groups}), and lanes share no input:
 *
 * <pre>{@code
 * acc[p][v][g] =
 *     fma(in[segments[s] + p * pixelStride + i * 16 + g], w[s][i][v][g], acc[p][v][g])
 * }</pre>
 *
 * Every accumulator adds its products in this order with fused multiply-adds, so the results are
 * bit-identical for all providers, vector lengths and tile sizes.
 *
 * <p>If the input has a narrower {@link Format}, its words take the place of floats: offsets,
 * strides and segments count words, and so do weights. A word of weights holds the weights of the
 * input channels that share a word. A bfloat16 product is a sum over two channels, the second one
 * first; denormals are treated as zero. Integers are summed exactly and then scaled:
 *
 * <pre>{@code
 * acc[p][c] = sum of in[…] * w[…]
 * y = fma(acc[p][c], scale[c], bias[c])  (, fma(residual[p][c], factor[c], y))
 * }</pre>
 *
 * Here the scales of all channels of the tile follow its biases, and the factors follow the scales.
 * Weights of 16 bits have two rows for a word of four bytes: those of the first and third channel,
 * then those of the second and fourth.
 */
public interface ConvTile {
  /** In a grouped tile: the number of floats from one channel of a group to the next. */
  int GROUP_STRIDE = 16;

  /**
   * The shape of a tile; everything in it is constant in the generated code.
   *
   * @param pixels the number of output pixels
   * @param channels the number of output channels
   * @param in the input
   * @param out the output
   * @param rows the rows of pixels, of equal length
   * @param groups 0, or the number of groups of the tile: the number of lanes of a vector
   * @param walk the strides through the operands
   */
  record Shape(int pixels, int channels, Input in, Output out, Rows rows, int groups, Walk walk) {
    /**
     * @throws IllegalArgumentException if an extent is not positive, a stride is negative, or the
     *     formats do not match
     */
    public Shape {
      if (pixels < 1 || channels < 1 || groups < 0 || pixels % rows.count != 0) {
        throw new IllegalArgumentException(
            "%d pixels of %d channels, %d groups, %s".formatted(pixels, channels, groups, rows));
      }
      Format residual = out.residual;
      boolean ofWords = out.format == Format.S16 || residual == Format.S16;
      boolean mixed = residual != null && in.format.isInteger() != residual.isInteger();
      boolean ofFloats = in.format.isFloat() && out.format.isFloat();
      boolean ofGroups = groups > 0 && !ofFloats;
      boolean isStrided = !walk.equals(Walk.dense(in.rows() * channels, groups)) && !ofFloats;
      if (mixed || ofGroups || isStrided || ofWords) {
        throw new IllegalArgumentException(
            "%s and residuals of %s to %s, %d groups"
                .formatted(in.format, residual, out.format, groups));
      }
    }

    /** A tile of one row, with contiguous weights. */
    public Shape(int pixels, int channels, Input in, Output out) {
      this(pixels, channels, in, out, Rows.ONE);
    }

    /** A tile with contiguous weights. */
    public Shape(int pixels, int channels, Input in, Output out, Rows rows) {
      this(pixels, channels, in, out, rows, 0, Walk.dense(in.rows() * channels, 0));
    }

    /**
     * A tile of narrow groups, one group per lane of a vector.
     *
     * @param groups the number of lanes of a vector
     */
    public static Shape ofGroups(int pixels, int channels, Input in, Output out, int groups) {
      return new Shape(pixels, channels, in, out, Rows.ONE, groups, Walk.dense(channels, groups));
    }

    /**
     * A tile of a weight gradient: its pixels are adjacent input channels, its segments are rows of
     * pixels, its weights are the gradient of the output, and it adds to the existing values.
     *
     * @param inputs the number of input channels
     * @param channels the number of output channels
     * @param step words from one pixel's input to the next
     * @param gradient the plane of the output's gradient, whose rows are segments
     */
    public static Shape ofWeightGradient(int inputs, int channels, int step, Plane gradient) {
      int columns = gradient.columns();
      int pixel = gradient.block();
      return new Shape(
          inputs,
          channels,
          new Input(FP32, 1, columns),
          new Output(FP32, channels, FP32, false),
          Rows.ONE,
          0,
          new Walk(step, pixel, gradient.rowStride() - columns * pixel));
    }

    /** The number of words of the weights from the first to the last of the segments. */
    long weightSpan(int segments) {
      return segments == 0
          ? 0
          : (segments - 1L) * (in.segment * (long) walk.row + walk.gap)
              + (in.segment - 1L) * walk.row
              + (long) in.rows() * channels;
    }

    /** The number of words of an input from the first to the last of a tile's last segment. */
    long inputSpan(int lanes) {
      return inputAt(pixels - 1) + (in.segment - 1L) * walk.step + (groups > 0 ? lanes : 1);
    }

    /** The offset of a pixel's input from the first pixel's, in words. */
    int inputAt(int pixel) {
      return at(pixel, in.pixelStride, rows.in);
    }

    /** The offset of a pixel's output from the first pixel's, in words. */
    int outputAt(int pixel) {
      return at(pixel, out.pixelStride, rows.out);
    }

    /** The offset of a pixel's residual from the first pixel's, in words. */
    int residualAt(int pixel) {
      return at(pixel, out.residualStride(), rows.residual);
    }

    private int at(int pixel, int pixelStride, int rowStride) {
      int perRow = pixels / rows.count;
      return Math.addExact(
          Math.multiplyExact(pixel / perRow, rowStride),
          Math.multiplyExact(pixel % perRow, pixelStride));
    }

    /** Whether all operands are floats. */
    boolean isFloat() {
      return in.format.isFloat()
          && out.format == FP32
          && (out.residual == null || out.residual.isFloat());
    }

    /**
     * The number of floats stored for an output channel beside the weights: bias, or bias, scale
     * and factor.
     */
    public static int constants(Format in) {
      return in.isInteger() ? 3 : 1;
    }

    /** The number of vectors of {@code lanes} floats of one pixel's results. */
    int vectors(int lanes) {
      return channels / lanes;
    }

    /** The number of channels from one vector of a pixel's results to the next. */
    int spacing(int lanes) {
      return groups > 0 ? GROUP_STRIDE : lanes;
    }
  }

  /**
   * The input of a tile.
   *
   * @param format the format of the input: {@link Format#U8} or of floating point
   * @param weights that of the weights: {@link Format#S8} or {@link Format#S16} for bytes, else the
   *     input's
   * @param pixelStride words from one pixel's input to the next
   * @param segment the number of words of a segment; in a grouped tile, the channels of a group in
   *     a segment
   */
  record Input(Format format, Format weights, int pixelStride, int segment) {
    /**
     * @throws IllegalArgumentException if the formats are not supported or the segment is empty
     */
    public Input {
      boolean supported =
          format.isInteger()
              ? format == Format.U8 && (weights == Format.S8 || weights == Format.S16)
              : weights == format;
      if (!supported || pixelStride < 0 || segment < 1) {
        throw new IllegalArgumentException(
            "segments of %d %s, weights of %s, pixels %d apart"
                .formatted(segment, format, weights, pixelStride));
      }
    }

    /** An input whose weights have as many values per word. */
    public Input(Format format, int pixelStride, int segment) {
      this(format, format == Format.U8 ? Format.S8 : format, pixelStride, segment);
    }

    /** The number of rows of weights for a word. */
    public int rows() {
      return format.perWord() / weights.perWord();
    }
  }

  /**
   * The output of a tile.
   *
   * @param format the format of the output
   * @param pixelStride words from one pixel's output to the next
   * @param residual the format of the residual, or null if there is none; its pixels hold as many
   *     channels as the output's
   * @param relu whether a ReLU is applied
   */
  record Output(Format format, int pixelStride, @Nullable Format residual, boolean relu) {
    /**
     * @throws IllegalArgumentException if results may be negative and the format is unsigned
     */
    public Output {
      if (pixelStride < 0 || (format == Format.U8 && !relu)) {
        throw new IllegalArgumentException(
            "results of %s, %d apart, relu %s".formatted(format, pixelStride, relu));
      }
    }

    /** Words from one pixel's residual to the next. */
    int residualStride() {
      return residual == null ? 0 : pixelStride * format.perWord() / residual.perWord();
    }
  }

  /**
   * Rows of pixels, one below the other.
   *
   * @param count the number of rows
   * @param in words from one row's input to the next
   * @param out words from one row's output to the next
   * @param residual words from one row's residual to the next
   */
  record Rows(int count, int in, int out, int residual) {
    /** All pixels are in one row. */
    public static final Rows ONE = new Rows(1, 0, 0, 0);

    /**
     * @throws IllegalArgumentException if there is no row or a stride is negative
     */
    public Rows {
      if (count < 1 || in < 0 || out < 0 || residual < 0) {
        throw new IllegalArgumentException(
            "%d rows, %d, %d and %d apart".formatted(count, in, out, residual));
      }
    }
  }

  /**
   * The strides through a tile's operands, in words.
   *
   * @param step from one word of a segment to the next
   * @param row from the weights of one word to those of the next
   * @param gap between the rows of one segment and those of the next
   */
  record Walk(int step, int row, int gap) {
    /**
     * @throws IllegalArgumentException if a stride is negative
     */
    public Walk {
      if (step < 0 || row < 0 || gap < 0) {
        throw new IllegalArgumentException(
            "steps of %d, rows of %d, gaps of %d".formatted(step, row, gap));
      }
    }

    /** Segments and weights without gaps. */
    static Walk dense(int row, int groups) {
      return new Walk(groups > 0 ? GROUP_STRIDE : 1, row, 0);
    }
  }

  /**
   * The positions of tiles, relative to indices given to {@link #run}.
   *
   * @param in the first pixel's input
   * @param out the first pixel's output
   * @param residual the first pixel's residual; unused without residual
   */
  record Tiles(Ints in, Ints out, Ints residual) {
    /** One tile at the indices given to {@link ConvTile#run}. */
    public static final Tiles ONE = new Tiles(Ints.of(0), Ints.of(0), Ints.of(0));
  }

  /**
   * The range of a tile's sum.
   *
   * @param firstSegment the index of the first segment
   * @param endSegment the index after the last segment
   * @param biasAt the index among the weights of the bias of the tile's first channel, with which
   *     the sum starts
   */
  record Reduction(int firstSegment, int endSegment, int biasAt) {}

  /**
   * Computes the tiles {@code [first, end)}, which use the same weights.
   *
   * @param arena holds input, residual and output
   * @param in the index to which the inputs are relative
   * @param out the index to which the outputs are relative
   * @param residual the index to which the residuals are relative; unused without residual
   * @param weights holds weights and bias
   * @param weightAt the index of the first segment's weights
   * @throws IndexOutOfBoundsException if an access is outside its array
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
