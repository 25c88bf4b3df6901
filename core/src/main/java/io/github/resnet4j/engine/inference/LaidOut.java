package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.Head;
import io.github.resnet4j.engine.conv.Packing;
import io.github.resnet4j.engine.conv.WinogradBands;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Encoding;
import io.github.resnet4j.engine.graph.Formats;
import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.ImagesAtOnce;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.graph.Numbers;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.AttentionStep;
import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.kernel.Kernels;
import io.github.resnet4j.kernel.Winograd;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A graph with all that is decided before anything has a place: formats, algorithms, borders,
 * images at once, in this order, since each depends on those before.
 *
 * @param layouts of all values
 * @param bands of the convolutions by Winograd's algorithm, by their results
 * @param imagesAtOnce of each operation
 * @param parts among how many threads each step is split
 */
@SuppressWarnings("ArrayRecordComponent")
record LaidOut(
    Graph graph,
    Map<Value, Layout> layouts,
    Map<Value, WinogradBands> bands,
    int[] imagesAtOnce,
    int parts) {

  static LaidOut of(
      Graph graph, Workload load, Numbers numbers, AlgorithmChoice choice, Kernels kernels) {
    var layouts = formats(graph, numbers);
    interleaveNarrowGroups(graph, layouts);
    var forms = new HashMap<Value, Winograd>();
    for (Op op : graph.ops()) {
      if (op instanceof Op.Conv conv) {
        Convolution laid = convolution(conv, layouts);
        if (laid.isWinograd()
            && choice.winograd(laid, load.images(), load.parts()) instanceof Winograd form) {
          forms.put(op.out(), form);
        }
      }
    }
    for (Op op : graph.ops()) {
      for (Value in : op.inputs()) {
        Layout layout = layout(layouts, in);
        layouts.put(in, layout.withBorder(layout.border().or(border(op, in, forms.get(op.out())))));
      }
    }
    int[] atOnce = ImagesAtOnce.choose(graph, layouts, forms, load.images());
    holdImages(graph, layouts, atOnce, load.images());
    var bands = new HashMap<Value, WinogradBands>();
    for (int i = 0; i < atOnce.length; i++) {
      if (graph.ops().get(i) instanceof Op.Conv conv
          && forms.get(conv.out()) instanceof Winograd form) {
        Convolution laid = convolution(conv, layouts);
        bands.put(conv.out(), WinogradBands.of(laid, form, atOnce[i], load.parts(), kernels));
      }
    }
    return new LaidOut(graph, layouts, bands, atOnce, load.parts());
  }

  /** How the weights of all operations want to be packed. */
  List<Packing<?>> packings(Kernels kernels) {
    var packings = new ArrayList<Packing<?>>();
    for (Op op : graph.ops()) {
      if (op instanceof Op.Conv conv) {
        WinogradBands cut = bands.get(conv.out());
        packings.add(
            cut == null
                ? DirectConv.packing(convolution(conv), kernels)
                : WinogradConv.packing(convolution(conv), cut.form(), kernels));
      } else if (op instanceof Op.Head head) {
        packings.add(Head.packing(head.layer(), layout(head.in()), layout(head.out()), kernels));
      }
    }
    return packings;
  }

  /** Words that an operation's step needs for itself. */
  int room(int i) {
    return switch (graph.ops().get(i)) {
      case Op.Conv conv when bands.get(conv.out()) instanceof WinogradBands cut ->
          cut.room(convolution(conv));
      case Op.Attention attention ->
          AttentionStep.numbers(layout(attention.in()), imagesAtOnce[i]).size();
      case Op.GroupNorm norm -> GroupMoments.numbers(layout(norm.in()), imagesAtOnce[i]).size();
      default -> 0;
    };
  }

  /** The first operation that takes as many images at once as this one and those between. */
  int segmentStart(int i) {
    int start = i;
    while (start > 0 && imagesAtOnce[start - 1] == imagesAtOnce[i]) {
      start--;
    }
    return start;
  }

  /** The last one. */
  int segmentEnd(int i) {
    int end = i;
    while (end + 1 < imagesAtOnce.length && imagesAtOnce[end + 1] == imagesAtOnce[i]) {
      end++;
    }
    return end;
  }

  Layout layout(Value value) {
    return layout(layouts, value);
  }

  private static Layout layout(Map<Value, Layout> layouts, Value value) {
    return Objects.requireNonNull(layouts.get(value));
  }

  private static Map<Value, Layout> formats(Graph graph, Numbers numbers) {
    int block = graph.blockChannels();
    Map<Value, Encoding> encodings = Formats.choose(graph, numbers);
    var layouts = new HashMap<Value, Layout>();
    for (Op op : graph.ops()) {
      Value value = op.out();
      // An image's few channels stay together, so that a row of a window is one run.
      boolean isImage = op instanceof Op.Input && value.channels() < 16;
      layouts.putIfAbsent(
          value,
          Layout.of(
                  value.channels(),
                  value.height(),
                  value.width(),
                  isImage ? value.channels() : block)
              .withEncoding(Objects.requireNonNull(encodings.get(value))));
    }
    return layouts;
  }

  /** Where a convolution of narrow groups stands between dense ones only. */
  private static void interleaveNarrowGroups(Graph graph, Map<Value, Layout> layouts) {
    for (Op op : graph.ops()) {
      if (op instanceof Op.Conv conv
          && convolution(conv, layouts).hasNarrowGroups()
          && isBetweenConvolutions(graph, conv.in(), conv)
          && isBetweenConvolutions(graph, conv.out(), conv)) {
        int width = conv.layer().inChannels() / conv.layer().groups();
        layouts.computeIfPresent(conv.in(), (_, layout) -> layout.withGroups(width));
        layouts.computeIfPresent(conv.out(), (_, layout) -> layout.withGroups(width));
      }
    }
  }

  /** Whether only this convolution, dense ones and outputs make and read it, and none adds it. */
  private static boolean isBetweenConvolutions(Graph graph, Value value, Op.Conv self) {
    return Stream.concat(Stream.of(graph.producer(value)), graph.readers(value).stream())
        .allMatch(op ->
            op instanceof Op.Output
                || (op instanceof Op.Conv conv
                    && (conv == self || conv.layer().groups() == 1)
                    && !value.equals(conv.residual())
                    && (conv.residual() == null || !conv.out().equals(value))));
  }

  /** The border that an operation reads around an input. */
  private static Border border(Op op, Value in, @Nullable Winograd form) {
    return switch (op) {
      case Op.Conv conv when !in.equals(conv.in()) -> Border.NONE; // the residual
      case Op.Conv conv ->
          form == null
              ? Border.of(conv.layer().padding())
              : Border.of(form, in.height(), in.width());
      case Op.MaxPool pool -> Border.of(pool.layer().padding());
      default -> Border.NONE;
    };
  }

  /** What crosses from operations that take so many images to others holds all. */
  private static void holdImages(
      Graph graph, Map<Value, Layout> layouts, int[] atOnce, int images) {
    List<Op> ops = graph.ops();
    var ofProducer = new HashMap<Value, Integer>();
    for (int i = 0; i < atOnce.length; i++) {
      int now = atOnce[i];
      ofProducer.putIfAbsent(ops.get(i).out(), now);
      layouts.computeIfPresent(ops.get(i).out(), (_, layout) -> layout.withImages(now));
    }
    for (int i = 0; i < atOnce.length; i++) {
      for (Value in : ops.get(i).inputs()) {
        if (!Objects.equals(ofProducer.get(in), atOnce[i])) {
          layouts.computeIfPresent(in, (_, layout) -> layout.withImages(images));
        }
      }
    }
  }

  /** A convolution and how its operands lie. */
  Convolution convolution(Op.Conv conv) {
    return convolution(conv, layouts);
  }

  private static Convolution convolution(Op.Conv conv, Map<Value, Layout> layouts) {
    return new Convolution(
        conv.layer(),
        conv.norm(),
        layout(layouts, conv.in()),
        layout(layouts, conv.out()),
        conv.residual() == null ? null : layout(layouts, conv.residual()),
        conv.relu());
  }
}
