package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.Head;
import io.github.resnet4j.engine.conv.Packing;
import io.github.resnet4j.engine.conv.WinogradBands;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.graph.AlgorithmChoice;
import io.github.resnet4j.engine.graph.Arithmetic;
import io.github.resnet4j.engine.graph.Border;
import io.github.resnet4j.engine.graph.ChunkSizes;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Encoding;
import io.github.resnet4j.engine.graph.Encodings;
import io.github.resnet4j.engine.graph.Graph;
import io.github.resnet4j.engine.graph.Layout;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.AttentionStep;
import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.engine.step.NormStep;
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
 * A graph with every decision that precedes memory planning: encodings, algorithms, borders and
 * chunk sizes, in this order, since each depends on those before.
 *
 * @param layouts the layouts of all values
 * @param bands the bands of convolutions by Winograd's algorithm, by their results
 * @param chunkSizes the chunk size of each operation: the number of images that its step processes
 *     together
 * @param parts the number of threads among which each step is split
 */
@SuppressWarnings("ArrayRecordComponent")
record GraphLayout(
    Graph graph,
    Map<Value, Layout> layouts,
    Map<Value, WinogradBands> bands,
    int[] chunkSizes,
    int parts) {

  static GraphLayout of(
      Graph graph,
      Workload workload,
      Arithmetic arithmetic,
      AlgorithmChoice choice,
      Kernels kernels) {
    var layouts = formats(graph, arithmetic);
    interleaveNarrowGroups(graph, layouts);
    var forms = new HashMap<Value, Winograd>();
    for (Op op : graph.ops()) {
      if (op instanceof Op.Conv conv) {
        Convolution graphLayout = convolution(conv, layouts);
        if (graphLayout.isWinograd(kernels)
            && choice.winograd(graphLayout, workload.images(), workload.parts())
                instanceof Winograd form
            && graphLayout.allows(form)) {
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
    int[] chunkSizes = ChunkSizes.choose(graph, layouts, forms, workload.images());
    setImageCounts(graph, layouts, chunkSizes, workload.images());
    var bands = new HashMap<Value, WinogradBands>();
    for (int i = 0; i < chunkSizes.length; i++) {
      if (graph.ops().get(i) instanceof Op.Conv conv
          && forms.get(conv.out()) instanceof Winograd form) {
        Convolution graphLayout = convolution(conv, layouts);
        bands.put(
            conv.out(),
            WinogradBands.of(graphLayout, form, chunkSizes[i], workload.parts(), kernels));
      }
    }
    int perPart = bands.values().stream().mapToInt(WinogradBands::perPart).max().orElse(0);
    if (workload.parts() > 1) {
      bands.replaceAll((_, each) -> each.shared() ? each : each.withPartsApart(perPart));
    }
    return new GraphLayout(graph, layouts, bands, chunkSizes, workload.parts());
  }

  /** The packings of the weights of all operations. */
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

  /** The number of words of the workspace of an operation's step. */
  int workspace(int i) {
    return switch (graph.ops().get(i)) {
      case Op.Conv conv when bands.get(conv.out()) instanceof WinogradBands cut ->
          cut.workspace(convolution(conv));
      case Op.Attention attention ->
          AttentionStep.workspace(layout(attention.in()), chunkSizes[i]).size();
      case Op.GroupNorm norm -> GroupMoments.workspace(layout(norm.in()), chunkSizes[i]).size();
      case Op.Norm norm -> NormStep.workspace(layout(norm.in())).size();
      default -> 0;
    };
  }

  /**
   * Whether an operation's workspace consists of one for each of several parts. All of these have
   * the same size.
   */
  boolean hasWorkspaceOfParts(int i) {
    return parts > 1
        && bands.get(graph.ops().get(i).out()) instanceof WinogradBands cut
        && !cut.shared();
  }

  /**
   * The first operation of the section that contains this one: consecutive operations with the same
   * chunk size.
   */
  int sectionStart(int i) {
    int start = i;
    while (start > 0 && chunkSizes[start - 1] == chunkSizes[i]) {
      start--;
    }
    return start;
  }

  /** The last operation of that section. */
  int sectionEnd(int i) {
    int end = i;
    while (end + 1 < chunkSizes.length && chunkSizes[end + 1] == chunkSizes[i]) {
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

  private static Map<Value, Layout> formats(Graph graph, Arithmetic arithmetic) {
    int block = graph.blockChannels();
    Map<Value, Encoding> encodings = Encodings.choose(graph, arithmetic);
    var layouts = new HashMap<Value, Layout>();
    for (Op op : graph.ops()) {
      Value value = op.out();
      // An image's few channels are contiguous, so that a row of the window is one segment.
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

  /**
   * Interleaves the channels of convolutions with narrow groups if only dense convolutions surround
   * them.
   */
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

  /**
   * Whether only this convolution, dense ones and outputs compute and read the value, and none adds
   * it.
   */
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

  /** Values that cross from one section to another hold all images. */
  private static void setImageCounts(
      Graph graph, Map<Value, Layout> layouts, int[] chunkSizes, int images) {
    List<Op> ops = graph.ops();
    var ofProducer = new HashMap<Value, Integer>();
    for (int i = 0; i < chunkSizes.length; i++) {
      int now = chunkSizes[i];
      ofProducer.putIfAbsent(ops.get(i).out(), now);
      layouts.computeIfPresent(ops.get(i).out(), (_, layout) -> layout.withImages(now));
    }
    for (int i = 0; i < chunkSizes.length; i++) {
      for (Value in : ops.get(i).inputs()) {
        if (!Objects.equals(ofProducer.get(in), chunkSizes[i])) {
          layouts.computeIfPresent(in, (_, layout) -> layout.withImages(images));
        }
      }
    }
  }

  /** A convolution with the layouts of its operands. */
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
