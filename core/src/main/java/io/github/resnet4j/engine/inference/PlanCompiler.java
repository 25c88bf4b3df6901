package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.Head;
import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.conv.Packing;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Cache;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Numbers;
import io.github.resnet4j.engine.step.AttentionStep;
import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.engine.step.InputStep;
import io.github.resnet4j.engine.step.OutputStep;
import io.github.resnet4j.engine.step.PoolSteps;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import io.github.resnet4j.messages.Suggestion;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Compiles a network into a {@link Plan}: walks its layers once, then chooses algorithms, borders,
 * images at once and places, in this order, since each depends on those before.
 */
public final class PlanCompiler {
  /** An operation before its algorithm is chosen. */
  private sealed interface Op {
    List<Activation> inputs();

    Activation out();

    record Conv(Convolution conv) implements Op {
      @Override
      public List<Activation> inputs() {
        return conv.residual() == null ? List.of(conv.in()) : List.of(conv.in(), conv.residual());
      }

      @Override
      public Activation out() {
        return conv.out();
      }
    }

    record Other(Layer layer, List<Activation> inputs, Activation out) implements Op {}

    record Input(List<Activation> inputs, Activation out) implements Op {}

    record Output(String name, int index, Activation out) implements Op {
      @Override
      public List<Activation> inputs() {
        return List.of(out);
      }
    }
  }

  private final Sequential network;
  private final int parts;
  private final List<String> taps;
  private final Numbers numbers;
  private final Kernels kernels;
  private final int block;
  private final List<Op> ops = new ArrayList<>();

  /** The operations that a segment may begin with. */
  private final Set<Integer> mayBegin = new HashSet<>();

  private final Map<String, Activation> tapped = new LinkedHashMap<>();

  public PlanCompiler(
      Sequential network, int parts, List<String> taps, Numbers numbers, Kernels kernels) {
    this.network = network;
    this.parts = parts;
    this.taps = taps;
    this.numbers = numbers;
    this.kernels = kernels;
    this.block = commonBlock(network);
  }

  /** The widest block, up to 64 channels, that divides every layer's channels. */
  public static int commonBlock(Layer network) {
    int block = 64;
    for (Layer layer : network.walk().toList()) {
      if (layer instanceof Conv2d conv) {
        while (Math.ceilDiv(conv.outChannels(), 16) * 16 % block != 0) {
          block /= 2;
        }
      }
    }
    return block;
  }

  public void walk(Sequential all, int inChannels, int height, int width) {
    all.requireFits(height, width);
    var input = new Activation(inChannels, height, width, inChannels < 16 ? inChannels : block);
    ops.add(new Op.Input(List.of(), input));
    Activation last = sequence(all, input, null);
    for (String tap : taps) {
      Activation found = tapped.get(tap);
      if (found == null) {
        throw new IllegalArgumentException(
            "no layer '%s' to tap%s; there are %s"
                .formatted(
                    tap, Suggestion.of(tap, tapped.keySet()), String.join(", ", tapped.keySet())));
      }
      ops.add(new Op.Output(tap, taps.indexOf(tap), found));
    }
    ops.add(new Op.Output("output", taps.size(), last));
    chooseFormats();
    interleaveNarrowGroups();
  }

  /** What is averaged, or only handed out, remains floats, as does all after it. */
  private void chooseFormats() {
    for (Op op : ops) {
      switch (op) {
        case Op.Input(var _, Activation out) -> numbers.holdInput(out);
        case Op.Conv(Convolution conv) when isReadByConvolution(conv.out()) ->
            numbers.hold(conv.out(), conv.layer().name(), conv.relu());
        case Op.Other(Layer layer, List<Activation> in, Activation out) when keepsNumbers(layer) ->
            out.holdAs(in.getFirst());
        case Op.Other(Layer layer, List<Activation> in, Activation out) when Gates.are(layer) -> {
          if (isReadByConvolution(out)) {
            numbers.hold(out, layer.name(), true);
          }
        }
        default -> {}
      }
    }
  }

  /** Whether a convolution reads or adds it, perhaps after pooling or attention. */
  private boolean isReadByConvolution(Activation activation) {
    return ops.stream()
        .filter(op -> op.inputs().contains(activation))
        .anyMatch(op ->
            op instanceof Op.Conv
                || (op instanceof Op.Other(Layer layer, var _, Activation out)
                    && (keepsNumbers(layer) || Gates.are(layer))
                    && isReadByConvolution(out)));
  }

  /** Whether a layer's results are numbers as its inputs. */
  private static boolean keepsNumbers(Layer layer) {
    return layer instanceof MaxPool2d
        || layer instanceof AvgPool2d
        || layer instanceof BlurPool2d
        || layer instanceof SubsampleAndPad;
  }

  /** Where a convolution of narrow groups stands between dense ones only. */
  private void interleaveNarrowGroups() {
    for (Op op : ops) {
      if (op instanceof Op.Conv(Convolution conv)
          && conv.hasNarrowGroups()
          && isBetweenConvolutions(conv.in(), conv)
          && isBetweenConvolutions(conv.out(), conv)) {
        int width = conv.layer().inChannels() / conv.layer().groups();
        conv.in().interleaveGroups(width);
        conv.out().interleaveGroups(width);
      }
    }
  }

  /** Whether only this convolution, dense ones and outputs make and read it, and none adds it. */
  private boolean isBetweenConvolutions(Activation activation, Convolution self) {
    return ops.stream()
        .filter(op -> op.out() == activation || op.inputs().contains(activation))
        .allMatch(op ->
            op instanceof Op.Output
                || (op instanceof Op.Conv(Convolution conv)
                    && (conv == self || conv.layer().groups() == 1)
                    && conv.residual() != activation
                    && (conv.residual() == null || conv.out() != activation)));
  }

  /**
   * Adds the steps of layers that follow each other.
   *
   * @param residual what to add to the last convolution's result, with a ReLU after it
   */
  private Activation sequence(Sequential sequence, Activation x, @Nullable Activation residual) {
    List<Layer> layers = sequence.layers();
    Activation at = x;
    for (int i = 0; i < layers.size(); i++) {
      Layer layer = layers.get(i);
      switch (layer) {
        case Conv2d conv -> {
          if (!(i + 1 < layers.size() && layers.get(i + 1) instanceof BatchNorm2d norm)) {
            throw new IllegalArgumentException(conv.name() + ": no batch norm follows it");
          }
          i++;
          boolean relu = i + 1 < layers.size() && layers.get(i + 1) instanceof Relu;
          if (relu) {
            i++;
          }
          boolean last = i + 1 == layers.size() && residual != null;
          at = convolution(conv, norm, at, last ? residual : null, relu || last);
          if (last) {
            return at; // the block's result, which the block itself is tapped by
          }
          layer = layers.get(i);
        }
        case MaxPool2d pool -> {
          if (i == 0 || !(layers.get(i - 1) instanceof Relu)) {
            throw new IllegalArgumentException(pool.name() + ": no ReLU before it");
          }
          at.needBorder(pool.padding(), pool.padding());
          at = windows(pool, at, at.channels);
        }
        case Residual block -> {
          mayBegin.add(ops.size());
          at = residual(block, at);
        }
        case Sequential inner -> at = sequence(inner, at, null);
        case GlobalAveragePool pool -> {
          mayBegin.add(ops.size());
          var out = new Activation(at.channels, 1, 1, block);
          ops.add(new Op.Other(pool, List.of(at), out));
          at = out;
        }
        case Linear linear -> {
          var out = new Activation(linear.out(), 1, 1, block);
          ops.add(new Op.Other(linear, List.of(at), out));
          at = out;
        }
        case Identity _ -> {}
        case SqueezeExcite _, EfficientAttention _ -> {
          if (residual == null || i + 1 < layers.size()) {
            throw new IllegalArgumentException(layer.name() + ": not at the end of a block");
          }
          var out = new Activation(at.channels, at.height, at.width, block);
          ops.add(new Op.Other(layer, List.of(at, residual), out));
          return out;
        }
        case AvgPool2d pool -> at = windows(pool, at, at.channels);
        case BlurPool2d pool -> at = windows(pool, at, at.channels);
        case SubsampleAndPad pad -> at = windows(pad, at, pad.channels());
        case BatchNorm2d norm ->
            throw new IllegalArgumentException(norm.name() + ": no convolution before it");
        case Relu relu ->
            throw new IllegalArgumentException(relu.name() + ": no batch norm before it");
      }
      tapped.put(layer.name(), at);
    }
    return at;
  }

  private Activation residual(Residual block, Activation x) {
    Activation shortcut =
        switch (block.shortcut()) {
          case Sequential projection -> sequence(projection, x, null);
          case SubsampleAndPad pad -> windows(pad, x, pad.channels());
          default -> x;
        };
    return sequence(block.main(), x, shortcut);
  }

  private Activation convolution(
      Conv2d conv, BatchNorm2d norm, Activation in, @Nullable Activation residual, boolean relu) {
    Activation out = result(conv, in, conv.outChannels());
    ops.add(new Op.Conv(new Convolution(conv, norm, in, out, residual, relu)));
    return out;
  }

  private Activation windows(Layer layer, Activation in, int channels) {
    Activation out = result(layer, in, channels);
    ops.add(new Op.Other(layer, List.of(in), out));
    return out;
  }

  private Activation result(Layer layer, Activation in, int channels) {
    return new Activation(
        channels, layer.outputExtent(in.height), layer.outputExtent(in.width), block);
  }

  public Plan plan(int images, PackedWeights weights, AlgorithmChoice choice) {
    // Which algorithm: that decides about borders.
    var forms = new LinkedHashMap<Op, Winograd>();
    for (Op op : ops) {
      if (op instanceof Op.Conv(Convolution conv)) {
        Winograd form = conv.isWinograd() ? choice.winograd(conv, images, parts) : null;
        if (form != null) {
          forms.put(op, form);
          WinogradConv.needBorder(conv.in(), form);
        } else {
          conv.in().needBorder(conv.layer().padding(), conv.layer().padding());
        }
      }
    }
    int[] atOnce = imagesAtOnce(images, forms);
    placeImages(images, atOnce);

    var packings = new LinkedHashMap<Op, Packing<?>>();
    for (Op op : ops) {
      switch (op) {
        case Op.Conv(Convolution conv) when forms.get(op) instanceof Winograd form ->
            packings.put(op, WinogradConv.packing(conv, form, kernels));
        case Op.Conv(Convolution conv) -> packings.put(op, DirectConv.packing(conv, kernels));
        case Op.Other(Linear linear, List<Activation> in, Activation out) ->
            packings.put(op, Head.packing(linear, in.getFirst(), out, kernels));
        default -> {}
      }
    }
    weights.pack(List.copyOf(packings.values()));

    // In parallel, since the kernels of each are written as they are asked for.
    List<Step> steps =
        IntStream.range(0, ops.size())
            .parallel()
            .mapToObj(i -> step(ops.get(i), forms.get(ops.get(i)), atOnce[i], weights))
            .toList();
    var rooms = new LinkedHashMap<Integer, Activation>();
    for (int i = 0; i < steps.size(); i++) {
      if (steps.get(i) instanceof WinogradConv step) {
        rooms.put(i, step.room());
      } else if (steps.get(i) instanceof AttentionStep step) {
        rooms.put(i, step.room());
      }
    }
    int size = place(atOnce, rooms);

    var segments = new ArrayList<Plan.Segment>();
    int from = 0;
    for (int i = 1; i <= steps.size(); i++) {
      if (i == steps.size() || atOnce[i] != atOnce[from]) {
        segments.add(new Plan.Segment(atOnce[from], List.copyOf(steps.subList(from, i))));
        from = i;
      }
    }
    var outputs = new ArrayList<int[]>();
    for (Op op : ops) {
      if (op instanceof Op.Output output) {
        Activation a = output.out;
        outputs.add(
            isVector(a) ? new int[] {a.channels} : new int[] {a.channels, a.height, a.width});
      }
    }
    return new Plan(List.copyOf(segments), List.copyOf(outputs), images, parts, size);
  }

  private boolean isVector(Activation a) {
    return ops.stream()
        .anyMatch(op ->
            op.out() == a
                && op instanceof Op.Other(Layer layer, var _, var _)
                && (layer instanceof Linear || layer instanceof GlobalAveragePool));
  }

  private Step step(Op op, @Nullable Winograd form, int atOnce, PackedWeights weights) {
    return switch (op) {
      case Op.Input(var _, Activation out) -> new InputStep(out);
      case Op.Output(String name, int index, Activation out) -> new OutputStep(name, out, index);
      case Op.Conv(Convolution conv) when form != null ->
          new WinogradConv(
              conv,
              form,
              weights.get(WinogradConv.packing(conv, form, kernels)),
              atOnce,
              parts,
              kernels);
      case Op.Conv(Convolution conv) ->
          new DirectConv(conv, weights.get(DirectConv.packing(conv, kernels)), kernels);
      case Op.Other(Layer layer, List<Activation> inputs, Activation out) -> {
        Activation in = inputs.getFirst();
        yield switch (layer) {
          case MaxPool2d pool -> new PoolSteps.MaxPool(pool, in, out, kernels);
          case GlobalAveragePool pool -> new PoolSteps.AveragePool(pool.name(), in, out, kernels);
          case SqueezeExcite _, EfficientAttention _ ->
              new AttentionStep(
                  layer.name(),
                  Gates.of(layer, weights.state()),
                  in,
                  inputs.getLast(),
                  out,
                  atOnce,
                  parts,
                  kernels);
          case AvgPool2d pool -> new PoolSteps.AverageWindows(pool, in, out, kernels);
          case BlurPool2d pool -> new PoolSteps.Blur(pool, in, out);
          case SubsampleAndPad pad -> new PoolSteps.Subsample(pad.name(), pad.stride(), in, out);
          case Linear linear ->
              new Head(
                  linear, in, out, weights.get(Head.packing(linear, in, out, kernels)), kernels);
          default -> throw new IllegalStateException(layer.name());
        };
      }
    };
  }

  /**
   * How many images each operation takes at a time: few where images are large, so that what one
   * step writes is still in the cache when the next one reads it; many where weights are.
   */
  private int[] imagesAtOnce(int images, Map<Op, Winograd> forms) {
    int[] atOnce = new int[ops.size()];
    int now = images;
    for (int i = ops.size() - 1, end = ops.size(); i >= 0; i--) {
      if (i == 0 || mayBegin.contains(i)) {
        now = imagesAtOnce(ops.subList(i, end), forms, now);
        Arrays.fill(atOnce, i, end, now);
        end = i;
      }
    }
    return atOnce;
  }

  private static int imagesAtOnce(List<Op> block, Map<Op, Winograd> forms, int most) {
    long activationBytes = 0;
    long largest = 0;
    for (Op op : block) {
      long bytes = bytes(op.out());
      for (Activation in : op.inputs()) {
        bytes += bytes(in);
      }
      activationBytes += bytes;
      largest = Math.max(largest, bytes);
    }
    if (block.stream().noneMatch(op -> op instanceof Op.Conv)) {
      return most;
    }
    int best = most;
    double least = Double.MAX_VALUE;
    for (int n = most; n >= 1; n /= 2) {
      // Bytes from beyond the cache, for one image.
      double cached = (double) Cache.BYTES / (n * largest);
      double bytes = activationBytes * Math.max(0, 1 - cached);
      for (Op op : block) {
        if (op instanceof Op.Conv(Convolution conv)) {
          bytes += weightBytes(conv, forms.get(op), n);
        }
      }
      if (bytes < 0.9 * least) {
        least = bytes;
        best = n;
      }
    }
    return best;
  }

  /** The bytes of weights that one of {@code n} images costs. */
  private static double weightBytes(Convolution conv, @Nullable Winograd form, int n) {
    Conv2d layer = conv.layer();
    double weights =
        (double) layer.outChannels() * layer.inChannels() / layer.groups() * Float.BYTES;
    if (form != null) {
      return weights * form.products() / n;
    }
    // Direct convolution shares weights among the images that fit into the cache together.
    double together = Math.clamp(0.75 * Cache.BYTES / bytes(conv.in()), 1, n);
    return weights * layer.kernel() * layer.kernel() / together;
  }

  private static long bytes(Activation activation) {
    return (long) activation.imageSize() * Float.BYTES;
  }

  /** Activations that cross from one segment into another hold all images. */
  private void placeImages(int images, int[] atOnce) {
    for (int i = 0; i < ops.size(); i++) {
      ops.get(i).out().holdImages(atOnce[i]);
    }
    for (int i = 0; i < ops.size(); i++) {
      for (Activation in : ops.get(i).inputs()) {
        if (atOnce[i] != atOnce[producer(in)]) {
          in.holdImages(images);
        }
      }
    }
  }

  private int producer(Activation a) {
    for (int i = 0; i < ops.size(); i++) {
      if (ops.get(i).out() == a) {
        return i;
      }
    }
    throw new IllegalStateException(a.shape());
  }

  /** A stretch of the arena, who lives there, and from which operation to which. */
  private static final class Slot {
    final List<Activation> members = new ArrayList<>();
    final int from;
    int to;

    Slot(Activation first, int from, int to) {
      this.members.add(first);
      this.from = from;
      this.to = to;
    }

    int size() {
      return members.getFirst().size();
    }

    int offset() {
      return members.getFirst().offset();
    }

    boolean overlaps(Slot other) {
      return from <= other.to && other.from <= to;
    }
  }

  /** A residual that nobody reads after this operation, and that lies as its result will. */
  private @Nullable Activation residualThatEnds(Op op, int i) {
    return op instanceof Op.Conv(Convolution conv)
            && conv.residual() instanceof Activation residual
            && residual.isLike(conv.out())
            && lastUse(residual, producer(residual)) == i
        ? residual
        : null;
  }

  private int lastUse(Activation a, int from) {
    int last = from;
    for (int j = from; j < ops.size(); j++) {
      if (ops.get(j).inputs().contains(a)) {
        last = j;
      }
    }
    return last;
  }

  /** Gives every activation a place that nothing else uses while it lives. */
  private int place(int[] atOnce, Map<Integer, Activation> rooms) {
    var slots = new ArrayList<Slot>();
    var slotOf = new HashMap<Activation, Slot>();
    for (int i = 0; i < ops.size(); i++) {
      Op op = ops.get(i);
      Activation out = op.out();
      if (op instanceof Op.Output) {
        continue; // what another operation made
      }
      int last = lastUse(out, i);
      boolean crosses = atOnce[last] != atOnce[i];
      int from = crosses ? segmentStart(atOnce, i) : i;
      int to = crosses ? segmentEnd(atOnce, last) : last;
      if (residualThatEnds(op, i) instanceof Activation residual
          && slotOf.get(residual) instanceof Slot shared) {
        // A result replaces the residual that it was added to, pixel by pixel.
        shared.members.add(out);
        shared.to = Math.max(shared.to, to);
        slotOf.put(out, shared);
      } else {
        var slot = new Slot(out, from, to);
        slots.add(slot);
        slotOf.put(out, slot);
      }
    }
    rooms.forEach((i, room) -> slots.add(new Slot(room, i, i)));
    slots.sort(Comparator.comparingInt(Slot::size).reversed());
    var placed = new ArrayList<Slot>();
    long end = Activation.ALIGNMENT;
    for (Slot slot : slots) {
      long at = Activation.ALIGNMENT;
      var others =
          placed.stream()
              .filter(slot::overlaps)
              .sorted(Comparator.comparingInt(Slot::offset))
              .toList();
      for (Slot other : others) {
        if (at + slot.size() <= other.offset()) {
          break;
        }
        at = Math.max(at, aligned(other.offset() + (long) other.size()));
      }
      if (at + slot.size() > Integer.MAX_VALUE - 16) {
        throw new IllegalArgumentException("the images are too large: one arena cannot hold them");
      }
      for (Activation member : slot.members) {
        member.placeAt((int) at);
      }
      placed.add(slot);
      end = Math.max(end, at + slot.size());
    }
    return (int) aligned(end);
  }

  private static long aligned(long offset) {
    return Math.ceilDiv(offset - Activation.ALIGNMENT, 16) * 16 + Activation.ALIGNMENT;
  }

  private static int segmentStart(int[] atOnce, int i) {
    int start = i;
    while (start > 0 && atOnce[start - 1] == atOnce[i]) {
      start--;
    }
    return start;
  }

  private static int segmentEnd(int[] atOnce, int i) {
    int end = i;
    while (end + 1 < atOnce.length && atOnce[end + 1] == atOnce[i]) {
      end++;
    }
    return end;
  }
}
