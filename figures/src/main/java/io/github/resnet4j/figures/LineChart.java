package io.github.resnet4j.figures;

import java.awt.BasicStroke;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * Curves over a common axis.
 *
 * @param title stands above
 * @param x what the common axis counts
 * @param y what the curves show
 * @param lines one curve each
 * @param logarithmic whether equal ways along x are equal factors; all x are then positive
 */
public record LineChart(String title, String x, String y, List<Line> lines, boolean logarithmic) {
  private static final int WIDTH = 720;
  private static final int HEIGHT = 400;

  /**
   * A curve; points whose y is no number are left out.
   *
   * @param dashed for what is compared with
   */
  public record Line(String name, List<Double> x, List<Double> y, boolean dashed) {
    public Line {
      x = List.copyOf(x);
      y = List.copyOf(y);
    }
  }

  public LineChart {
    lines = List.copyOf(lines);
  }

  /** With both axes linear. */
  public LineChart(String title, String x, String y, List<Line> lines) {
    this(title, x, y, lines, false);
  }

  /** The picture in SVG. */
  public String toSvg() throws IOException {
    return ChartStyle.toSvg(chart());
  }

  /** Writes {@code name.png} and {@code name.svg} into a folder; each appears whole. */
  public void write(Path folder, String name) throws IOException {
    ChartStyle.write(chart(), folder, name);
  }

  private XYChart chart() {
    var chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(title)
            .xAxisTitle(x)
            .yAxisTitle(y)
            .build();
    ChartStyle.apply(chart.getStyler());
    chart.getStyler().setYAxisDecimalPattern("0.####");
    chart.getStyler().setXAxisLogarithmic(logarithmic);
    for (int i = 0; i < lines.size(); i++) {
      Line line = lines.get(i);
      double[] xs = finite(line, line.x);
      if (xs.length == 0) {
        continue;
      }
      float[] dashes = {6, 4};
      // A dashed line and the one after it are of a pair.
      long pair = lines.subList(0, i).stream().filter(other -> !other.dashed).count();
      Color colour = ChartStyle.colour((int) pair);
      XYSeries series = chart.addSeries(line.name, xs, finite(line, line.y));
      series.setMarker(xs.length > 1 ? SeriesMarkers.NONE : SeriesMarkers.CIRCLE);
      series.setMarkerColor(colour);
      series.setLineColor(colour);
      series.setLineStyle(
          line.dashed
              ? new BasicStroke(2, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, dashes, 0)
              : new BasicStroke(2));
    }
    return chart;
  }

  private static double[] finite(Line line, List<Double> values) {
    return IntStream.range(0, line.x.size())
        .filter(i -> Double.isFinite(line.y.get(i)))
        .mapToDouble(values::get)
        .toArray();
  }
}
