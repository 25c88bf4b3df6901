package io.github.resnet4j.figures;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.geom.Path2D;
import java.awt.geom.Rectangle2D;
import java.awt.geom.RoundRectangle2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A drawing of boxes, arrows and text, written as SVG that adapts to light and dark pages, or as
 * PNG; see {@link NetworkFigure}.
 */
public final class Figure {
  private static final double RADIUS = 6;
  private static final double HEAD = 7;

  /** The role of a box, which determines its colors. */
  enum Role {
    /** Any other layer. */
    LAYER("#f1f3f5", "#868e96", "#2b3036", "#7d8590"),
    /** A layer with a stride larger than 1. */
    STRIDED("#ffe8cc", "#d9480f", "#4d2c10", "#ff922b"),
    /** A Conv Block, or a layer of its shortcut. */
    PROJECTION("#d0ebff", "#1c7ed6", "#10324d", "#4dabf7"),
    /** An Identity Block. */
    IDENTITY("#ffffff", "#868e96", "#22262b", "#7d8590"),
    /** The sum of two branches. */
    SUM("#fff3bf", "#e67700", "#4a3a05", "#fcc419");

    private final String lightFill;
    private final String lightLine;
    private final String darkFill;
    private final String darkLine;

    Role(String lightFill, String lightLine, String darkFill, String darkLine) {
      this.lightFill = lightFill;
      this.lightLine = lightLine;
      this.darkFill = darkFill;
      this.darkLine = darkLine;
    }

    private String css() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /** The page around a figure. */
  public enum Theme {
    LIGHT("#ffffff", "#1f2328", "#57606a"),
    DARK("#0d1117", "#e6edf3", "#9198a1");

    private final String page;
    private final String ink;
    private final String pale;

    Theme(String page, String ink, String pale) {
      this.page = page;
      this.ink = ink;
      this.pale = pale;
    }

    private Color fill(Role role) {
      return Color.decode(this == LIGHT ? role.lightFill : role.darkFill);
    }

    private Color line(Role role) {
      return Color.decode(this == LIGHT ? role.lightLine : role.darkLine);
    }
  }

  /** A point. */
  record Point(double x, double y) {}

  /** An element of a figure. */
  sealed interface Element {}

  /**
   * A box; drawn as a circle if its width equals its height and its text is a single character.
   *
   * @param id identifies the box for arrows; unique in a figure
   * @param block the name of the block that it represents, or an empty string
   * @param lines its text; the first line is bold
   */
  record Box(
      String id,
      String block,
      Role role,
      double x,
      double y,
      double width,
      double height,
      List<String> lines)
      implements Element {
    private boolean isRound() {
      return width == height && lines.size() == 1 && lines.getFirst().length() == 1;
    }
  }

  /**
   * An arrow from one box to another.
   *
   * @param points the corners of its line, from start to end
   * @param dashed whether it is dashed: a shortcut with a projection, pooling or zero padding
   */
  record Arrow(String from, String to, List<Point> points, boolean dashed) implements Element {}

  /** A line of text; {@code size} in pixels. */
  record Text(double x, double y, String text, double size, boolean bold, Anchor anchor)
      implements Element {}

  /** The part of the text that is at its position. */
  enum Anchor {
    START,
    MIDDLE,
    END
  }

  private final String title;
  private final double width;
  private final double height;
  private final List<Element> elements;

  /**
   * @param title a description, also used as alternative text
   * @param elements its elements, in drawing order
   */
  Figure(String title, double width, double height, List<Element> elements) {
    this.title = title;
    this.width = width;
    this.height = height;
    this.elements = List.copyOf(elements);
  }

  /** A description, also used as alternative text. */
  public String title() {
    return title;
  }

  double width() {
    return width;
  }

  double height() {
    return height;
  }

  List<Element> elements() {
    return elements;
  }

  @Override
  public String toString() {
    return "%s, %.0f×%.0f".formatted(title, width, height);
  }

  /**
   * Moves all elements, to place them in a larger figure.
   *
   * @param prefix prepended to the ids of the boxes
   */
  private List<Element> moved(double dx, double dy, String prefix) {
    var moved = new ArrayList<Element>();
    for (Element element : elements) {
      moved.add(
          switch (element) {
            case Box box ->
                new Box(
                    prefix + box.id,
                    box.block,
                    box.role,
                    box.x + dx,
                    box.y + dy,
                    box.width,
                    box.height,
                    box.lines);
            case Arrow arrow ->
                new Arrow(
                    prefix + arrow.from,
                    prefix + arrow.to,
                    arrow.points.stream()
                        .map(point -> new Point(point.x + dx, point.y + dy))
                        .toList(),
                    arrow.dashed);
            case Text text ->
                new Text(text.x + dx, text.y + dy, text.text, text.size, text.bold, text.anchor);
          });
    }
    return moved;
  }

  /**
   * Arranges figures in rows, with as many in a row as fit on a page.
   *
   * @param page the width of the page
   * @param prefixes prepended to the ids of each figure's boxes
   */
  static Figure inRows(String title, List<Figure> figures, List<String> prefixes, double page) {
    var elements = new ArrayList<Element>();
    double x = 0;
    double y = 0;
    double row = 0;
    double right = 0;
    for (int i = 0; i < figures.size(); i++) {
      Figure figure = figures.get(i);
      if (x > 0 && x + figure.width > page) {
        x = 0;
        y += row;
        row = 0;
      }
      elements.addAll(figure.moved(x, y, prefixes.get(i)));
      x += figure.width;
      row = Math.max(row, figure.height);
      right = Math.max(right, x);
    }
    return new Figure(title, right, y + row, elements);
  }

  /**
   * Writes the figure as SVG or as PNG for a light page, depending on the file extension. The file
   * is written atomically.
   */
  public void write(Path file) throws IOException {
    write(file, Theme.LIGHT);
  }

  /** Writes the figure; a PNG has the colors of the theme, an SVG adapts to the page. */
  public void write(Path file, Theme theme) throws IOException {
    if (file.toString().endsWith(".svg")) {
      FigureFile.write(toSvg().getBytes(StandardCharsets.UTF_8), file);
    } else {
      FigureFile.writePng(toImage(theme, 2), file);
    }
  }

  // --- SVG --------------------------------------------------------------------------------------

  /** Returns the figure as SVG that adapts to light and dark pages. */
  public String toSvg() {
    var svg = new StringBuilder();
    svg.append(
        format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %s %s\" width=\"%s\""
                + " height=\"%s\" role=\"img\" aria-label=\"%s\">\n",
            number(width), number(height), number(width), number(height), escaped(title)));
    svg.append("<style>\n")
        .append(css(Theme.LIGHT))
        .append("@media (prefers-color-scheme: dark) {\n");
    svg.append(css(Theme.DARK)).append("}\n</style>\n");
    svg.append(
        format(
            "<rect class=\"page\" width=\"%s\" height=\"%s\"/>\n", number(width), number(height)));
    for (Element element : elements) {
      switch (element) {
        case Box box -> box(box, svg);
        case Arrow arrow -> arrow(arrow, svg);
        case Text text -> text(text, svg);
      }
    }
    return svg.append("</svg>\n").toString();
  }

  private static String css(Theme theme) {
    var css = new StringBuilder();
    if (theme == Theme.LIGHT) {
      css.append("text { font-family: Helvetica, Arial, 'DejaVu Sans', sans-serif; }\n");
      css.append(".bold { font-weight: bold; }\n.dashed { stroke-dasharray: 5 4; }\n");
      css.append("path { fill: none; stroke-width: 1.5; }\n");
    }
    css.append(format(".page { fill: %s; }\n", theme.page));
    css.append(format("text { fill: %s; }\n.pale { fill: %s; }\n", theme.ink, theme.pale));
    css.append(format("path { stroke: %s; }\npolygon { fill: %s; }\n", theme.pale, theme.pale));
    for (Role role : Role.values()) {
      css.append(
          format(
              ".%s { fill: %s; stroke: %s; }\n",
              role.css(),
              theme == Theme.LIGHT ? role.lightFill : role.darkFill,
              theme == Theme.LIGHT ? role.lightLine : role.darkLine));
    }
    return css.toString();
  }

  private static void box(Box box, StringBuilder svg) {
    svg.append(format("<g id=\"%s\"", escaped(box.id)));
    if (!box.block.isEmpty()) {
      svg.append(format(" data-block=\"%s\"", escaped(box.block)));
    }
    svg.append(">");
    if (box.isRound()) {
      svg.append(
          format(
              "<circle class=\"%s\" cx=\"%s\" cy=\"%s\" r=\"%s\"/>",
              box.role.css(),
              number(box.x + box.width / 2),
              number(box.y + box.height / 2),
              number(box.width / 2)));
    } else {
      svg.append(
          format(
              "<rect class=\"%s\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"%s\"/>",
              box.role.css(),
              number(box.x),
              number(box.y),
              number(box.width),
              number(box.height),
              number(RADIUS)));
    }
    for (Text line : lines(box)) {
      text(line, svg);
    }
    svg.append("</g>\n");
  }

  private static void arrow(Arrow arrow, StringBuilder svg) {
    var path = new StringBuilder();
    for (Point point : arrow.points) {
      path.append(path.isEmpty() ? "M" : " L").append(number(point.x)).append(' ');
      path.append(number(point.y));
    }
    svg.append(
        format(
            "<g class=\"arrow\" data-from=\"%s\" data-to=\"%s\"><path%s d=\"%s\"/>",
            escaped(arrow.from), escaped(arrow.to), arrow.dashed ? " class=\"dashed\"" : "", path));
    var corners = new ArrayList<String>();
    for (Point corner : head(arrow)) {
      corners.add(number(corner.x) + "," + number(corner.y));
    }
    svg.append(format("<polygon points=\"%s\"/></g>\n", String.join(" ", corners)));
  }

  private static void text(Text text, StringBuilder svg) {
    String anchor = text.anchor.name().toLowerCase(Locale.ROOT);
    svg.append(
        format(
            "<text class=\"%s\" x=\"%s\" y=\"%s\" font-size=\"%s\" text-anchor=\"%s\">%s</text>",
            text.bold ? "bold" : "pale",
            number(text.x),
            number(text.y),
            number(text.size),
            anchor,
            escaped(text.text)));
  }

  private static String number(double value) {
    double rounded = Math.round(value * 10) / 10.0;
    return rounded == Math.rint(rounded) ? String.valueOf((long) rounded) : String.valueOf(rounded);
  }

  private static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }

  /** Escapes a text for XML and HTML. */
  static String escaped(String text) {
    return text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }

  // --- pixels -----------------------------------------------------------------------------------

  /**
   * Draws the figure.
   *
   * @param scale output pixels per pixel of the figure, such as 2 for print
   */
  public BufferedImage toImage(Theme theme, double scale) {
    var image =
        new BufferedImage(
            (int) Math.ceil(width * scale),
            (int) Math.ceil(height * scale),
            BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
    graphics.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    graphics.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
    graphics.scale(scale, scale);
    graphics.setColor(Color.decode(theme.page));
    graphics.fill(new Rectangle2D.Double(0, 0, width, height));
    for (Element element : elements) {
      switch (element) {
        case Box box -> {
          var shape =
              box.isRound()
                  ? new Ellipse2D.Double(box.x, box.y, box.width, box.height)
                  : new RoundRectangle2D.Double(
                      box.x, box.y, box.width, box.height, 2 * RADIUS, 2 * RADIUS);
          graphics.setColor(theme.fill(box.role));
          graphics.fill(shape);
          graphics.setColor(theme.line(box.role));
          graphics.setStroke(new BasicStroke(1));
          graphics.draw(shape);
          lines(box).forEach(line -> draw(line, theme, graphics));
        }
        case Arrow arrow -> {
          var path = new Path2D.Double();
          for (int i = 0; i < arrow.points.size(); i++) {
            Point point = arrow.points.get(i);
            if (i == 0) {
              path.moveTo(point.x, point.y);
            } else {
              path.lineTo(point.x, point.y);
            }
          }
          float[] dashes = {5, 4};
          graphics.setColor(Color.decode(theme.pale));
          graphics.setStroke(
              arrow.dashed
                  ? new BasicStroke(
                      1.5f, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, dashes, 0)
                  : new BasicStroke(1.5f));
          graphics.draw(path);
          var head = new Path2D.Double();
          List<Point> corners = head(arrow);
          head.moveTo(corners.getFirst().x, corners.getFirst().y);
          corners.forEach(corner -> head.lineTo(corner.x, corner.y));
          head.closePath();
          graphics.fill(head);
        }
        case Text text -> draw(text, theme, graphics);
      }
    }
    graphics.dispose();
    return image;
  }

  private static void draw(Text text, Theme theme, Graphics2D graphics) {
    graphics.setFont(
        new Font(Font.SANS_SERIF, text.bold ? Font.BOLD : Font.PLAIN, 12)
            .deriveFont((float) text.size));
    graphics.setColor(Color.decode(text.bold ? theme.ink : theme.pale));
    double length = graphics.getFontMetrics().getStringBounds(text.text, graphics).getWidth();
    double x =
        switch (text.anchor) {
          case START -> text.x;
          case MIDDLE -> text.x - length / 2;
          case END -> text.x - length;
        };
    graphics.drawString(text.text, (float) x, (float) text.y);
  }

  // --- both -------------------------------------------------------------------------------------

  /** The lines of text in a box, with sizes that fit. */
  private static List<Text> lines(Box box) {
    var lines = new ArrayList<Text>();
    double total = 0;
    var sizes = new ArrayList<Double>();
    for (int i = 0; i < box.lines.size(); i++) {
      double wanted = box.isRound() ? box.width * 0.75 : i == 0 ? 13 : 11.5;
      // In most fonts a letter is at most 0.58 times as wide as high; a bold one 0.66 times.
      double letter = i == 0 ? 0.66 : 0.58;
      double fits = (box.width - 8) / (letter * Math.max(1, box.lines.get(i).length()));
      sizes.add(box.isRound() ? wanted : Math.min(wanted, fits));
      total += sizes.get(i) * 1.3;
    }
    double y = box.y + (box.height - total) / 2;
    for (int i = 0; i < box.lines.size(); i++) {
      double size = sizes.get(i);
      lines.add(
          new Text(
              box.x + box.width / 2,
              y + size * 1.02,
              box.lines.get(i),
              size,
              i == 0,
              Anchor.MIDDLE));
      y += size * 1.3;
    }
    return lines;
  }

  /** The three corners of an arrow's head. */
  private static List<Point> head(Arrow arrow) {
    Point end = arrow.points.getLast();
    Point before = arrow.points.get(arrow.points.size() - 2);
    double length = Math.hypot(end.x - before.x, end.y - before.y);
    double ux = (end.x - before.x) / length;
    double uy = (end.y - before.y) / length;
    Point back = new Point(end.x - HEAD * ux, end.y - HEAD * uy);
    double half = HEAD * 0.45;
    return List.of(
        end,
        new Point(back.x - half * uy, back.y + half * ux),
        new Point(back.x + half * uy, back.y - half * ux));
  }
}
