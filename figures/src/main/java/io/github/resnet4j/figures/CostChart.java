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

/** What networks cost and what they reach, side by side. */
public final class CostChart {
  private static final int WIDTH = 900;

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
          bubbles(known, "Accuracy and cost", "multiply-adds for an image, G", Entry::giga));
    }
    List<Entry> measured = known.stream().filter(entry -> entry.milliseconds.isPresent()).toList();
    if (!measured.isEmpty()) {
      charts.put(
          name + "-time",
          bubbles(
              measured,
              "Accuracy and time",
              "milliseconds for an image, measured here",
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
            .title("Multiply-adds for an image, G (FLOPs in the papers' sense)")
            .build();
    ChartStyle.apply(chart.getStyler());
    chart.getStyler().setLegendVisible(false);
    chart.getStyler().setLabelsVisible(true);
    chart.getStyler().setLabelsFont(ChartStyle.FONT);
    chart.getStyler().setAvailableSpaceFill(0.7);
    chart.getStyler().setDecimalPattern("0.00");
    chart.getStyler().setXAxisDecimalPattern("0");
    // The first network on top: bars are drawn from below.
    List<Entry> upwards = entries.reversed();
    chart
        .addSeries(
            "multiply-adds",
            upwards.stream().map(Entry::giga).toList(),
            upwards.stream().map(Entry::name).toList())
        .setFillColor(ChartStyle.colour(0));
    return chart;
  }

  private static IChart bubbles(
      List<Entry> entries, String title, String cost, ToDoubleFunction<Entry> x) {
    BubbleChart chart =
        new BubbleChartBuilder()
            .width(WIDTH)
            .height(560)
            .title(title + "; bubbles are as large as the networks")
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
      for (Entry entry : family.getValue()) {
        chart.addAnnotation(
            new AnnotationText(
                entry.name, x.applyAsDouble(entry), entry.top1.orElseThrow() - room * 0.32, false));
      }
    }
    return chart;
  }

  /** In pixels, the area as the parameters. */
  private static double diameter(Entry entry) {
    return 4.2 * Math.sqrt(entry.parameters / 1e6);
  }
}
