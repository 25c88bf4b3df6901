package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.step.ExecutionContext;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.ConvTile;
import io.github.resnet4j.kernel.Floats;
import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Ints;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.kernel.WinogradKernels;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.StateDict;
import java.util.stream.IntStream;

/**
 * A 3×3 convolution by Winograd's algorithm: transforms a band of input tiles, multiplies each
 * product (a matrix product over the tiles), and transforms back. The output transform also adds
 * bias and residual and applies ReLU.
 *
 * <p>A band has as many tiles as keep their transformed input in the L2 cache. One block of output
 * channels is multiplied and transformed back before the next, so that its products stay in the
 * cache too.
 */
public final class WinogradConv implements Step {
  private final Convolution conv;
  private final WinogradBands bands;
  private final Operands operands;
  private final int workspaceAt;
  private final Weights weights;
  private final Kernels kernels;
  private final WinogradKernels.Transform transform;
  private final WinogradKernels.Output output;
  private final ConvTile[] tiles; // by pixels; a pixel of this matrix product is a Winograd tile
  private final int maxPixels;
  private final ConvTile.Reduction sum;
  private final int block; // words of a tile's factor: those of a block of input channels
  private final int transformedStep;
  private final int productsStep;

  /**
   * Transformed weights {@code [product][block of output channels][word of input
   * channels][channels]}, then the bias, then as many zeros.
   */
  public record Weights(Floats data, int channels, int at, int biasAt, int zerosAt) {}

  /**
   * @param workspaceAt the index in the arena of {@link WinogradBands#workspace} words
   */
  public WinogradConv(
      Convolution conv,
      WinogradBands bands,
      Operands operands,
      int workspaceAt,
      Weights weights,
      Kernels kernels) {
    this.conv = conv;
    this.bands = bands;
    this.operands = operands;
    this.workspaceAt = workspaceAt;
    this.weights = weights;
    this.kernels = kernels;
    this.transformedStep = bands.transformedStep(conv);
    this.productsStep = bands.productsStep(conv);
    this.maxPixels = kernels.accumulators() * kernels.lanes() / weights.channels;
    Format factors = conv.winogradFactors(bands.form());
    this.block = conv.in().blockChannels() / factors.perWord();
    Layout residual = conv.residual();
    this.transform =
        kernels
            .winograd()
            .input(bands.form(), conv.in().asPlane(), inputs(), transformedStep, factors);
    this.output =
        kernels
            .winograd()
            .output(
                bands.form(),
                weights.channels,
                productsStep,
                outputs(),
                new WinogradKernels.Epilogue(
                    weights.data,
                    conv.out().asPlane(),
                    residual == null ? null : residual.asPlane(),
                    conv.relu()));
    Ints segments =
        Ints.of(
            IntStream.range(0, conv.in().blocks()).map(b -> b * bands.band() * block).toArray());
    this.sum = new ConvTile.Reduction(0, segments.size(), weights.zerosAt);
    // The sizes of whole tiles of a product, then that of the rest.
    int count = Math.ceilDiv(bands.band(), maxPixels);
    var pieces =
        new ConvTile.Tiles(
            Ints.of(IntStream.range(0, count).map(i -> i * maxPixels * block).toArray()),
            Ints.of(IntStream.range(0, count).map(i -> i * maxPixels * weights.channels).toArray()),
            Ints.of(new int[count]));
    var input = new ConvTile.Input(factors, block, block);
    var result = new ConvTile.Output(Format.FP32, weights.channels, null, false);
    this.tiles = new ConvTile[maxPixels + 1];
    for (int n = 1; n <= maxPixels; n++) {
      tiles[n] =
          kernels
              .conv()
              .tile(new ConvTile.Shape(n, weights.channels, input, result), pieces, segments);
    }
  }

  /** The offsets of the tiles' inputs, from the first image on. */
  private Ints inputs() {
    Layout in = conv.in();
    int m = bands.form().outputs();
    int[] from = new int[bands.images() * bands.tiles()];
    for (int t = 0; t < from.length; t++) {
      int y = t / bands.across() % bands.down() * m;
      int x = t % bands.across() * m;
      from[t] = t / bands.tiles() * in.imageSize() + in.pixel(y - 1, x - 1);
    }
    return Ints.of(from);
  }

  /** The offsets of the tiles in output and residual, from the first image on. */
  private WinogradKernels.TileOffsets outputs() {
    Layout out = conv.out();
    Layout residual = conv.residual();
    int m = bands.form().outputs();
    int count = bands.images() * bands.tiles();
    int[] to = new int[count];
    int[] add = new int[count];
    int[] rows = new int[count];
    int[] columns = new int[count];
    for (int t = 0; t < count; t++) {
      int n = t / bands.tiles();
      int y = t / bands.across() % bands.down() * m;
      int x = t % bands.across() * m;
      to[t] = n * out.imageSize() + out.pixel(y, x);
      add[t] = residual == null ? 0 : n * residual.imageSize() + residual.pixel(y, x);
      rows[t] = Math.min(m, out.height() - y);
      columns[t] = Math.min(m, out.width() - x);
    }
    return new WinogradKernels.TileOffsets(
        Ints.of(to), Ints.of(add), Ints.of(rows), Ints.of(columns));
  }

  /** The packing of a convolution's transformed weights. */
  public static Packing<Weights> packing(Convolution conv, Winograd form, Kernels kernels) {
    Conv2d layer = conv.layer();
    Format factors = conv.winogradFactors(form);
    int perWord = factors.perWord();
    int inputs = conv.in().paddedChannels() / perWord;
    int outputs = conv.out().paddedChannels();
    int channels = WinogradBands.channels(conv, kernels);
    int size = Math.multiplyExact(form.products() * inputs, outputs);
    return new Packing<>() {
      @Override
      public String key() {
        return "%s, %s, %d channels of %d"
            .formatted(layer.name(), form, channels, conv.out().blockChannels());
      }

      @Override
      public int size() {
        return size + 2 * outputs;
      }

      @Override
      public Weights pack(StateDict state, Floats data, int at) {
        FoldedWeights folded = FoldedWeights.of(conv.ofFloats(), state); // rounded only once
        float[] window = new float[9];
        float[] transformed = new float[form.products()];
        for (int o = 0; o < layer.outChannels(); o++) {
          int to = conv.out().position(o);
          int block = to / channels;
          for (int c = 0; c < layer.inChannels(); c++) {
            for (int i = 0; i < 9; i++) {
              window[i] = folded.weight(o, (o * layer.inChannels() + c) * 9 + i);
            }
            form.transformWeights(window, transformed);
            for (int x = 0; x < transformed.length; x++) {
              int from = conv.in().position(c);
              int row = (x * (outputs / channels) + block) * inputs + from / perWord;
              int word = at + row * channels + to % channels;
              factors.put(data.values(), word, from % perWord, transformed[x]);
            }
          }
        }
        folded.placeBias(conv.out(), data.values(), at + size);
        return new Weights(data, channels, at, at + size, at + size + outputs);
      }
    };
  }

  @Override
  public String name() {
    return conv.layer().name();
  }

  @Override
  public String algorithm() {
    return "winograd F(%dx%d)".formatted(bands.form().outputs(), bands.form().outputs());
  }

  @Override
  public Activation out() {
    return operands.out();
  }

  @Override
  public long flops() {
    return conv.flops();
  }

  @Override
  public int phases() {
    return bands.shared() ? 2 : 1;
  }

  @Override
  public void run(
      ExecutionContext context, int first, int count, int phase, int part, int ofParts) {
    if (ofParts != bands.parts()) {
      throw new IllegalArgumentException(
          "planned for %d parts, run in %d".formatted(bands.parts(), ofParts));
    }
    Floats arena = context.memory();
    int all = count * bands.tiles();
    int blocks = conv.out().paddedChannels() / weights.channels;
    int transformed = workspaceAt + bands.transformedAt(part);
    int products = workspaceAt + bands.productsAt(conv, part);
    if (bands.splitChannels()) {
      int from = blocks * part / ofParts;
      int to = blocks * (part + 1) / ofParts;
      if (phase == 0) {
        operands.prepareChannels(
            context, kernels, first, count, from * weights.channels, to * weights.channels);
        int firstTile = bands.shared() ? all * part / ofParts : 0;
        int endTile = bands.shared() ? all * (part + 1) / ofParts : all;
        transform(arena, first, 0, firstTile, endTile, transformed, products);
      }
      if (phase == phases() - 1) {
        multiply(arena, from, to, all, transformed, products);
        for (int b = from; b < to; b++) {
          transformBack(arena, first, b, b - from, 0, all, products);
        }
      }
      return;
    }
    if (part == 0) {
      for (int n = first; n < first + count; n++) {
        operands.out().clearBorder(context.arena(), n);
      }
    }
    int end = all * (part + 1) / ofParts;
    for (int t = all * part / ofParts; t < end; t += bands.band()) {
      int size = Math.min(bands.band(), end - t);
      transform(arena, first, t, t, t + size, transformed, products);
      multiply(arena, 0, blocks, size, transformed, products);
      for (int b = 0; b < blocks; b++) {
        transformBack(arena, first, b, b, t, size, products);
      }
    }
  }

  /** The index after a part's products: its scratch. */
  private int scratch(int products) {
    return products + bands.form().products() * productsStep;
  }

  /** Transforms the tiles [from, end) of the band whose first tile is {@code bandStart}. */
  private void transform(
      Floats arena, int firstImage, int bandStart, int from, int end, int to, int products) {
    Layout in = conv.in();
    for (int b = 0; b < in.blocks(); b++) {
      transform.run(
          arena,
          from,
          end,
          operands.in().image(firstImage) + b * in.plane(),
          to + (b * bands.band() + from - bandStart) * block,
          scratch(products));
    }
  }

  /** Computes all products of a band for some blocks of output channels. */
  private void multiply(
      Floats arena, int fromBlock, int endBlock, int count, int transformed, int products) {
    int inputs = conv.in().blocks() * block;
    int blocks = conv.out().paddedChannels() / weights.channels;
    int whole = count / maxPixels;
    int rest = count % maxPixels;
    for (int x = 0; x < bands.form().products(); x++) {
      int from = transformed + x * transformedStep;
      for (int b = fromBlock; b < endBlock; b++) {
        int to = products + x * productsStep + (b - fromBlock) * bands.band() * weights.channels;
        int weightAt = weights.at + (x * blocks + b) * inputs * weights.channels;
        if (whole > 0) {
          multiply(arena, maxPixels, 0, whole, from, to, weightAt);
        }
        if (rest > 0) {
          multiply(arena, rest, whole, whole + 1, from, to, weightAt);
        }
      }
    }
  }

  private void multiply(
      Floats arena, int pixels, int first, int end, int from, int to, int weightAt) {
    tiles[pixels].run(arena, first, end, from, to, 0, weights.data, weightAt, sum);
  }

  /**
   * Transforms the products of one block of output channels to the output.
   *
   * @param ofPart the index of the block among those whose products the part holds
   */
  private void transformBack(
      Floats arena, int image, int block, int ofPart, int bandStart, int count, int products) {
    int channel = block * weights.channels;
    output.run(
        arena,
        bandStart,
        bandStart + count,
        products + ofPart * bands.band() * weights.channels,
        weights.biasAt + channel,
        operands.out().word(image, channel),
        operands.residualWord(image, channel),
        scratch(products));
  }
}
