package io.github.resnet4j.figures;

import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.OptionalDouble;
import java.util.function.ToDoubleFunction;
import org.knowm.xchart.AnnotationText;
import org.knowm.xchart.BubbleChart;
import org.knowm.xchart.BubbleChartBuilder;
import org.knowm.xchart.BubbleSeries;
import org.knowm.xchart.HorizontalBarChart;
import org.knowm.xchart.HorizontalBarChartBuilder;
import org.knowm.xchart.internal.chartpart.IChart;
import org.knowm.xchart.style.AxesChartStyler.TextAlignment;

/** What networks cost and what they reach, side by side. */
public final class CostChart {
  private static final int WIDTH = 900;

  // About what the axes and the legend leave of a chart; labels are placed by it.
  private static final double PLOT_WIDTH = WIDTH - 205;
  private static final double PLOT_HEIGHT = 475;
  private static final double LINE = 16;

  /**
   * A network.
   *
   * @param family bubbles of one family have one colour
   * @param parameters that are trained
   * @param multiplyAdds for one image
   * @param top1 published accuracy in percent, if there is one
   * @param milliseconds for one image on this machine, if it was measured
   */
  public record Entry(
      String name,
      String family,
      long parameters,
      long multiplyAdds,
      OptionalDouble top1,
      OptionalDouble milliseconds) {
    private double giga() {
      return multiplyAdds / 1e9;
    }
  }

  private CostChart() {}

  /**
   * Writes {@code NAME-cost}, bars of multiply-adds; {@code NAME-accuracy}, bubbles of accuracy
   * over multiply-adds, as large as the networks, if any accuracy is known; and the same over
   * measured time as {@code NAME-time}, if any is. Each as PNG and SVG.
   *
   * @return the names of what was written, without endings
   */
  public static List<String> write(List<Entry> entries, Path folder, String name)
      throws IOException {
    var charts = new LinkedHashMap<String, IChart>();
    charts.put(name + "-cost", bars(entries));
    List<Entry> known = entries.stream().filter(entry -> entry.top1.isPresent()).toList();
    if (!known.isEmpty()) {
      charts.put(
          name + "-accuracy",
          bubbles(known, "Accuracy and cost", "multiply-adds per image, G", Entry::giga));
    }
    List<Entry> measured = known.stream().filter(entry -> entry.milliseconds.isPresent()).toList();
    if (!measured.isEmpty()) {
      charts.put(
          name + "-time",
          bubbles(
              measured,
              "Accuracy and time",
              "milliseconds per image, measured on this machine",
              entry -> entry.milliseconds.orElseThrow()));
    }
    for (var chart : charts.entrySet()) {
      ChartStyle.write(chart.getValue(), folder, chart.getKey());
    }
    return List.copyOf(charts.keySet());
  }

  private static IChart bars(List<Entry> entries) {
    HorizontalBarChart chart =
        new HorizontalBarChartBuilder()
            .width(WIDTH)
            .height(110 + 30 * entries.size())
            .title("Multiply-adds per image, G (the FLOPs of the papers)")
            .build();
    ChartStyle.apply(chart.getStyler());
    chart.getStyler().setLegendVisible(false);
    chart.getStyler().setLabelsVisible(true);
    chart.getStyler().setLabelsFont(ChartStyle.FONT);
    chart.getStyler().setAvailableSpaceFill(0.7);
    chart.getStyler().setXAxisDecimalPattern("0.##");
    double most = entries.stream().mapToDouble(Entry::giga).max().orElse(1);
    chart.getStyler().setXAxisMin(0.0).setXAxisMax(most > 0 ? most * 1.05 : 1);
    chart.getStyler().setYAxisLabelAlignment(TextAlignment.Right);
    chart
        .getStyler()
        .setXAxisMaxLabelCount(Math.max(2, entries.size())); // of the categories, which are on y
    chart
        .addSeries(
            "multiply-adds",
            entries.stream().map(Entry::giga).toList(),
            entries.stream().map(Entry::name).toList())
        .setFillColor(ChartStyle.colour(0));
    return chart;
  }

  private static IChart bubbles(
      List<Entry> entries, String title, String cost, ToDoubleFunction<Entry> x) {
    BubbleChart chart =
        new BubbleChartBuilder()
            .width(WIDTH)
            .height(560)
            .title(title + " (area: number of parameters)")
            .xAxisTitle(cost)
            .yAxisTitle("published top-1 accuracy, %")
            .build();
    ChartStyle.apply(chart.getStyler());
    chart.getStyler().setAnnotationTextFont(ChartStyle.FONT.deriveFont(12f));
    chart.getStyler().setAnnotationTextFontColor(new Color(0x333333));
    double most = entries.stream().mapToDouble(x).max().orElse(1);
    double least = entries.stream().mapToDouble(e -> e.top1.orElseThrow()).min().orElse(0);
    double best = entries.stream().mapToDouble(e -> e.top1.orElseThrow()).max().orElse(1);
    double room = Math.max(1, (best - least) * 0.15);
    chart.getStyler().setXAxisMin(0.0).setXAxisMax(most * 1.15);
    chart.getStyler().setYAxisMin(Math.floor(least - room)).setYAxisMax(Math.ceil(best + room));
    var families = new LinkedHashMap<String, List<Entry>>();
    entries.forEach(e -> families.computeIfAbsent(e.family, _ -> new ArrayList<>()).add(e));
    int number = 0;
    for (var family : families.entrySet()) {
      Color colour = ChartStyle.colour(number++);
      BubbleSeries series =
          chart.addSeries(
              family.getKey(),
              family.getValue().stream().map(x::applyAsDouble).toList(),
              family.getValue().stream().map(e -> e.top1.orElseThrow()).toList(),
              family.getValue().stream().map(CostChart::diameter).toList());
      series.setFillColor(new Color(colour.getRed(), colour.getGreen(), colour.getBlue(), 150));
      series.setLineColor(colour);
    }
    var scale =
        new Scale(
            PLOT_WIDTH / (most * 1.15),
            PLOT_HEIGHT / (Math.ceil(best + room) - Math.floor(least - room)));
    for (Label label : labels(entries, x, scale)) {
      chart.addAnnotation(
          new AnnotationText(label.text, label.x / scale.x, label.y / scale.y, false));
    }
    return chart;
  }

  /** Pixels for each unit of the axes. */
  private record Scale(double x, double y) {}

  /** Words around a point, in pixels from the axes' origin, upwards. */
  private record Label(String text, double x, double y) {
    private double halfWidth() {
      return text.length() * 3.5 + 2;
    }

    private boolean hits(Label other) {
      return Math.abs(x - other.x) < halfWidth() + other.halfWidth()
          && Math.abs(y - other.y) < LINE;
    }

    private boolean hits(double bubbleX, double bubbleY, double radius) {
      return Math.abs(x - bubbleX) < halfWidth() + radius
          && Math.abs(y - bubbleY) < LINE / 2 + radius;
    }
  }

  /** Names beside their bubbles, where they cover neither another name nor another bubble. */
  private static List<Label> labels(
      List<Entry> entries, ToDoubleFunction<Entry> cost, Scale scale) {
    var placed = new ArrayList<Label>();
    for (Entry entry : entries) {
      double x = cost.applyAsDouble(entry) * scale.x;
      double y = entry.top1.orElseThrow() * scale.y;
      double radius = diameter(entry) / 2;
      double side = radius + entry.name.length() * 3.5 + 14;
      double far = radius + LINE;
      Label best = new Label(entry.name, x, y - far);
      long fewest = Long.MAX_VALUE;
      for (double[] step :
          new double[][] {
            {0, -far},
            {0, far},
            {side, 0},
            {-side, 0},
            {side, -LINE},
            {side, LINE},
            {0, -far - LINE},
            {0, far + LINE},
            {-side, LINE},
            {-side, -LINE},
            {0, -far - 2 * LINE}
          }) {
        var label = new Label(entry.name, x + step[0], y + step[1]);
        long hits =
            placed.stream().filter(label::hits).count()
                + entries.stream()
                    .filter(other ->
                        label.hits(
                            cost.applyAsDouble(other) * scale.x,
                            other.top1.orElseThrow() * scale.y,
                            diameter(other) / 2))
                    .count();
        if (hits < fewest) {
          fewest = hits;
          best = label;
        }
      }
      placed.add(best);
    }
    return placed;
  }

  /** In pixels, the area as the parameters. */
  private static double diameter(Entry entry) {
    return 4.2 * Math.sqrt(entry.parameters / 1e6);
  }
}
