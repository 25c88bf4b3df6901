package io.github.resnet4j.figures;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.figures.LineChart.Line;
import io.github.resnet4j.figures.LineChart.Scale;
import io.github.resnet4j.figures.LineChart.Stroke;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The structure of charts: axes, ticks, titles, extreme values. */
class ChartTest {
  private static final double[] EXTREME = {
    0,
    -0.0,
    1,
    -1,
    1e300,
    -1e300,
    Double.MAX_VALUE,
    -Double.MAX_VALUE,
    Double.MIN_VALUE,
    1e-300,
    Double.NaN,
    Double.POSITIVE_INFINITY,
    Double.NEGATIVE_INFINITY,
    7e21,
    1e-12,
    2.3,
    0.1,
    1e12
  };

  private static Line line(String name, double... values) {
    return new Line(
        name,
        IntStream.rangeClosed(1, values.length).mapToObj(i -> (double) i).toList(),
        Arrays.stream(values).boxed().toList(),
        Stroke.SOLID);
  }

  private static LineChart chart(Line... lines) {
    return new LineChart("Loss", "epoch", "cross-entropy", List.of(lines));
  }

  /** Charts with any values, few or many, on either axis, are drawn in limited time. */
  @Test
  void anyValuesAreDrawn() {
    var random = new Random(5);
    for (int round = 0; round < 60; round++) {
      int count = round < EXTREME.length ? 1 : random.nextInt(7);
      var x = new ArrayList<Double>();
      var y = new ArrayList<Double>();
      for (int i = 0; i < count; i++) {
        x.add(round % 2 == 0 ? i + 1.0 : EXTREME[random.nextInt(EXTREME.length)]);
        y.add(EXTREME[count == 1 ? round % EXTREME.length : random.nextInt(EXTREME.length)]);
      }
      var chart =
          new LineChart(
              "t",
              "x",
              "y",
              List.of(new Line("a", x, y, Stroke.SOLID)),
              round % 3 == 0 ? Scale.LOGARITHMIC : Scale.LINEAR);
      String svg =
          assertTimeoutPreemptively(Duration.ofSeconds(20), chart::toSvg, () -> x + " " + y);
      assertFalse(svg.contains("NaN"), () -> x + " " + y);
      assertTrue(svg.contains("</svg>"));
    }
  }

  @Test
  void divergedEpochDoesNotCompressTheOthers() throws IOException {
    double[] losses = IntStream.range(0, 30).mapToDouble(i -> 2.3 / (1 + i)).toArray();
    Axis typical = Axis.of(losses);
    assertFalse(typical.clipped());
    losses[20] = 7e21;
    Axis axis = Axis.of(losses);
    assertTrue(axis.clipped());
    assertEquals(typical.max(), axis.max(), 0.01);
    String title = chart(line("loss", losses)).chart().getYAxisTitle();
    assertTrue(title.startsWith("cross-entropy, clipped at "), title);
  }

  private static final String CURVE = "0,114,178";
  private static final String AXIS = "130,130,130";

  /** The start x of the lines of a color in an SVG; for an axis, those of its ticks. */
  private static double[] lines(String svg, String colour) {
    return Pattern.compile(
            "<line style=\"[^\"]*rgb\\("
                + colour
                + "\\)[^\"]*\" x1=\"(\\S+)\" x2=\"(\\S+)\" y1=\"(\\S+)\" y2=\"(\\S+)\"")
        .matcher(svg)
        .results()
        .map(found ->
            IntStream.rangeClosed(1, 4)
                .mapToDouble(i -> Double.parseDouble(found.group(i)))
                .toArray())
        .filter(
            line -> colour.equals(CURVE) || line[0] == line[1] && Math.abs(line[2] - line[3]) < 5)
        .mapToDouble(line -> line[0])
        .sorted()
        .toArray();
  }

  @Test
  void epochTicksAreIntegersWithoutOverlap() throws IOException {
    for (int epochs : List.of(2, 3, 5, 10, 30, 164, 600)) {
      double[] values = IntStream.range(0, epochs).mapToDouble(i -> i % 7 + 0.5).toArray();
      String svg = chart(line("a", values)).toSvg();
      double[] curve = lines(svg, CURVE); // a line from each epoch to the next
      double first = curve[0];
      double each = epochs > 2 ? (curve[curve.length - 1] - first) / (epochs - 2) : 1000;
      double[] ticks = lines(svg, AXIS);
      String all = epochs + ": " + Arrays.toString(ticks);
      for (int i = 0; i < ticks.length; i++) {
        assertTrue(i == 0 || ticks[i] - ticks[i - 1] >= 30, all);
        double epoch = (ticks[i] - first) / each;
        assertTrue(epochs == 2 || each * Math.abs(epoch - Math.rint(epoch)) < 1, all); // pixels
      }
      assertTrue(ticks.length > 1 && ticks.length < 16, all);
    }
  }

  /** Few or many epochs, wide or narrow: integer labels, and at least two ticks. */
  @Test
  void epochTicksAreLabelledBesideALegend() throws IOException {
    for (int epochs : List.of(2, 3, 5, 10, 20, 30, 90, 164, 600)) {
      double[] values = IntStream.range(0, epochs).mapToDouble(i -> i % 7 + 0.5).toArray();
      var chart = chart(line("residual, training", values), line("residual, validation", values));
      for (String svg : List.of(chart.toSvg(), chart.toNarrowSvg())) {
        assertTrue(lines(svg, AXIS).length > 1, () -> epochs + " epochs have no ticks");
      }
      var labels = chart.chart().getStyler().getXAxisTickLabelsFormattingFunction();
      assertEquals("", labels.apply(1.5).replace('\u00a0', ' ').strip());
      assertEquals("2", labels.apply(2.0));
    }
  }

  /** Applies to every chart, since all are written the same way. */
  @Test
  void chartsAdaptToLightAndDarkPages() throws IOException {
    String svg = chart(line("a", 1, 2)).toSvg();
    assertTrue(svg.contains("@media (prefers-color-scheme: dark)"));
    var drawn =
        Pattern.compile("(?:fill|stroke):(rgb\\([\\d,]+\\));")
            .matcher(svg)
            .results()
            .map(found -> found.group(1))
            .collect(Collectors.toSet());
    assertTrue(drawn.contains("rgb(255,255,255)") && drawn.size() > 3, drawn.toString());
    for (String color : drawn) {
      assertTrue(svg.contains("svg [style*=\"fill:" + color + "\"] { fill: #"), color);
    }
  }

  @Test
  void chartsHaveTitlesAndSmallValuesAreLabelled() {
    var chart = chart(line("rate", 1e-5, 5e-5, 2e-5)).chart();
    assertEquals("Loss", chart.getTitle());
    assertEquals("epoch", chart.getXAxisTitle());
    assertEquals("cross-entropy", chart.getYAxisTitle());
    Axis axis = Axis.of(1e-5, 5e-5, 2e-5);
    assertEquals("4e-5", axis.label(4e-5));
    assertEquals("0", axis.label(0));
    assertEquals("0.3", Axis.of(0.1, 0.5).label(0.1 + 0.2));
    assertEquals("1.5e6", Axis.of(1e6, 2e6).label(1.5e6));
  }

  @Test
  void barsStartAtTheAxis(@TempDir Path folder) throws IOException {
    var entries =
        List.of(
            new CostChart.Entry(
                "a", "f", 1, 2_000_000_000L, OptionalDouble.empty(), OptionalDouble.empty()),
            new CostChart.Entry(
                "a_long_name",
                "f",
                1,
                4_000_000_000L,
                OptionalDouble.empty(),
                OptionalDouble.empty()));
    CostChart.write(entries, folder, "c");
    var image = ImageIO.read(folder.resolve("c-cost.png").toFile());
    int blue = 0x0072B2;
    int row =
        IntStream.range(0, image.getHeight())
            .filter(y -> has(image, y, blue))
            .findFirst()
            .orElseThrow();
    int first =
        IntStream.range(0, image.getWidth())
            .filter(x -> (image.getRGB(x, row + 2) & 0xffffff) == blue)
            .findFirst()
            .orElseThrow();
    // Left of it: at most some pixels to the axis's line, then space, then the names.
    int axis =
        IntStream.iterate(first - 1, x -> x > 0, x -> x - 1)
            .filter(x -> new Color(image.getRGB(x, row + 2)).getRed() < 200)
            .findFirst()
            .orElseThrow();
    assertTrue(first - axis <= 6, "the bar begins at " + first + ", the axis is at " + axis);
    int gap = 0;
    for (int x = axis - 10; x < axis - 4; x++) { // beyond the tick
      int column = x;
      boolean free =
          IntStream.range(60, image.getHeight() - 40)
              .allMatch(y -> new Color(image.getRGB(column, y)).getRed() > 200);
      gap += free ? 1 : 0;
    }
    assertTrue(gap >= 4, "names touch the axis");
  }

  private static boolean has(java.awt.image.BufferedImage image, int y, int rgb) {
    return IntStream.range(0, image.getWidth())
        .anyMatch(x -> (image.getRGB(x, y) & 0xffffff) == rgb);
  }
}
