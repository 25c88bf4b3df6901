package io.github.resnet4j.figures;

import io.github.resnet4j.inspect.Shape;
import io.github.resnet4j.inspect.ShapedLayer;
import io.github.resnet4j.nn.Layer;
import io.github.resnet4j.nn.Layer.AvgPool2d;
import io.github.resnet4j.nn.Layer.BatchNorm2d;
import io.github.resnet4j.nn.Layer.BlurPool2d;
import io.github.resnet4j.nn.Layer.Conv2d;
import io.github.resnet4j.nn.Layer.EfficientAttention;
import io.github.resnet4j.nn.Layer.GlobalAveragePool;
import io.github.resnet4j.nn.Layer.GroupNorm;
import io.github.resnet4j.nn.Layer.Identity;
import io.github.resnet4j.nn.Layer.Linear;
import io.github.resnet4j.nn.Layer.MaxPool2d;
import io.github.resnet4j.nn.Layer.PreActivation;
import io.github.resnet4j.nn.Layer.Relu;
import io.github.resnet4j.nn.Layer.Residual;
import io.github.resnet4j.nn.Layer.Sequential;
import io.github.resnet4j.nn.Layer.SqueezeExcite;
import io.github.resnet4j.nn.Layer.SubsampleAndPad;
import java.util.ArrayList;
import java.util.List;

/**
 * A network as a graph of operations, written as text for Mermaid and Graphviz, which compute the
 * layout.
 *
 * @param nodes the operations, in network order
 * @param edges the data flow, labelled with shapes
 */
public record NetworkGraph(List<Node> nodes, List<Edge> edges) {
  /**
   * An operation.
   *
   * @param group the name of its block, or an empty string
   */
  public record Node(String id, String label, String group) {}

  /** The data flow from one operation to another. */
  public record Edge(String from, String to, String label) {}

  public NetworkGraph {
    nodes = List.copyOf(nodes);
    edges = List.copyOf(edges);
  }

  /** Creates the graph of a network or of one of its layers. */
  public static NetworkGraph of(ShapedLayer layer) {
    var graph = new Builder();
    String end = graph.add(layer, graph.node("x", "x: " + layer.input(), ""), layer.input(), "");
    graph.edge(end, graph.node("y", "y: " + layer.output(), ""), layer.output());
    return new NetworkGraph(graph.nodes, graph.edges);
  }

  private static final class Builder {
    final List<Node> nodes = new ArrayList<>();
    final List<Edge> edges = new ArrayList<>();

    String node(String id, String label, String group) {
      nodes.add(new Node(id, label, group));
      return id;
    }

    void edge(String from, String to, Shape shape) {
      edges.add(new Edge(from, to, shape.toString()));
    }

    /** Adds a layer after the node {@code from}; returns the node that its result comes from. */
    String add(ShapedLayer shaped, String from, Shape shape, String group) {
      return switch (shaped.layer()) {
        case Identity _ -> from;
        case BatchNorm2d _, GroupNorm _, Relu _ ->
            from; // merged into the preceding convolution or sum
        case Sequential _ -> {
          String at = from;
          Shape passed = shape;
          boolean isBlock =
              group.isEmpty() && shaped.layer().name().matches("layer\\d+\\.\\d+"); // plain
          for (ShapedLayer child : shaped.children()) {
            at = add(child, at, passed, isBlock ? shaped.layer().name() : group);
            passed = child.output();
          }
          yield at;
        }
        case Residual block -> {
          String main = add(shaped.children().get(0), from, shape, block.name());
          String shortcut = add(shaped.children().get(1), from, shape, block.name());
          String sum = node(block.name() + ".add", "add, ReLU", block.name());
          edge(main, sum, shaped.output());
          edge(shortcut, sum, shaped.output());
          yield sum;
        }
        case PreActivation block -> {
          String activation =
              node(block.activation().layers().getFirst().name(), "norm, ReLU", block.name());
          edge(from, activation, shaped.input());
          ShapedLayer branch = shaped.children().get(2);
          String main = add(branch, activation, shaped.input(), block.name());
          String shortcut =
              block.isIdentityBlock()
                  ? from
                  : add(shaped.children().get(0), activation, shaped.input(), block.name());
          String sum = node(block.name() + ".add", "add", block.name());
          edge(main, sum, shaped.output());
          edge(shortcut, sum, shaped.output());
          yield sum;
        }
        case Conv2d _,
            MaxPool2d _,
            AvgPool2d _,
            BlurPool2d _,
            SqueezeExcite _,
            EfficientAttention _,
            GlobalAveragePool _,
            Linear _,
            SubsampleAndPad _ -> {
          String id = node(shaped.layer().name(), label(shaped.layer()), group);
          edge(from, id, shape);
          yield id;
        }
      };
    }
  }

  private static String label(Layer layer) {
    return switch (layer) {
      case Conv2d conv ->
          "%s: %d×%d, %d%s%s"
              .formatted(
                  conv.name(),
                  conv.kernel(),
                  conv.kernel(),
                  conv.outChannels(),
                  conv.stride() > 1 ? ", stride " + conv.stride() : "",
                  conv.groups() > 1 ? ", %d groups".formatted(conv.groups()) : "");
      case MaxPool2d pool ->
          "max pool %d×%d, stride %d".formatted(pool.kernel(), pool.kernel(), pool.stride());
      case AvgPool2d pool ->
          "average pool %d×%d, stride %d".formatted(pool.kernel(), pool.kernel(), pool.stride());
      case BlurPool2d pool -> "blur 3×3, stride " + pool.stride();
      case SqueezeExcite attention ->
          "%s: Squeeze-and-Excitation, %d".formatted(attention.name(), attention.reduced());
      case EfficientAttention attention ->
          "%s: ECA, %d".formatted(attention.name(), attention.kernel());
      case GlobalAveragePool _ -> "average pool";
      case Linear linear -> "%s: linear, %d".formatted(linear.name(), linear.out());
      case SubsampleAndPad pad ->
          "subsample by %d, pad to %d".formatted(pad.stride(), pad.channels());
      default -> layer.name();
    };
  }

  /** Returns a Mermaid flowchart; GitHub renders it in a {@code ```mermaid} code block. */
  public String toMermaid() {
    var text = new StringBuilder("flowchart TD\n");
    String group = "";
    for (Node node : nodes) {
      if (!node.group.equals(group)) {
        text.append(group.isEmpty() ? "" : "  end\n");
        text.append(
            node.group.isEmpty()
                ? ""
                : "  subgraph %s [%s]\n".formatted(mermaid("block " + node.group), node.group));
        group = node.group;
      }
      text.append("  %s[\"%s\"]\n".formatted(mermaid(node.id), node.label));
    }
    text.append(group.isEmpty() ? "" : "  end\n");
    for (Edge edge : edges) {
      text.append("  %s -->|%s| %s\n".formatted(mermaid(edge.from), edge.label, mermaid(edge.to)));
    }
    return text.toString();
  }

  private static String mermaid(String id) {
    return id.replaceAll("[^A-Za-z0-9]", "_");
  }

  /** Returns a directed graph for Graphviz ({@code dot -Tsvg}). */
  public String toDot() {
    var text =
        new StringBuilder(
            """
            digraph resnet {
              node [shape=box, style=rounded, fontname="Helvetica"];
              edge [fontname="Helvetica", fontsize=10];
            """);
    String group = "";
    for (Node node : nodes) {
      if (!node.group.equals(group)) {
        text.append(group.isEmpty() ? "" : "  }\n");
        text.append(
            node.group.isEmpty()
                ? ""
                : "  subgraph \"cluster %s\" {\n    label=\"%s\";\n"
                    .formatted(node.group, node.group));
        group = node.group;
      }
      text.append("    \"%s\" [label=\"%s\"];\n".formatted(node.id, node.label));
    }
    text.append(group.isEmpty() ? "" : "  }\n");
    for (Edge edge : edges) {
      text.append("  \"%s\" -> \"%s\" [label=\"%s\"];\n".formatted(edge.from, edge.to, edge.label));
    }
    return text.append("}\n").toString();
  }
}
