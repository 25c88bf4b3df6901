package io.github.resnet4j.figures;

import java.awt.BasicStroke;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * A chart of curves over a common x axis. All values are accepted: NaN and infinite ones are
 * omitted, and outliers, such as the loss of a diverged epoch, are drawn at the edge.
 *
 * @param title the title of the chart
 * @param x the label of the x axis
 * @param y the label of the y axis
 * @param lines the curves
 * @param xScale the scale of the x axis
 */
public record LineChart(String title, String x, String y, List<Line> lines, Scale xScale) {
  /** The scale of an axis. */
  public enum Scale {
    /** Equal distances are equal differences. */
    LINEAR,
    /** Equal distances are equal factors; points that are not positive are omitted. */
    LOGARITHMIC
  }

  /** The style of a curve. */
  public enum Stroke {
    /** A solid line. */
    SOLID,
    /** A dashed line, for a reference curve; it has the color of the next solid curve. */
    DASHED
  }

  private static final int WIDTH = 720;
  private static final int HEIGHT = 400;
  private static final int NARROW_WIDTH = 460;
  private static final int NARROW_HEIGHT = 330;
  private static final double LOG_MARGIN = 1.15;

  /** The approximate width of the y axis and the legend. */
  private static final double OUTSIDE_PLOT_WIDTH = 160;

  /** The approximate width of a tick with its label. */
  private static final double TICK_WIDTH = 74;

  private static final float[] DASHES = {6, 4};

  /**
   * A curve; points whose y is NaN or infinite are omitted.
   *
   * @param name its name in the legend
   * @param x the x values, as many as y
   */
  public record Line(String name, List<Double> x, List<Double> y, Stroke stroke) {
    public Line {
      x = List.copyOf(x);
      y = List.copyOf(y);
    }

    private boolean isDashed() {
      return stroke == Stroke.DASHED;
    }
  }

  public LineChart {
    lines = List.copyOf(lines);
  }

  /** Creates a chart with linear axes. */
  public LineChart(String title, String x, String y, List<Line> lines) {
    this(title, x, y, lines, Scale.LINEAR);
  }

  private boolean isLogarithmic() {
    return xScale == Scale.LOGARITHMIC;
  }

  /** Returns the chart as SVG that adapts to light and dark pages. */
  public String toSvg() throws IOException {
    return ChartStyle.toSvg(chart());
  }

  /** Returns the chart as SVG for a column or a phone: narrower, with the legend below. */
  public String toNarrowSvg() throws IOException {
    XYChart chart = chart(NARROW_WIDTH, NARROW_HEIGHT);
    chart.getStyler().setLegendPosition(LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(LegendLayout.Horizontal);
    chart.getStyler().setLegendPadding(14);
    return ChartStyle.toSvg(chart);
  }

  /** Returns the {@linkplain #toNarrowSvg narrow} chart as an element of a page. */
  String toHtml() throws IOException {
    String svg = toNarrowSvg();
    return "<div role=\"img\" aria-label=\"%s\">%s</div>\n"
        .formatted(Figure.escaped(title), svg.substring(svg.indexOf("<svg")));
  }

  /** Writes {@code name.png} and {@code name.svg} to a folder, each atomically. */
  public void write(Path folder, String name) throws IOException {
    ChartStyle.write(chart(), folder, name);
  }

  XYChart chart() {
    return chart(WIDTH, HEIGHT);
  }

  private XYChart chart(int width, int height) {
    List<Line> drawn = lines.stream().map(this::drawable).toList();
    Axis xs = Axis.spanning(values(drawn, Line::x));
    Axis ys = Axis.of(values(drawn, Line::y));
    var chart =
        new XYChartBuilder()
            .width(width)
            .height(height)
            .title(title)
            .xAxisTitle(x)
            .yAxisTitle(ys.clipped() ? y + ", clipped at " + ys.label(ys.max()) : y)
            .build();
    XYStyler style = chart.getStyler();
    ChartStyle.apply(style);
    style.setLegendVisible(drawn.size() > 1);
    style.setYAxisTickLabelsFormattingFunction(ys::label);
    style.setXAxisLogarithmic(isLogarithmic());
    double left = xs.min();
    double right = xs.max();
    if (isLogarithmic()) {
      double[] all = values(drawn, Line::x);
      left = Arrays.stream(all).min().orElse(1) / LOG_MARGIN;
      right = Arrays.stream(all).max().orElse(1) * LOG_MARGIN;
    } else {
      style.setXAxisTickLabelsFormattingFunction(xs::label);
      if (Arrays.stream(values(drawn, Line::x)).allMatch(value -> value == Math.rint(value))) {
        // Label integers only: for two points the library adds a tick between them.
        double precision = 1e-6 * (right - left);
        style.setXAxisTickLabelsFormattingFunction(
            tick -> Math.abs(tick - Math.rint(tick)) < precision ? xs.label(tick) : blank(tick));
        // With a spacing of more than half of the plot, the library draws no ticks beside a legend.
        double plot = width - OUTSIDE_PLOT_WIDTH;
        double spacing = Math.clamp(plot / (right - left), TICK_WIDTH, plot / 2);
        style.setXAxisTickMarkSpacingHint((int) spacing);
      }
    }
    // The library derives the ranges from the series: two invisible points set them.
    XYSeries corners =
        chart.addSeries("corners", new double[] {left, right}, new double[] {ys.min(), ys.max()});
    corners.setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter);
    corners.setMarker(SeriesMarkers.NONE);
    corners.setShowInLegend(false);
    for (int i = 0; i < drawn.size(); i++) {
      Line line = drawn.get(i);
      if (line.x.isEmpty()) {
        continue;
      }
      // A dashed line has the color of the solid line after it.
      long pair = drawn.subList(0, i).stream().filter(other -> !other.isDashed()).count();
      Color colour = ChartStyle.colour((int) pair);
      XYSeries series =
          chart.addSeries(
              line.name,
              line.x.stream()
                  .mapToDouble(value -> isLogarithmic() ? value : xs.clamp(value))
                  .toArray(),
              line.y.stream().mapToDouble(ys::clamp).toArray());
      series.setMarker(line.x.size() > 1 ? SeriesMarkers.NONE : SeriesMarkers.CIRCLE);
      series.setMarkerColor(colour);
      series.setLineColor(colour);
      series.setLineStyle(
          line.isDashed()
              ? new BasicStroke(2, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, DASHES, 0)
              : new BasicStroke(2));
    }
    return chart;
  }

  /**
   * An invisible label; distinct for each tick, since the library draws no labels if some are
   * equal.
   */
  private static String blank(double tick) {
    return Integer.toBinaryString(Math.floorMod((int) Math.floor(tick), 1024))
        .replace('0', ' ')
        .replace('1', '\u00a0');
  }

  private static double[] values(List<Line> lines, Function<Line, List<Double>> axis) {
    return lines.stream().flatMap(line -> axis.apply(line).stream()).mapToDouble(v -> v).toArray();
  }

  /** Omits the points that cannot be drawn. */
  private Line drawable(Line line) {
    List<Integer> kept =
        IntStream.range(0, line.x.size())
            .filter(i -> Double.isFinite(line.x.get(i)) && Double.isFinite(line.y.get(i)))
            .filter(i -> !isLogarithmic() || line.x.get(i) > 1e-9 && line.x.get(i) < 1e12)
            .boxed()
            .toList();
    return new Line(
        line.name,
        kept.stream().map(line.x::get).toList(),
        kept.stream().map(line.y::get).toList(),
        line.stroke);
  }
}
