package io.github.resnet4j.figures;

import io.github.resnet4j.Norm;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.ResNetSpec.StridePlacement;
import io.github.resnet4j.figures.Figure.Anchor;
import io.github.resnet4j.figures.Figure.Arrow;
import io.github.resnet4j.figures.Figure.Box;
import io.github.resnet4j.figures.Figure.Element;
import io.github.resnet4j.figures.Figure.Point;
import io.github.resnet4j.figures.Figure.Role;
import io.github.resnet4j.figures.Figure.Text;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.Block;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Drawings of networks, generated from their layers: shapes, strides and groups. Blocks are drawn
 * as in figure 5 of Deep Residual Learning (arXiv 1512.03385), networks as in its figure 3.
 *
 * <pre>{@code
 * NetworkFigure.network("ResNet-50", Architecture.named("resnet50")).write(Path.of("resnet50.svg"));
 * }</pre>
 */
public final class NetworkFigure {
  /** The width of a page in pixels. */
  private static final double PAGE = 980;

  private static final double MARGIN = 20;
  private static final double BOX = 180;
  private static final double BOX_HEIGHT = 44;
  private static final double IMAGE = 128;
  private static final double GAP = 34;

  private NetworkFigure() {}

  // --- the whole network ------------------------------------------------------------------------

  private static final double LABELS = 150;
  private static final double CELL = 88;
  private static final double PITCH = CELL + 22;
  private static final double CELL_HEIGHT = 40;
  private static final double LINE = CELL_HEIGHT + 46;

  /**
   * Draws all blocks of a network, one row per stage. Shortcuts are arcs; dashed ones change the
   * shape. Shapes are those for {@link Shape#usualInput default inputs}.
   */
  public static Figure network(String title, ResNetSpec spec) {
    return network(title, spec, Shape.usualInput(spec));
  }

  /**
   * The same for images of another shape.
   *
   * @param image the shape of the input
   */
  public static Figure network(String title, ResNetSpec spec, Shape image) {
    var shaped = ShapedLayer.of(spec.layers(), image);
    var drawing = new Rows();
    drawing.begin("input", image.toString(), List.of());
    drawing.box("input", "", Role.IDENTITY, List.of("image", image.toString()), Optional.empty());
    for (ShapedLayer child : shaped.children()) {
      switch (child.layer()) {
        case Conv2d conv ->
            drawing.box(
                conv.name(),
                "",
                conv.stride() > 1 ? Role.STRIDED : Role.LAYER,
                List.of(
                    "%d×%d, %d".formatted(conv.kernel(), conv.kernel(), conv.outChannels()),
                    conv.stride() > 1
                        ? "stride " + conv.stride()
                        : spec.norm() instanceof Norm.GroupNorm ? "GN, ReLU" : "BN, ReLU"),
                Optional.empty());
        case MaxPool2d pool ->
            drawing.box(
                pool.name(),
                "",
                Role.STRIDED,
                List.of(
                    "max pool",
                    "%d×%d, stride %d".formatted(pool.kernel(), pool.kernel(), pool.stride())),
                Optional.empty());
        case GlobalAveragePool pool -> {
          drawing.begin("head", spec.numClasses() + " classes", List.of());
          drawing.box(pool.name(), "", Role.LAYER, List.of("average", "pool"), Optional.empty());
        }
        case Linear linear ->
            drawing.box(
                linear.name(),
                "",
                Role.LAYER,
                List.of("linear", "%d → %d".formatted(linear.in(), linear.out())),
                Optional.empty());
        case Sequential stage -> {
          drawing.begin(
              stage.name(),
              child.output().toString(),
              List.of(
                  "%d × %s"
                      .formatted(
                          stage.layers().size(),
                          convolutions(child.children().getFirst()).size() == 2
                              ? "basic"
                              : "bottleneck")));
          child.children().forEach(drawing::block);
        }
        default -> {} // normalization and ReLU are drawn with the convolution
      }
    }
    drawing.elements.add(new Text(MARGIN, 30, title, 17, true, Anchor.START));
    drawing.elements.add(
        new Text(
            MARGIN,
            50,
            "%.2f M parameters, %.2f G multiply-adds for an input of %s"
                .formatted(shaped.parameters() / 1e6, shaped.multiplyAdds() / 1e9, image),
            12,
            false,
            Anchor.START));
    double at = PAGE - 470;
    at = legend(drawing.elements, at, 32, Role.STRIDED, "stride", false);
    at = legend(drawing.elements, at, 32, Role.PROJECTION, "Conv Block", true);
    legend(drawing.elements, at, 32, Role.IDENTITY, "Identity Block", false);
    return new Figure(title, PAGE, drawing.y + CELL_HEIGHT + MARGIN, drawing.elements);
  }

  private static double legend(
      List<Element> elements, double x, double y, Role role, String text, boolean dashed) {
    elements.add(new Box("legend " + text, "", role, x, y, 26, 16, List.of()));
    elements.add(
        new Text(
            x + 34, y + 13, text + (dashed ? " (dashed shortcut)" : ""), 12, false, Anchor.START));
    return x + 34 + 6.6 * (text.length() + (dashed ? 18 : 0)) + 18;
  }

  /** Boxes in rows, each connected to the previous one. */
  private static final class Rows {
    final List<Element> elements = new ArrayList<>();
    double x = LABELS;
    double y = 76 - LINE;
    private Optional<Box> last = Optional.empty();

    void begin(String name, String shape, List<String> more) {
      x = LABELS;
      y += LINE;
      elements.add(new Text(MARGIN, y + 13, name, 14, true, Anchor.START));
      elements.add(new Text(MARGIN, y + 29, shape, 12, false, Anchor.START));
      for (int i = 0; i < more.size(); i++) {
        elements.add(new Text(MARGIN, y + 44 + 15 * i, more.get(i), 12, false, Anchor.START));
      }
    }

    void block(ShapedLayer block) {
      List<ShapedLayer> layers = block.children();
      String inner =
          String.join(
              "·", convolutions(block).stream().map(c -> String.valueOf(c.outChannels())).toList());
      // "stages.0.blocks.0" is too long for a cell.
      String label = block.layer().name().replace("stages.", "").replace(".blocks", "");
      List<String> lines = List.of(label, inner);
      if (block.layer() instanceof Block residual) {
        boolean identity = residual.isIdentityBlock();
        box(
            block.layer().name(),
            block.layer().name(),
            identity ? Role.IDENTITY : Role.PROJECTION,
            lines,
            Optional.of(!identity));
      } else if (!layers.isEmpty()) {
        box(block.layer().name(), block.layer().name(), Role.LAYER, lines, Optional.empty());
      }
    }

    /**
     * @param shortcut whether there is one, and whether it is dashed
     */
    void box(String id, String block, Role role, List<String> lines, Optional<Boolean> shortcut) {
      if (x + CELL > PAGE - MARGIN) {
        x = LABELS;
        y += LINE;
      }
      var box = new Box(id, block, role, x, y, CELL, CELL_HEIGHT, lines);
      double middle = y + CELL_HEIGHT / 2;
      last.ifPresent(before -> {
        var points = new ArrayList<Point>();
        double right = before.x() + before.width();
        double level = before.y() + CELL_HEIGHT / 2;
        points.add(new Point(right, level));
        if (before.y() != y) { // to the next row
          double between = y - 24;
          points.add(new Point(right + 14, level));
          points.add(new Point(right + 14, between));
          points.add(new Point(x - 16, between));
          points.add(new Point(x - 16, middle));
        }
        points.add(new Point(x, middle));
        elements.add(new Arrow(before.id(), id, points, false));
        shortcut.ifPresent(dashed ->
            elements.add(
                new Arrow(
                    before.id(),
                    id,
                    List.of(
                        new Point(x - 10, middle),
                        new Point(x - 10, y - 10),
                        new Point(x + CELL + 8, y - 10),
                        new Point(x + CELL + 8, middle)),
                    dashed)));
      });
      elements.add(box);
      last = Optional.of(box);
      x += PITCH;
    }
  }

  private static List<Conv2d> convolutions(ShapedLayer block) {
    return switch (block.layer()) {
      case Block residual -> residual.convolutions();
      default ->
          block.children().stream()
              .map(ShapedLayer::layer)
              .filter(Conv2d.class::isInstance)
              .map(Conv2d.class::cast)
              .toList();
    };
  }

  // --- blocks -----------------------------------------------------------------------------------

  /**
   * Draws a block: main branch and shortcut side by side, arrows labelled with shapes.
   *
   * @param name the name of the block, such as {@code layer2.0}
   * @throws IllegalArgumentException if there is no such block; the message lists the blocks
   */
  public static Figure block(ResNetSpec spec, Shape image, String name) {
    return draw(find(spec, image, name), "");
  }

  /**
   * Draws all blocks of a stage.
   *
   * @param number the number of the stage, from 1
   * @throws IllegalArgumentException if there is no such stage
   */
  public static Figure stage(String title, ResNetSpec spec, Shape image, int number) {
    if (number < 1 || number > spec.blocks().size()) {
      throw new IllegalArgumentException(
          "stage %d: the network has stages 1 to %d".formatted(number, spec.blocks().size()));
    }
    String prefix = spec.blockName(number - 1, 0).replaceFirst("0$", "");
    List<Figure> figures =
        blocks(spec, image).stream()
            .filter(block -> block.layer().name().startsWith(prefix))
            .map(block -> draw(block, ""))
            .toList();
    return inRows(title + ", stage " + number, figures);
  }

  /**
   * Draws the network's first Conv Block with a stride and the Identity Block after it: where the
   * stride or the number of channels changes, it changes in the main branch and in the shortcut.
   */
  public static Figure shortcuts(String title, ResNetSpec spec, Shape image) {
    List<ShapedLayer> blocks = blocks(spec, image);
    var chosen = new ArrayList<Figure>();
    blocks.stream()
        .filter(block -> block.layer() instanceof Block residual && !residual.isIdentityBlock())
        .max((a, b) ->
            Boolean.compare(strides(a), strides(b)) != 0
                ? Boolean.compare(strides(a), strides(b))
                : Integer.compare(blocks.indexOf(b), blocks.indexOf(a)))
        .ifPresent(block -> {
          chosen.add(draw(block, ""));
          blocks.stream()
              .skip(blocks.indexOf(block))
              .filter(each -> each.layer() instanceof Block residual && residual.isIdentityBlock())
              .findFirst()
              .ifPresent(each -> chosen.add(draw(each, "")));
        });
    if (chosen.isEmpty()) {
      throw new IllegalArgumentException("the network has no Conv Block");
    }
    return inRows(title + ", Conv Block and Identity Block", chosen);
  }

  /**
   * Draws a block with the stride where the paper has it (v1), and where torchvision has it (v1.5).
   */
  public static Figure strides(String title, ResNetSpec spec, Shape image) {
    if (spec.block() != ResNetSpec.Block.BOTTLENECK || spec.blocks().size() < 2) {
      throw new IllegalArgumentException(
          title
              + " has basic blocks, whose stride is always on the first 3×3; v1 and v1.5 differ"
              + " only in bottleneck blocks, such as those of resnet50");
    }
    return sideBySide(
        title + ", v1 and v1.5",
        draw(
            find(
                spec.toBuilder().stridePlacement(StridePlacement.FIRST_1X1).build(),
                image,
                spec.blockName(1, 0)),
            "v1: stride on the first 1×1"),
        draw(
            find(
                spec.toBuilder().stridePlacement(StridePlacement.ON_3X3).build(),
                image,
                spec.blockName(1, 0)),
            "v1.5: stride on the 3×3"));
  }

  /** Draws a block without and with its shortcut. */
  public static Figure plain(String title, ResNetSpec spec, Shape image) {
    ResNetSpec residual =
        spec.shortcut() == ResNetSpec.Shortcut.NONE
            ? spec.toBuilder().shortcut(ResNetSpec.Shortcut.PROJECTION).build()
            : spec;
    ResNetSpec plain = spec.toBuilder().shortcut(ResNetSpec.Shortcut.NONE).build();
    String name = spec.blockName(spec.blocks().size() > 1 ? 1 : 0, 0);
    return sideBySide(
        title + ", plain and residual",
        draw(find(plain, image, name), "plain"),
        draw(find(residual, image, name), "residual"));
  }

  /**
   * Draws an Identity Block with the activation after the addition and before the convolutions, as
   * in figure 1 of Identity Mappings in Deep Residual Networks (arXiv 1603.05027).
   */
  public static Figure activations(String title, ResNetSpec spec, Shape image) {
    var figures = new ArrayList<Figure>();
    for (ResNetSpec.Activation order : ResNetSpec.Activation.values()) {
      ResNetSpec other = spec.toBuilder().activation(order).build();
      String heading = order == ResNetSpec.Activation.POST ? "original" : "pre-activation";
      ShapedLayer block =
          blocks(other, image).stream()
              .filter(each -> each.layer() instanceof Block own && own.isIdentityBlock())
              .findFirst()
              .orElseThrow(() -> new IllegalArgumentException(title + " has no Identity Block"));
      figures.add(draw(block, heading));
    }
    return sideBySide(title + ", orders of activation", figures.get(0), figures.get(1));
  }

  private static Figure sideBySide(String title, Figure left, Figure right) {
    return Figure.inRows(title, List.of(left, right), List.of("left ", "right "), PAGE);
  }

  private static Figure inRows(String title, List<Figure> figures) {
    return Figure.inRows(title, figures, figures.stream().map(_ -> "").toList(), PAGE);
  }

  private static boolean strides(ShapedLayer block) {
    return block.input().height() != block.output().height();
  }

  private static List<ShapedLayer> blocks(ResNetSpec spec, Shape image) {
    return ShapedLayer.of(spec.layers(), image).children().stream()
        .filter(stage -> stage.layer() instanceof Sequential)
        .flatMap(stage -> stage.children().stream())
        .toList();
  }

  private static ShapedLayer find(ResNetSpec spec, Shape image, String name) {
    List<ShapedLayer> blocks = blocks(spec, image);
    return blocks.stream()
        .filter(block -> block.layer().name().equals(name))
        .findFirst()
        .orElseThrow(() ->
            new IllegalArgumentException(
                "there is no block '%s'; the blocks are %s to %s"
                    .formatted(
                        name, blocks.getFirst().layer().name(), blocks.getLast().layer().name())));
  }

  /** A box of a branch: a layer with the normalization and activation after it. */
  private record BranchBox(String id, Role role, List<String> lines, Shape output) {}

  /**
   * Converts layers to boxes; normalization and ReLU are added to the preceding box.
   *
   * @param apart whether a normalization has a box of its own
   */
  private static List<BranchBox> boxes(List<ShapedLayer> layers, Role role, boolean apart) {
    var boxes = new ArrayList<BranchBox>();
    for (ShapedLayer layer : layers) {
      switch (layer.layer()) {
        case Conv2d conv ->
            boxes.add(
                new BranchBox(
                    conv.name(),
                    conv.stride() > 1 ? Role.STRIDED : role,
                    describe(conv),
                    layer.output()));
        case AvgPool2d pool ->
            boxes.add(
                new BranchBox(
                    pool.name(),
                    pool.stride() > 1 ? Role.STRIDED : role,
                    List.of(
                        "%d×%d average, stride %d"
                            .formatted(pool.kernel(), pool.kernel(), pool.stride())),
                    layer.output()));
        case BlurPool2d pool ->
            boxes.add(
                new BranchBox(
                    pool.name(),
                    pool.stride() > 1 ? Role.STRIDED : role,
                    List.of("3×3 blur, stride " + pool.stride()),
                    layer.output()));
        case SubsampleAndPad pad ->
            boxes.add(
                new BranchBox(
                    pad.name(),
                    pad.stride() > 1 ? Role.STRIDED : role,
                    List.of(
                        "every %d%s pixel".formatted(pad.stride(), pad.stride() == 2 ? "nd" : "th"),
                        "%d channels of zeros"
                            .formatted(pad.channels() - layer.input().channels())),
                    layer.output()));
        case SqueezeExcite attention ->
            boxes.add(
                new BranchBox(
                    attention.name(),
                    role,
                    List.of(
                        "Squeeze-and-Excitation",
                        "%d → %d → %d, sigmoid"
                            .formatted(
                                attention.channels(), attention.reduced(), attention.channels())),
                    layer.output()));
        case EfficientAttention attention ->
            boxes.add(
                new BranchBox(
                    attention.name(),
                    role,
                    List.of("ECA", "%d neighbours, sigmoid".formatted(attention.kernel())),
                    layer.output()));
        case BatchNorm2d _ -> norm(boxes, layer, "batch norm", role, apart);
        case GroupNorm _ -> norm(boxes, layer, "group norm", role, apart);
        case Relu _ -> append(boxes, "ReLU");
        default -> {}
      }
    }
    return boxes;
  }

  /** Adds a norm to the convolution before it, or before one as a box of its own. */
  private static void norm(
      List<BranchBox> boxes, ShapedLayer layer, String what, Role role, boolean apart) {
    if (apart) {
      boxes.add(new BranchBox(layer.layer().name(), role, List.of(what), layer.output()));
    } else {
      append(boxes, what);
    }
  }

  private static void append(List<BranchBox> boxes, String what) {
    BranchBox last = boxes.removeLast();
    List<String> lines =
        last.lines.size() == 1
            ? List.of(last.lines.getFirst(), what)
            : List.of(last.lines.getFirst(), last.lines.get(1) + ", " + what);
    boxes.add(new BranchBox(last.id, last.role, lines, last.output));
  }

  private static List<String> describe(Conv2d conv) {
    String first = "%d×%d conv, %d".formatted(conv.kernel(), conv.kernel(), conv.outChannels());
    if (conv.stride() > 1) {
      first += ", stride " + conv.stride();
    }
    String second = conv.groups() > 1 ? conv.groups() + " groups" : "";
    if (conv.dilation() > 1) {
      second += (second.isEmpty() ? "" : ", ") + "dilation " + conv.dilation();
    }
    return second.isEmpty() ? List.of(first) : List.of(first, second);
  }

  private static Figure draw(ShapedLayer block, String heading) {
    String name = block.layer().name();
    List<BranchBox> main;
    List<BranchBox> side = List.of();
    String kind;
    boolean residual = false;
    boolean identity = false;
    boolean pre = block.layer() instanceof PreActivation;
    if (block.layer() instanceof Block layer) {
      residual = true;
      identity = layer.isIdentityBlock();
      var layers = new ArrayList<ShapedLayer>();
      if (pre) {
        layers.addAll(block.children().get(1).children());
      }
      layers.addAll(block.children().get(pre ? 2 : 0).children());
      main = boxes(layers, Role.LAYER, pre);
      ShapedLayer shortcut = block.children().get(pre ? 0 : 1);
      side =
          boxes(
              shortcut.children().isEmpty() ? List.of(shortcut) : shortcut.children(),
              Role.PROJECTION,
              pre);
      kind = identity ? "Identity Block" : "Conv Block";
    } else {
      main = boxes(block.children(), Role.LAYER, false);
      kind = "without shortcut";
    }
    var elements = new ArrayList<Element>();
    double centre = MARGIN + BOX / 2;
    double shortcutX = identity ? centre + BOX / 2 + 90 : centre + BOX + 80;
    double width =
        residual
            ? (identity ? shortcutX + 70 : shortcutX + BOX / 2 + MARGIN)
            : centre + BOX / 2 + 100;
    elements.add(
        new Text(
            MARGIN, 26, heading.isEmpty() ? name + ", " + kind : heading, 15, true, Anchor.START));
    double y = 44;
    var from =
        new Box(
            name + " x",
            name,
            Role.IDENTITY,
            centre - IMAGE / 2,
            y,
            IMAGE,
            28,
            List.of("x: " + block.input()));
    elements.add(from);
    Box last = from;
    Box fork = from; // where the shortcut begins
    Shape passed = block.input();
    for (int i = 0; i < main.size(); i++) {
      BranchBox branchBox = main.get(i);
      double top = last.y() + last.height() + GAP;
      var box =
          new Box(
              branchBox.id,
              "",
              branchBox.role,
              centre - BOX / 2,
              top,
              BOX,
              BOX_HEIGHT,
              branchBox.lines);
      down(elements, last, box, centre, i == 0 ? "" : passed.toString());
      elements.add(box);
      fork = pre && !identity && i == 0 ? box : fork;
      last = box;
      passed = branchBox.output;
    }
    if (residual) {
      var sum =
          new Box(
              name + " +",
              "",
              Role.SUM,
              centre - 13,
              last.y() + last.height() + GAP,
              26,
              26,
              List.of("+"));
      down(elements, last, sum, centre, passed.toString());
      elements.add(sum);
      double start = fork.y() + fork.height() / 2;
      double end = sum.y() + sum.height() / 2;
      if (identity) {
        elements.add(
            new Arrow(
                fork.id(),
                sum.id(),
                List.of(
                    new Point(centre + fork.width() / 2, start),
                    new Point(shortcutX, start),
                    new Point(shortcutX, end),
                    new Point(sum.x() + 26, end)),
                false));
        elements.add(
            new Text(shortcutX + 8, (start + end) / 2, "identity", 12, false, Anchor.START));
      } else {
        double height = side.size() * BOX_HEIGHT + (side.size() - 1) * GAP;
        double top = (start + end - height) / 2;
        Box before = fork;
        Shape shape = block.input();
        for (BranchBox branchBox : side) {
          var box =
              new Box(
                  branchBox.id,
                  "",
                  branchBox.role,
                  shortcutX - BOX / 2,
                  top,
                  BOX,
                  BOX_HEIGHT,
                  branchBox.lines);
          if (before == fork) {
            elements.add(
                new Arrow(
                    fork.id(),
                    box.id(),
                    List.of(
                        new Point(centre + fork.width() / 2, start),
                        new Point(shortcutX, start),
                        new Point(shortcutX, top)),
                    true));
          } else {
            down(elements, before, box, shortcutX, shape.toString());
          }
          elements.add(box);
          before = box;
          shape = branchBox.output;
          top += BOX_HEIGHT + GAP;
        }
        double bottom = before.y() + BOX_HEIGHT;
        elements.add(
            new Arrow(
                before.id(),
                sum.id(),
                List.of(
                    new Point(shortcutX, bottom),
                    new Point(shortcutX, end),
                    new Point(sum.x() + 26, end)),
                true));
        elements.add(
            new Text(shortcutX - 8, bottom + 22, shape.toString(), 11.5, false, Anchor.END));
      }
      if (!pre) {
        var relu =
            new Box(
                name + " relu",
                "",
                Role.LAYER,
                centre - BOX / 2,
                sum.y() + 26 + 22,
                BOX,
                28,
                List.of("ReLU"));
        down(elements, sum, relu, centre, "");
        elements.add(relu);
        last = relu;
      } else {
        last = sum;
      }
    }
    var to =
        new Box(
            name + " y",
            "",
            Role.IDENTITY,
            centre - IMAGE / 2,
            last.y() + last.height() + 26,
            IMAGE,
            28,
            List.of("y: " + block.output()));
    down(elements, last, to, centre, "");
    elements.add(to);
    return new Figure(name + ", " + kind, width, to.y() + to.height() + MARGIN, elements);
  }

  private static void down(List<Element> elements, Box from, Box to, double x, String label) {
    double start = from.y() + from.height();
    elements.add(
        new Arrow(from.id(), to.id(), List.of(new Point(x, start), new Point(x, to.y())), false));
    if (!label.isEmpty()) {
      elements.add(new Text(x + 9, (start + to.y()) / 2 + 3, label, 11.5, false, Anchor.START));
    }
  }
}
