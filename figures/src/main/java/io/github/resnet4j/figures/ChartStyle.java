package io.github.resnet4j.figures;

import java.awt.Color;
import java.awt.Font;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.VectorGraphicsEncoder;
import org.knowm.xchart.VectorGraphicsEncoder.VectorGraphicsFormat;
import org.knowm.xchart.internal.chartpart.IChart;
import org.knowm.xchart.style.AxesChartStyler;
import org.knowm.xchart.style.Styler.LegendPosition;

/** The style of all charts, and their output as files. */
final class ChartStyle {
  /** The colors of Okabe and Ito, which are distinguishable with color vision deficiency. */
  private static final List<Color> COLOURS =
      List.of(
          new Color(0x0072B2),
          new Color(0xD55E00),
          new Color(0x009E73),
          new Color(0xCC79A7),
          new Color(0x56B4E9),
          new Color(0xE69F00));

  /** Maps the colors of a chart to those on a dark page; other colors are bright enough. */
  private static final Map<String, String> ON_DARK =
      Map.of(
          "#FFFFFF", "#0D1117",
          "#000000", "#E6EDF3",
          "#333333", "#C9D1D9",
          "#DDDDDD", "#30363D",
          "#828282", "#7D8590",
          "#0072B2", "#58A6E8",
          "#D55E00", "#F58A3C",
          "#009E73", "#2FBF91");

  private static final String DARK_MODE_CSS = darkModeCss();

  static final Font FONT = new Font(Font.SANS_SERIF, Font.PLAIN, 13);

  private ChartStyle() {}

  static Color colour(int number) {
    return COLOURS.get(number % COLOURS.size());
  }

  static void apply(AxesChartStyler styler) {
    styler.setPlotGridLinesColor(new Color(0xDDDDDD));
    styler.setPlotBorderVisible(false);
    styler.setAxisTickLabelsFont(FONT);
    styler.setAxisTitleFont(FONT);
    styler.setAxisTickPadding(8);
    styler.setAxisTitlePadding(12);
    styler.setChartTitlePadding(10);
    styler.setChartPadding(14);
    // Axes start at the first value; with 1 the library omits the ticks at both ends.
    styler.setPlotContentSize(0.9999);
    styler.setChartBackgroundColor(Color.WHITE);
    styler.setChartTitleFont(FONT.deriveFont(Font.BOLD, 15f));
    styler.setChartTitleBoxVisible(false);
    styler.setLegendFont(FONT);
    styler.setLegendPosition(LegendPosition.OutsideE);
    styler.setLegendBorderColor(Color.WHITE);
  }

  /** Converts a chart to SVG that adapts to light and dark pages, like the drawings of networks. */
  static String toSvg(IChart chart) throws IOException {
    var bytes = new ByteArrayOutputStream();
    VectorGraphicsEncoder.saveVectorGraphic(chart, bytes, VectorGraphicsFormat.SVG);
    String svg = bytes.toString(StandardCharsets.UTF_8);
    int content = svg.indexOf('>', svg.indexOf("<svg")) + 1;
    return svg.substring(0, content) + "\n" + DARK_MODE_CSS + svg.substring(content);
  }

  /** The CSS for dark pages; it overrides the inline styles that the library writes. */
  private static String darkModeCss() {
    var css = new StringBuilder("<style>\n@media (prefers-color-scheme: dark) {\n");
    ON_DARK.forEach((light, dark) -> {
      Color color = Color.decode(light);
      for (String property : List.of("fill", "stroke")) {
        css.append(
            "svg [style*=\"%1$s:rgb(%2$d,%3$d,%4$d)\"] { %1$s: %5$s !important; }\n"
                .formatted(property, color.getRed(), color.getGreen(), color.getBlue(), dark));
      }
    });
    return css.append("}\n</style>").toString();
  }

  /** Writes {@code name.png} and {@code name.svg} to a folder, each atomically. */
  static void write(IChart chart, Path folder, String name) throws IOException {
    FigureFile.write(toSvg(chart).getBytes(StandardCharsets.UTF_8), folder.resolve(name + ".svg"));
    FigureFile.writePng(BitmapEncoder.getBufferedImage(chart), folder.resolve(name + ".png"));
  }
}
