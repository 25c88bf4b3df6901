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

/** Charts that compare the cost and the accuracy of networks. */
public final class CostChart {
  private static final int WIDTH = 900;

  // The approximate size of the plot without axes and legend, used to place the labels.
  private static final double PLOT_WIDTH = WIDTH - 205;
  private static final double PLOT_HEIGHT = 475;
  private static final double LINE = 16;

  /**
   * A network.
   *
   * @param family its family; bubbles of one family have the same color
   * @param parameters the number of trainable parameters
   * @param multiplyAdds the number of multiply-adds per image
   * @param top1 the published top-1 accuracy in percent, if known
   * @param milliseconds the measured time per image in milliseconds, if known
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
   * Writes {@code NAME-cost}, a bar chart of multiply-adds; {@code NAME-accuracy}, a bubble chart
   * of accuracy over multiply-adds, if any accuracy is known; and {@code NAME-time}, the same over
   * measured time, if any is known. The area of a bubble is the number of parameters. Each chart is
   * written as PNG and SVG.
   *
   * @return the names of the charts, without file extension
   */
  public static List<String> write(List<Entry> entries, Path folder, String name)
      throws IOException {
    var charts = new LinkedHashMap<String, IChart>();
    charts.put(name + "-cost", bars(entries));
    List<Entry> known = entries.stream().filter(entry -> entry.top1.isPresent()).toList();
    if (!known.isEmpty()) {
      charts.put(
          name + "-accuracy",
          bubbles(
              known, "Accuracy and multiply-adds", "multiply-adds per image in G", Entry::giga));
    }
    List<Entry> measured = known.stream().filter(entry -> entry.milliseconds.isPresent()).toList();
    if (!measured.isEmpty()) {
      charts.put(
          name + "-time",
          bubbles(
              measured,
              "Accuracy and time",
              "time per image in ms, measured on this machine",
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
            .title("Multiply-adds per image in G (FLOPs in the papers)")
            .build();
    ChartStyle.apply(chart.getStyler());
    chart.getStyler().setLegendVisible(false);
    chart.getStyler().setLabelsVisible(true);
    chart.getStyler().setLabelsFont(ChartStyle.FONT);
    chart.getStyler().setAvailableSpaceFill(0.7);
    chart.getStyler().setXAxisDecimalPattern("0.##");
    double maxCost = entries.stream().mapToDouble(Entry::giga).max().orElse(1);
    chart.getStyler().setXAxisMin(0.0).setXAxisMax(maxCost > 0 ? maxCost * 1.05 : 1);
    chart.getStyler().setYAxisLabelAlignment(TextAlignment.Right);
    chart
        .getStyler()
        .setXAxisMaxLabelCount(Math.max(2, entries.size())); // the categories are on the y axis
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
            .yAxisTitle("published top-1 accuracy in %")
            .build();
    ChartStyle.apply(chart.getStyler());
    chart.getStyler().setAnnotationTextFont(ChartStyle.FONT.deriveFont(12f));
    chart.getStyler().setAnnotationTextFontColor(new Color(0x333333));
    double maxCost = entries.stream().mapToDouble(x).max().orElse(1);
    double lowest = entries.stream().mapToDouble(e -> e.top1.orElseThrow()).min().orElse(0);
    double highest = entries.stream().mapToDouble(e -> e.top1.orElseThrow()).max().orElse(1);
    double margin = Math.max(1, (highest - lowest) * 0.15);
    chart.getStyler().setXAxisMin(0.0).setXAxisMax(maxCost * 1.15);
    chart
        .getStyler()
        .setYAxisMin(Math.floor(lowest - margin))
        .setYAxisMax(Math.ceil(highest + margin));
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
            PLOT_WIDTH / (maxCost * 1.15),
            PLOT_HEIGHT / (Math.ceil(highest + margin) - Math.floor(lowest - margin)));
    for (Label label : labels(entries, x, scale)) {
      chart.addAnnotation(
          new AnnotationText(label.text, label.x / scale.x, label.y / scale.y, false));
    }
    return chart;
  }

  /** Pixels per unit of the axes. */
  private record Scale(double x, double y) {}

  /** A text centred at a point, in pixels from the origin of the axes, with y upwards. */
  private record Label(String text, double x, double y) {
    private double halfWidth() {
      return text.length() * 3.5 + 2;
    }

    private boolean overlaps(Label other) {
      return Math.abs(x - other.x) < halfWidth() + other.halfWidth()
          && Math.abs(y - other.y) < LINE;
    }

    private boolean overlaps(double bubbleX, double bubbleY, double radius) {
      return Math.abs(x - bubbleX) < halfWidth() + radius
          && Math.abs(y - bubbleY) < LINE / 2 + radius;
    }
  }

  /**
   * Places each name beside its bubble, with as few overlaps with other names and bubbles as
   * possible.
   */
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
      for (double[] offset :
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
        var label = new Label(entry.name, x + offset[0], y + offset[1]);
        long overlaps =
            placed.stream().filter(label::overlaps).count()
                + entries.stream()
                    .filter(other ->
                        label.overlaps(
                            cost.applyAsDouble(other) * scale.x,
                            other.top1.orElseThrow() * scale.y,
                            diameter(other) / 2))
                    .count();
        if (overlaps < fewest) {
          fewest = overlaps;
          best = label;
        }
      }
      placed.add(best);
    }
    return placed;
  }

  /** The diameter in pixels; the area is proportional to the number of parameters. */
  private static double diameter(Entry entry) {
    return 4.2 * Math.sqrt(entry.parameters / 1e6);
  }
}
