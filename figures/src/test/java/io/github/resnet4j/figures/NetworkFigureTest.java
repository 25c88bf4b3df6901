package io.github.resnet4j.figures;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.ResNetSpec;
import io.github.resnet4j.Stem;
import io.github.resnet4j.figures.Figure.Box;
import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.nn.Layer;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.w3c.dom.Element;

/** The content of the drawings of every network in the catalogue. */
class NetworkFigureTest {
  static Stream<String> names() {
    return Architecture.catalogue().keySet().stream();
  }

  private static Shape image(ResNetSpec spec) {
    int side = spec.stem() instanceof Stem.SmallImage ? 32 : 224;
    return new Shape(spec.inChannels(), side, side);
  }

  private static List<String> blocks(ResNetSpec spec) {
    var names = new ArrayList<String>();
    for (int stage = 0; stage < spec.blocks().size(); stage++) {
      for (int i = 0; i < spec.blocks().get(stage); i++) {
        names.add(spec.blockName(stage, i));
      }
    }
    return names;
  }

  private static List<Element> elements(Figure figure, String tag) throws Exception {
    var document =
        DocumentBuilderFactory.newInstance()
            .newDocumentBuilder()
            .parse(new ByteArrayInputStream(figure.toSvg().getBytes(StandardCharsets.UTF_8)));
    var found = document.getElementsByTagName(tag);
    return IntStream.range(0, found.getLength()).mapToObj(i -> (Element) found.item(i)).toList();
  }

  /** Ids are unique, arrows connect existing boxes, boxes do not overlap, text is readable. */
  private static void assertWellDrawn(Figure figure) throws Exception {
    List<Element> groups = elements(figure, "g");
    Set<String> ids = new HashSet<>();
    for (Element group : groups) {
      if (!group.getAttribute("id").isEmpty()) {
        assertTrue(ids.add(group.getAttribute("id")), () -> "twice: " + group.getAttribute("id"));
      }
    }
    int arrows = 0;
    for (Element group : groups) {
      if (group.getAttribute("class").equals("arrow")) {
        arrows++;
        assertTrue(ids.contains(group.getAttribute("data-from")), group.getAttribute("data-from"));
        assertTrue(ids.contains(group.getAttribute("data-to")), group.getAttribute("data-to"));
      }
    }
    assertTrue(arrows > 2);
    List<Box> boxes =
        figure.elements().stream().filter(Box.class::isInstance).map(Box.class::cast).toList();
    for (Box box : boxes) {
      assertTrue(
          box.x() >= 0
              && box.y() >= 0
              && box.x() + box.width() <= figure.width()
              && box.y() + box.height() <= figure.height(),
          () -> "beyond the border: " + box);
      for (Box other : boxes) {
        assertTrue(
            box == other
                || box.x() + box.width() <= other.x()
                || other.x() + other.width() <= box.x()
                || box.y() + box.height() <= other.y()
                || other.y() + other.height() <= box.y(),
            () -> box.id() + " covers " + other.id());
      }
    }
    for (Element text : elements(figure, "text")) {
      double size = Double.parseDouble(text.getAttribute("font-size"));
      assertTrue(size >= 8, () -> "too small to read: " + text.getTextContent());
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void everyBlockOfANetworkAppearsOnce(String name) throws Exception {
    ResNetSpec spec = Architecture.named(name);
    Figure figure = NetworkFigure.network(name, spec, image(spec));
    assertWellDrawn(figure);
    List<Element> groups = elements(figure, "g");
    assertEquals(
        blocks(spec),
        groups.stream()
            .map(group -> group.getAttribute("data-block"))
            .filter(block -> !block.isEmpty())
            .toList());
    // One arrow to each block, and one for its shortcut; dashed if it changes the shape.
    for (String block : blocks(spec)) {
      List<Element> to =
          groups.stream().filter(group -> group.getAttribute("data-to").equals(block)).toList();
      assertEquals(2, to.size(), block);
    }
    long dashed =
        elements(figure, "path").stream()
            .filter(path -> path.getAttribute("class").equals("dashed"))
            .count();
    long changing =
        ShapedLayer.of(spec.layers(), image(spec))
            .walk()
            .filter(layer -> layer.layer() instanceof Layer.Block r && !r.isIdentityBlock())
            .count();
    assertEquals(changing, dashed);
  }

  @ParameterizedTest
  @MethodSource("names")
  void stagesAndBlocksShowTheirShapes(String name) throws Exception {
    ResNetSpec spec = Architecture.named(name);
    for (int stage = 1; stage <= spec.blocks().size(); stage++) {
      Figure figure = NetworkFigure.stage(name, spec, image(spec), stage);
      assertWellDrawn(figure);
      String prefix = spec.blockName(stage - 1, 0).replaceFirst("0$", "");
      assertEquals(
          blocks(spec).stream().filter(block -> block.startsWith(prefix)).toList(),
          elements(figure, "g").stream()
              .map(group -> group.getAttribute("data-block"))
              .filter(block -> !block.isEmpty())
              .toList());
    }
    String second = spec.blockName(1, 0);
    Figure block = NetworkFigure.block(spec, image(spec), second);
    assertWellDrawn(block);
    var shaped =
        ShapedLayer.of(spec.layers(), image(spec))
            .walk()
            .filter(layer -> layer.layer().name().equals(second))
            .findFirst()
            .orElseThrow();
    Set<String> texts =
        elements(block, "text").stream().map(Element::getTextContent).collect(Collectors.toSet());
    assertTrue(texts.contains("x: " + shaped.input()), texts::toString);
    assertTrue(texts.contains("y: " + shaped.output()), texts::toString);
  }

  /** Figure 1 of arXiv 1603.05027: what follows the addition, and where the first norm is. */
  @Test
  void ordersOfActivationAreSideBySide() throws Exception {
    ResNetSpec spec = Architecture.named("resnet50");
    Figure figure = NetworkFigure.activations("resnet50", spec, image(spec));
    assertWellDrawn(figure);
    List<String> texts = elements(figure, "text").stream().map(Element::getTextContent).toList();
    assertTrue(texts.contains("original") && texts.contains("pre-activation"), texts::toString);
    // The original block adds norms to its convolutions, and ends with a ReLU.
    assertEquals(3, texts.stream().filter("batch norm"::equals).count() - 1);
    assertEquals(1 + 3, texts.stream().filter("ReLU"::equals).count());
  }

  @Test
  void convBlockAndIdentityBlockAreSideBySide() throws Exception {
    ResNetSpec spec = Architecture.named("resnet50");
    Figure figure = NetworkFigure.shortcuts("resnet50", spec, image(spec));
    assertWellDrawn(figure);
    String svg = figure.toSvg();
    assertTrue(svg.contains("layer2.0, Conv Block") && svg.contains("layer2.1, Identity Block"));
    // Main branch and shortcut both show the stride.
    assertTrue(svg.contains("3×3 conv, 128, stride 2") && svg.contains("1×1 conv, 512, stride 2"));
    assertThrows(
        IllegalArgumentException.class,
        () ->
            NetworkFigure.shortcuts(
                "plain", spec.toBuilder().shortcut(ResNetSpec.Shortcut.NONE).build(), image(spec)));
  }

  @Test
  void strideIsMovedBetweenV1AndV15() throws Exception {
    ResNetSpec spec = Architecture.named("resnet50");
    Figure figure = NetworkFigure.strides("resnet50", spec, image(spec));
    assertWellDrawn(figure);
    String svg = figure.toSvg();
    assertTrue(svg.contains("1×1 conv, 128, stride 2") && svg.contains("3×3 conv, 128, stride 2"));
    assertTrue(figure.width() < 1000 && figure.height() < 600, "side by side on one page");
    ResNetSpec basic = Architecture.named("resnet18");
    assertThrows(
        IllegalArgumentException.class,
        () -> NetworkFigure.strides("resnet18", basic, image(basic)));
  }

  @Test
  void groupsAndPlainNetworksAreDrawn() throws Exception {
    ResNetSpec spec = Architecture.named("resnext50_32x4d");
    String svg = NetworkFigure.block(spec, image(spec), "layer1.0").toSvg();
    assertTrue(svg.contains("3×3 conv, 128<") && svg.contains("32 groups, batch norm"), svg);
    ResNetSpec basic = Architecture.named("resnet34");
    Figure figure = NetworkFigure.plain("resnet34", basic, image(basic));
    assertWellDrawn(figure);
    long sums =
        figure.elements().stream()
            .filter(element -> element instanceof Box box && box.role() == Figure.Role.SUM)
            .count();
    assertEquals(1, sums); // only the residual one adds
    ResNetSpec plain = basic.toBuilder().shortcut(ResNetSpec.Shortcut.NONE).build();
    assertWellDrawn(NetworkFigure.network("plain", plain, image(plain)));
  }

  @Test
  void unknownBlockListsTheBlocks() {
    ResNetSpec spec = Architecture.named("resnet18");
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> NetworkFigure.block(spec, image(spec), "layer2.7"));
    assertEquals(
        "there is no block 'layer2.7'; the blocks are layer1.0 to layer4.1", e.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> NetworkFigure.stage("resnet18", spec, image(spec), 5));
  }

  @ParameterizedTest
  @MethodSource("names")
  void textGraphsHaveEveryOperationAndShape(String name) {
    ResNetSpec spec = Architecture.named(name);
    var shaped = ShapedLayer.of(spec.layers(), image(spec));
    var graph = NetworkGraph.of(shaped);
    Set<String> ids = graph.nodes().stream().map(NetworkGraph.Node::id).collect(Collectors.toSet());
    assertEquals(graph.nodes().size(), ids.size());
    for (NetworkGraph.Edge edge : graph.edges()) {
      assertTrue(ids.contains(edge.from()) && ids.contains(edge.to()), edge::toString);
    }
    long convolutions =
        shaped.walk().filter(layer -> layer.layer() instanceof Layer.Conv2d).count();
    assertEquals(
        convolutions,
        graph.nodes().stream()
            .filter(node -> node.label().matches("[a-z][a-z0-9.]*: \\d×\\d, .*"))
            .count());
    long sums = graph.nodes().stream().filter(node -> node.id().endsWith(".add")).count();
    assertEquals(blocks(spec).size(), sums);
    // Each subgraph of Mermaid and each cluster of Graphviz is closed.
    String mermaid = graph.toMermaid();
    assertEquals(count("\n  subgraph ", mermaid), count("\n  end", mermaid));
    assertEquals(graph.edges().size(), count(" -->\\|", mermaid));
    String dot = graph.toDot();
    assertEquals(count("\\{", dot), count("\\}", dot));
    assertEquals(graph.edges().size(), count(" -> ", dot));
  }

  private static long count(String pattern, String text) {
    return Pattern.compile(pattern).matcher(text).results().count();
  }
}
