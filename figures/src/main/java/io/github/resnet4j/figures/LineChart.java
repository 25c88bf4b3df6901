package io.github.resnet4j.figures;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.stream.IntStream;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.VectorGraphicsEncoder;
import org.knowm.xchart.VectorGraphicsEncoder.VectorGraphicsFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * Curves over a common axis.
 *
 * @param title stands above
 * @param x what the common axis counts
 * @param y what the curves show
 * @param lines one curve each
 */
public record LineChart(String title, String x, String y, List<Line> lines) {
  private static final int WIDTH = 720;
  private static final int HEIGHT = 400;

  /** Okabe and Ito's colours, which people tell apart who do not see all colours. */
  private static final List<Color> COLOURS =
      List.of(
          new Color(0x0072B2),
          new Color(0xD55E00),
          new Color(0x009E73),
          new Color(0xCC79A7),
          new Color(0x56B4E9),
          new Color(0xE69F00));

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

  /** The picture in SVG. */
  public String toSvg() throws IOException {
    var bytes = new ByteArrayOutputStream();
    VectorGraphicsEncoder.saveVectorGraphic(chart(), bytes, VectorGraphicsFormat.SVG);
    return bytes.toString(StandardCharsets.UTF_8);
  }

  /** Writes {@code name.png} and {@code name.svg} into a folder; each appears whole. */
  public void write(Path folder, String name) throws IOException {
    Path svg = folder.resolve(name + ".svg.part");
    Files.writeString(svg, toSvg());
    move(svg, folder.resolve(name + ".svg"));
    Path png = folder.resolve(name + ".png.part");
    try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(png))) {
      BitmapEncoder.saveBitmap(chart(), out, BitmapFormat.PNG);
    }
    move(png, folder.resolve(name + ".png"));
  }

  private static void move(Path from, Path to) throws IOException {
    Files.move(from, to, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
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
    var plain = new Font(Font.SANS_SERIF, Font.PLAIN, 13);
    XYStyler styler = chart.getStyler();
    styler.setPlotGridLinesColor(new Color(0xDDDDDD));
    styler.setPlotBorderVisible(false);
    styler.setYAxisDecimalPattern("0.####");
    styler.setAxisTickLabelsFont(plain);
    styler.setAxisTitleFont(plain);
    styler.setChartBackgroundColor(Color.WHITE);
    styler.setChartTitleFont(plain.deriveFont(Font.BOLD, 15f));
    styler.setChartTitleBoxVisible(false);
    styler.setLegendFont(plain);
    styler.setLegendPosition(LegendPosition.OutsideE);
    styler.setLegendBorderColor(Color.WHITE);
    for (int i = 0; i < lines.size(); i++) {
      Line line = lines.get(i);
      double[] xs = finite(line, line.x);
      if (xs.length == 0) {
        continue;
      }
      float[] dashes = {6, 4};
      // A dashed line and the one after it are of a pair.
      long pair = lines.subList(0, i).stream().filter(other -> !other.dashed).count();
      Color colour = COLOURS.get((int) (pair % COLOURS.size()));
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
