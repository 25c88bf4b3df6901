package io.github.resnet4j.figures;

import io.github.resnet4j.inspect.TensorStatistics;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.util.Locale;
import java.util.SequencedMap;
import java.util.stream.IntStream;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;

/** Draws a sheet of small histograms, one per tensor. */
public final class HistogramSheet {
  private static final int WIDTH = 230;
  private static final int HEIGHT = 150;
  private static final int COLUMNS = 4;

  private HistogramSheet() {}

  /** Draws the histograms in iteration order, with the tensors' names as titles. */
  public static BufferedImage draw(SequencedMap<String, TensorStatistics> tensors) {
    int columns = Math.clamp(tensors.size(), 1, COLUMNS);
    int rows = Math.max(1, Math.ceilDiv(tensors.size(), columns));
    var image = new BufferedImage(columns * WIDTH, rows * HEIGHT, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setColor(Color.WHITE);
    graphics.fillRect(0, 0, image.getWidth(), image.getHeight());
    int number = 0;
    for (var tensor : tensors.entrySet()) {
      Graphics2D cell = (Graphics2D) graphics.create();
      cell.translate(number % columns * WIDTH, number / columns * HEIGHT);
      chart(tensor.getKey(), tensor.getValue()).paint(cell, WIDTH, HEIGHT);
      cell.dispose();
      number++;
    }
    graphics.dispose();
    return image;
  }

  private static CategoryChart chart(String name, TensorStatistics statistics) {
    CategoryChart chart =
        new CategoryChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(name)
            .xAxisTitle(
                String.format(
                    Locale.ROOT,
                    "%.3g … %.3g, σ %.2g",
                    statistics.min(),
                    statistics.max(),
                    statistics.deviation()))
            .build();
    ChartStyle.apply(chart.getStyler());
    chart.getStyler().setChartTitleFont(ChartStyle.FONT.deriveFont(Font.BOLD, 11f));
    chart.getStyler().setAxisTitleFont(ChartStyle.FONT.deriveFont(10f));
    chart.getStyler().setLegendVisible(false);
    chart.getStyler().setXAxisTicksVisible(false);
    chart.getStyler().setYAxisTicksVisible(false);
    chart.getStyler().setPlotGridLinesVisible(false);
    chart.getStyler().setAvailableSpaceFill(1);
    chart.getStyler().setChartPadding(6);
    long[] counts = statistics.histogram();
    chart
        .addSeries(
            name,
            IntStream.range(0, counts.length).asDoubleStream().toArray(),
            IntStream.range(0, counts.length).mapToDouble(i -> counts[i]).toArray())
        .setFillColor(ChartStyle.colour(0));
    return chart;
  }
}
