package io.github.resnet4j.engine.conv;

import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Cache;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.step.Frame;
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
 * A 3×3 convolution by Winograd's algorithm: transform a band of input tiles, multiply product by
 * product (each a matrix product over the tiles), transform back. Bias, residual and ReLU join the
 * last transform.
 *
 * <p>A band is as many tiles as keep their transformed input in the second-level cache; one block
 * of output channels is multiplied and transformed back before the next, so that its products never
 * leave the cache either.
 */
public final class WinogradConv implements Step {
  /** Bytes of transformed input and products that stay in the second-level cache. */
  private static final int BAND_BYTES = Cache.BYTES / 16 * 7;

  /** Between the products' planes, so that they do not all fall into the same sets of a cache. */
  private static final int SKEW = 16;

  private final Convolution conv;
  private final Winograd form;
  private final Weights weights;
  private final WinogradKernels.Transform transform;
  private final WinogradKernels.Output output;

  /** Tiles along the image's height and width. */
  private final int down;

  private final int across;
  private final int band;
  private final int parts;
  private final boolean splitChannels;
  private final ConvTile[] tiles; // by pixels; a tile of the product has a Winograd tile as pixel
  private final int mostPixels;
  private final ConvTile.Reduction sum;

  /** Room for one part's (or, where channels are split, everyone's) transformed input. */
  private final int transformedSize;

  private final int productsSize;
  private final Activation room;

  /**
   * Transformed weights {@code [product][block of output channels][input channel][channels]}, then
   * the bias, then as many zeros.
   */
  public record Weights(Floats data, int channels, int at, int biasAt, int zerosAt) {}

  /**
   * @param parts among how many threads the work of one step is split
   */
  public WinogradConv(
      Convolution conv, Winograd form, Weights weights, int images, int parts, Kernels kernels) {
    this.conv = conv;
    this.form = form;
    this.weights = weights;
    this.parts = parts;
    Activation in = conv.in();
    this.down = Math.ceilDiv(conv.out().height, form.outputs());
    this.across = Math.ceilDiv(conv.out().width, form.outputs());
    int all = images * down * across;
    int blocks = conv.out().paddedChannels() / weights.channels;
    // Where weights are few, a part stays with the tiles whose input it wrote itself.
    this.splitChannels =
        parts > 1
            && blocks % parts == 0
            && weights.zerosAt - weights.at
                > 2 * images * (in.imageSize() + conv.out().imageSize());
    this.mostPixels = kernels.accumulators() * kernels.lanes() / weights.channels;
    this.band = splitChannels ? all : band(Math.ceilDiv(all, parts));
    this.transformedSize = form.products() * transformedStep() + form.products() * in.block();
    this.productsSize = form.products() * productsStep() + form.products() * conv.out().block();
    this.room =
        new Activation(
            1, 1, (splitChannels ? 1 : parts) * transformedSize + parts * productsSize, 1);
    Ints runs = Ints.of(IntStream.range(0, in.blocks()).map(b -> b * band * in.block()).toArray());
    this.sum = new ConvTile.Reduction(0, runs.size(), weights.zerosAt);
    int count = Math.ceilDiv(band, mostPixels);
    // The whole tiles of a product, then what a rest would be.
    var pieces =
        new ConvTile.Tiles(
            Ints.of(IntStream.range(0, count).map(i -> i * mostPixels * in.block()).toArray()),
            Ints.of(
                IntStream.range(0, count).map(i -> i * mostPixels * weights.channels).toArray()),
            Ints.of(new int[count]));
    Activation residual = conv.residual();
    this.transform =
        kernels.winograd().input(form, in.asPlane(), inputs(images), transformedStep());
    this.output =
        kernels
            .winograd()
            .output(
                form,
                weights.channels,
                productsStep(),
                outputs(images),
                new WinogradKernels.Epilogue(
                    weights.data,
                    conv.out().asPlane(),
                    residual == null ? null : residual.asPlane(),
                    conv.relu()));
    this.tiles = new ConvTile[mostPixels + 1];
    for (int n = 1; n <= mostPixels; n++) {
      tiles[n] =
          kernels
              .conv()
              .tile(
                  new ConvTile.Shape(
                      n,
                      weights.channels,
                      new ConvTile.Input(Format.FP32, in.block(), in.block()),
                      new ConvTile.Output(Format.FP32, weights.channels, null, false)),
                  pieces,
                  runs);
    }
  }

  /** Where the tiles' inputs lie, from the first image on. */
  private Ints inputs(int images) {
    int each = down * across;
    int m = form.outputs();
    Activation in = conv.in();
    int[] from = new int[images * each];
    for (int t = 0; t < from.length; t++) {
      from[t] = t / each * in.imageSize() + in.pixel(t / across % down * m - 1, t % across * m - 1);
    }
    return Ints.of(from);
  }

  /** Where the tiles lie in output and residual, from the first image on. */
  private WinogradKernels.Places outputs(int images) {
    int each = down * across;
    int m = form.outputs();
    Activation out = conv.out();
    Activation residual = conv.residual();
    int[] to = new int[images * each];
    int[] add = new int[images * each];
    int[] rows = new int[images * each];
    int[] columns = new int[images * each];
    for (int t = 0; t < to.length; t++) {
      int n = t / each;
      int y = t / across % down * m;
      int x = t % across * m;
      to[t] = n * out.imageSize() + out.pixel(y, x);
      add[t] = residual == null ? 0 : n * residual.imageSize() + residual.pixel(y, x);
      rows[t] = Math.min(m, out.height - y);
      columns[t] = Math.min(m, out.width - x);
    }
    return new WinogradKernels.Places(Ints.of(to), Ints.of(add), Ints.of(rows), Ints.of(columns));
  }

  /**
   * Tiles of a band. Each band reads all weights again: where they are few, a band's transformed
   * input and products should stay in the second-level cache; where they are many, that matters
   * less than reading them seldom.
   */
  private int band(int share) {
    long perTile =
        (long) form.products()
            * (conv.in().paddedChannels() + conv.out().paddedChannels())
            * Float.BYTES;
    long weightBytes =
        (long) form.products()
            * conv.in().paddedChannels()
            * conv.out().paddedChannels()
            * Float.BYTES;
    int fitting = (int) Math.min(share, Math.max(mostPixels, BAND_BYTES / perTile));
    long whenFitting = weightBytes / fitting;
    long whenLarge = weightBytes / share + 2 * perTile;
    if (whenLarge < whenFitting) {
      return share;
    }
    int bands = Math.ceilDiv(share, fitting);
    int even = Math.ceilDiv(share, bands);
    return Math.min(share, Math.ceilDiv(even, mostPixels) * mostPixels);
  }

  /** How a convolution's transformed weights are packed. */
  public static Packing<Weights> packing(Convolution conv, Winograd form, Kernels kernels) {
    Conv2d layer = conv.layer();
    int inputs = conv.in().paddedChannels();
    int outputs = conv.out().paddedChannels();
    int channels = Math.min(conv.out().block(), kernels.mostVectors() * kernels.lanes());
    int size = Math.multiplyExact(form.products() * inputs, outputs);
    return new Packing<>() {
      @Override
      public String key() {
        return "%s, %s, %d channels of %d"
            .formatted(layer.name(), form, channels, conv.out().block());
      }

      @Override
      public int size() {
        return size + 2 * outputs;
      }

      @Override
      public Weights pack(StateDict state, Floats data, int at) {
        Convolution.Folded folded = conv.fold(state);
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
              int row = (x * (outputs / channels) + block) * inputs + conv.in().position(c);
              data.values()[at + row * channels + to % channels] = transformed[x];
            }
          }
        }
        conv.placeBias(folded, data.values(), at + size);
        return new Weights(data, channels, at, at + size, at + size + outputs);
      }
    };
  }

  /** The room for transformed inputs and products; the plan gives it a place. */
  public Activation room() {
    return room;
  }

  /** The border that tiles of this form read around an input. */
  public static void needBorder(Activation in, Winograd form) {
    int m = form.outputs();
    int overhang =
        Math.max(
            Math.ceilDiv(in.height, m) * m - in.height, Math.ceilDiv(in.width, m) * m - in.width);
    in.needBorder(1, 1 + overhang);
  }

  @Override
  public String name() {
    return conv.layer().name();
  }

  @Override
  public String algorithm() {
    return "winograd F(%dx%d)".formatted(form.outputs(), form.outputs());
  }

  @Override
  public Activation out() {
    return conv.out();
  }

  @Override
  public long flops() {
    return conv.flops();
  }

  @Override
  public int phases() {
    return splitChannels ? 2 : 1;
  }

  @Override
  public void run(Frame frame, int first, int count, int phase, int part, int ofParts) {
    if (ofParts != parts) {
      throw new IllegalArgumentException(
          "planned for %d parts, run in %d".formatted(parts, ofParts));
    }
    Floats arena = frame.memory();
    if (part == 0 && phase == 0) {
      for (int n = first; n < first + count; n++) {
        conv.out().clearBorder(frame.arena(), n);
      }
    }
    int all = count * down * across;
    int blocks = conv.out().paddedChannels() / weights.channels;
    int products =
        room.offset() + (splitChannels ? 1 : parts) * transformedSize + part * productsSize;
    if (splitChannels) {
      if (phase == 0) {
        transform(
            arena, first, 0, all * part / parts, all * (part + 1) / parts, room.offset(), products);
      } else {
        int from = blocks * part / parts;
        int to = blocks * (part + 1) / parts;
        multiply(arena, from, to, all, room.offset(), products);
        for (int b = from; b < to; b++) {
          transformBack(arena, first, b, from, 0, all, products);
        }
      }
      return;
    }
    int transformed = room.offset() + part * transformedSize;
    int end = all * (part + 1) / parts;
    for (int t = all * part / parts; t < end; t += band) {
      int size = Math.min(band, end - t);
      transform(arena, first, t, t, t + size, transformed, products);
      multiply(arena, 0, blocks, size, transformed, products);
      for (int b = 0; b < blocks; b++) {
        transformBack(arena, first, b, 0, t, size, products);
      }
    }
  }

  private int transformedStep() {
    return conv.in().paddedChannels() * band + SKEW;
  }

  /** The products of all the blocks of output channels that one part computes. */
  private int productsStep() {
    return conv.out().paddedChannels() / (splitChannels ? parts : 1) * band + SKEW;
  }

  /** Transforms the tiles [from, end) of a band that begins with tile {@code bandStart}. */
  private void transform(
      Floats arena, int firstImage, int bandStart, int from, int end, int to, int products) {
    Activation in = conv.in();
    for (int b = 0; b < in.blocks(); b++) {
      transform.run(
          arena,
          from,
          end,
          in.image(firstImage) + b * in.plane(),
          to + (b * band + from - bandStart) * in.block(),
          products + form.products() * productsStep());
    }
  }

  /** All products of a band for some blocks of output channels. */
  private void multiply(
      Floats arena, int fromBlock, int endBlock, int count, int transformed, int products) {
    int inputs = conv.in().paddedChannels();
    int blocks = conv.out().paddedChannels() / weights.channels;
    int whole = count / mostPixels;
    int rest = count % mostPixels;
    for (int x = 0; x < form.products(); x++) {
      int from = transformed + x * transformedStep();
      for (int b = fromBlock; b < endBlock; b++) {
        int to = products + x * productsStep() + (b - fromBlock) * band * weights.channels;
        int weightAt = weights.at + (x * blocks + b) * inputs * weights.channels;
        if (whole > 0) {
          multiply(arena, mostPixels, 0, whole, from, to, weightAt);
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

  /** From products to output, for one block of output channels. */
  private void transformBack(
      Floats arena,
      int firstImage,
      int block,
      int firstBlock,
      int bandStart,
      int count,
      int products) {
    Activation out = conv.out();
    Activation residual = conv.residual();
    int channel = block * weights.channels;
    int plane = channel / out.block();
    int lane = channel % out.block();
    output.run(
        arena,
        bandStart,
        bandStart + count,
        products + (block - firstBlock) * band * weights.channels,
        weights.biasAt + channel,
        out.image(firstImage) + plane * out.plane() + lane,
        residual == null ? 0 : residual.image(firstImage) + plane * residual.plane() + lane,
        products + form.products() * productsStep());
  }
}
