package io.github.resnet4j.kernel;

import java.util.Optional;

/**
 * The loops that the engine spends its time in, over blocked arrays: {@code block} consecutive
 * words are the channels of one pixel, one, two or four to a word ({@link Format}). Everything of
 * one run lies in one array, the arena.
 *
 * <p>Providers give the same bits where the order of the additions is fixed ({@link ConvTile}).
 */
public interface Kernels {
  /**
   * The fastest kernels that this JVM offers, chosen once: machine code where the processor has
   * AVX2 and the JVM lets native code run ({@code --enable-native-access}); else vectors where the
   * JVM has them and compiles them well; else {@link #scalar} ones, with a warning that says why.
   * The system property {@code resnet4j.kernels} ({@code auto}, {@code machine}, {@code
   * machine256}, {@code vector}, {@code scalar}) overrules it.
   *
   * @throws IllegalArgumentException if the property asks for what this JVM does not have
   */
  static Kernels best() {
    return Providers.chosen();
  }

  /**
   * Machine code, which needs no warming up, where processor and JVM permit it; empty also if the
   * system property asks for others.
   */
  static Optional<Kernels> machine() {
    return Providers.machine();
  }

  /** Plain loops: the twin of the others, for comparison and for a run too short to warm up for. */
  static Kernels scalar() {
    return new ScalarKernels();
  }

  /** What runs here, for people: {@code vector, 512 bit}. */
  String name();

  /** Floats of a vector. */
  int lanes();

  /** The most vectors of output channels that a tile has for each pixel. */
  int mostVectors();

  /** How many vectors of results a tile keeps in registers: pixels times vectors. */
  int accumulators();

  /** Whether a compiled plan on these kernels is faster than the reference forward pass. */
  boolean isFast();

  /**
   * Whether there are instructions for tiles that read or write this format. Where there are not,
   * plain loops give the same results, slowly.
   */
  boolean has(Format format);

  /** Whether tiles that read this format do more in the same time than those that read floats. */
  boolean gainsBy(Format in);

  /** The micro-kernel of a shape; the same object for the same shape. */
  ConvTile tile(ConvTile.Shape shape);

  /**
   * Brings weights into the order in which tiles read them: {@code to[at + i * channels + c] =
   * source[start + c * stride + from[i]] * scales[first + c]}.
   *
   * @param channels a multiple of four
   */
  void gather(
      Floats source,
      int start,
      int stride,
      Ints from,
      Floats scales,
      int first,
      int channels,
      Floats to,
      int at);

  /**
   * Where the tiles of a Winograd convolution lie, each relative to a place that the kernels are
   * given.
   *
   * @param in the tile's first input
   * @param out the tile's first output
   * @param residual the tile's first residual; unused without residual
   * @param rows outputs of the tile that exist, from the top
   * @param columns outputs of the tile that exist, from the left
   */
  record WinogradTiles(Ints in, Ints out, Ints residual, Ints rows, Ints columns) {}

  /**
   * {@code Bᵀ d B} of some tiles for one block of channels.
   *
   * @param first the first tile's index
   * @param end the index after the last tile's
   * @param in what the tiles' inputs are relative to; rows are {@code rowStride} apart, pixels
   *     {@code block}
   * @param to where the first tile's first product's block goes; the next products are {@code step}
   *     apart, the next tiles {@code block}
   * @param scratch room for {@code form.products() * block} floats
   */
  void winogradInput(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int in,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch);

  /**
   * {@code A dY Aᵀ} of some tiles for one block of channels: as {@link #winogradInput}, but a tile
   * has as many rows and columns as it has outputs.
   */
  void winogradGradient(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int in,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch);

  /**
   * What becomes of a Winograd tile's results.
   *
   * @param residual whether something is added
   * @param relu whether negative results become zero
   * @param rounded whether they become {@link Format#ROUNDED}
   */
  record Epilogue(boolean residual, boolean relu, boolean rounded) {}

  /**
   * {@code Aᵀ m A} of some tiles for one block of channels, plus bias, residual and ReLU.
   *
   * @param first the first tile's index
   * @param end the index after the last tile's
   * @param from the first tile's first product's block; the next products are {@code step} apart,
   *     the next tiles {@code block}
   * @param out what the tiles' outputs are relative to; rows are {@code rowStride} apart, pixels
   *     {@code pixelStride}
   * @param residual what the tiles' residuals are relative to; their rows are {@code
   *     residualRowStride} apart
   * @param scratch room for {@code form.products() * block} floats
   */
  void winogradOutput(
      Winograd form,
      Floats arena,
      WinogradTiles tiles,
      int first,
      int end,
      int from,
      int step,
      int block,
      Floats weights,
      int biasAt,
      int out,
      int rowStride,
      int pixelStride,
      int residual,
      int residualRowStride,
      Epilogue epilogue,
      int scratch);

  /**
   * One row of max pooling over a block of channels; NaN wins. In formats narrower than a float no
   * number may be negative.
   *
   * @param from the first window's first pixel; rows are {@code rowStride} apart, pixels {@code
   *     block}
   * @param size the window's extent
   * @param stride pixels from one window to the next
   * @param to where {@code count} consecutive pixels go
   */
  void maxPoolRow(
      Floats arena,
      Format format,
      int from,
      int rowStride,
      int block,
      int size,
      int stride,
      int to,
      int count);

  /**
   * Runs the kernels that only training uses once, small, and compares them with the scalar twin's.
   *
   * @throws IllegalStateException if they differ
   */
  default void testForTraining() {
    SelfTest.trainingFailure(this)
        .ifPresent(failure -> {
          throw new IllegalStateException(failure + "; -Dresnet4j.kernels=vector takes others");
        });
  }

  /**
   * The gradient of max pooling, one row of windows: what a window's maximum contributed goes to
   * the first pixel that has it, {@code toGradient += (x == y) ? gradient : 0}.
   *
   * @param from the first window's first pixel; rows are {@code rowStride} apart, pixels {@code
   *     block}
   * @param maxima the windows' maxima, consecutive pixels
   * @param gradient the maxima's gradient, consecutive pixels
   * @param to the gradient of the first window's first pixel; rows are {@code toRowStride} apart
   */
  void maxPoolGradientRow(
      Floats arena,
      int from,
      int rowStride,
      int block,
      int size,
      int stride,
      int maxima,
      int gradient,
      int to,
      int toRowStride,
      int count);

  /**
   * A rectangle of pixels of a block of channels: what the kernels of batch norm go over.
   *
   * @param columns pixels of a row; they are {@code block} apart
   */
  record Region(int rows, int columns, int block) {
    /**
     * @throws IllegalArgumentException if an extent is not positive
     */
    public Region {
      if (rows < 1 || columns < 1 || block < 1) {
        throw new IllegalArgumentException(
            "%d×%d pixels of %d channels".formatted(rows, columns, block));
      }
    }
  }

  /**
   * Adds to {@code to[0, block)} the sum of {@code x - pivot} and to {@code to[block, 2 * block)}
   * that of its square, row sums first.
   *
   * @param x the first pixel; rows are {@code xRow} apart
   * @param pivot {@code block} numbers near the mean, so that nothing cancels
   */
  void moments(Floats arena, Region region, int x, int xRow, int pivot, int to);

  /**
   * Batch norm and ReLU: {@code y = max(0, x * a + b)}, or with a residual {@code max(0, x * a + (r
   * * c + b))}.
   *
   * @param coefficients a, b and c, {@code block} numbers each
   * @param residual the first pixel of what is added, or -1
   */
  void normalize(
      Floats arena,
      Region region,
      int x,
      int xRow,
      int coefficients,
      int residual,
      int residualRow,
      int y,
      int yRow);

  /** Which gradients a ReLU lets pass. */
  enum Mask {
    /** All. */
    NONE,
    /** Those where {@code x * a + b} is positive. */
    INPUT,
    /** Those where the output is positive; the others become zero in their place. */
    OUTPUT
  }

  /**
   * What the gradient of batch norm needs to know: adds to {@code to[0, block)} the sum of the
   * gradients {@code g} that the mask lets pass, and to {@code to[block, 2 * block)} that of {@code
   * g * (x - mean)}, row sums first.
   *
   * @param coefficients mean, a and b, {@code block} numbers each
   * @param y the first pixel of the output; unused if the mask does not ask for it
   */
  void gradientMoments(
      Floats arena,
      Region region,
      Mask mask,
      int g,
      int gRow,
      int x,
      int xRow,
      int y,
      int yRow,
      int coefficients,
      int to);

  /**
   * The gradient of batch norm's input: {@code out = g * p + (x * q + r)}.
   *
   * @param masked whether g counts only where {@code x * a + b} is positive
   * @param coefficients p, q, r, a and b, {@code block} numbers each
   * @param out may be where g is
   */
  void normGradient(
      Floats arena,
      Region region,
      boolean masked,
      int g,
      int gRow,
      int x,
      int xRow,
      int coefficients,
      int out,
      int outRow);

  /**
   * The mean over {@code rows × columns} pixels of a block of channels.
   *
   * @param from the first pixel; rows are {@code rowStride} apart, pixels {@code block}
   */
  void average(Floats arena, int from, int rowStride, int block, int rows, int columns, int to);
}
