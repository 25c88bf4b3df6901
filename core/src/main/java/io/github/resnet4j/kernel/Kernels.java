package io.github.resnet4j.kernel;

/**
 * The loops that the engine spends its time in, over blocked arrays: {@code block} consecutive
 * floats are so many channels of one pixel. Everything of one run lies in one array, the arena.
 *
 * <p>Providers give the same bits where the order of the additions is fixed ({@link ConvTile}).
 */
public interface Kernels {
  /**
   * The fastest kernels that this JVM offers, chosen once: vectors where it has them and compiles
   * them well, else {@link #scalar} ones, with a warning that says why. The system property {@code
   * resnet4j.kernels} ({@code auto}, {@code vector}, {@code scalar}) overrules it.
   *
   * @throws IllegalArgumentException if the property asks for what this JVM does not have
   */
  static Kernels best() {
    return Providers.chosen();
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

  /** The micro-kernel of a shape; the same object for the same shape. */
  ConvTile tile(ConvTile.Shape shape);

  /**
   * {@code Bᵀ d B} of one tile for one block of channels.
   *
   * @param from the tile's first input; rows are {@code rowStride} apart, pixels {@code block}
   * @param to where the first product's block goes, the next ones are {@code step} apart
   * @param scratch room for {@code form.products() * block} floats
   */
  void winogradInput(
      Winograd form,
      float[] arena,
      int from,
      int rowStride,
      int block,
      int to,
      int step,
      int scratch);

  /** Where a Winograd tile's results go and what becomes of them on the way. */
  record Epilogue(boolean residual, boolean relu) {}

  /**
   * {@code Aᵀ m A} of one tile for one block of channels, plus bias, residual and ReLU.
   *
   * @param from the first product's block, the next ones are {@code step} apart
   * @param to the tile's first output; rows are {@code rowStride} apart, pixels {@code pixelStride}
   * @param rows outputs of the tile that exist, from the top
   * @param columns outputs of the tile that exist, from the left
   * @param residualAt as {@code to}, for the residual, whose rows are {@code residualRowStride}
   *     apart
   * @param scratch room for {@code form.products() * block} floats
   */
  void winogradOutput(
      Winograd form,
      float[] arena,
      int from,
      int step,
      int block,
      float[] weights,
      int biasAt,
      int to,
      int rowStride,
      int pixelStride,
      int rows,
      int columns,
      int residualAt,
      int residualRowStride,
      Epilogue epilogue,
      int scratch);

  /**
   * One row of max pooling over a block of channels; NaN wins.
   *
   * @param from the first window's first pixel; rows are {@code rowStride} apart, pixels {@code
   *     block}
   * @param size the window's extent
   * @param stride pixels from one window to the next
   * @param to where {@code count} consecutive pixels go
   */
  void maxPoolRow(
      float[] arena, int from, int rowStride, int block, int size, int stride, int to, int count);

  /**
   * The mean over {@code rows × columns} pixels of a block of channels.
   *
   * @param from the first pixel; rows are {@code rowStride} apart, pixels {@code block}
   */
  void average(float[] arena, int from, int rowStride, int block, int rows, int columns, int to);
}
