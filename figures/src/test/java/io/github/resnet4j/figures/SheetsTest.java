package io.github.resnet4j.figures;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Prediction;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.inspect.TensorStatistics;
import io.github.resnet4j.tensor.Tensor;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Contact sheets and heat map figures: every image is at its place. */
class SheetsTest {
  @TempDir private Path folder;

  private static int brightness(int rgb) {
    return (rgb >> 16 & 0xff) + (rgb >> 8 & 0xff) + (rgb & 0xff);
  }

  @Test
  void heatMapIsBrightWhereValuesAreLarge() {
    var gray = new Pixels(100, 100, 1, new byte[100 * 100]); // black
    Tensor values = Tensor.zeros(100, 100);
    for (int y = 60; y < 90; y++) {
      for (int x = 10; x < 40; x++) {
        values.data()[y * 100 + x] = 1;
      }
    }
    BufferedImage image =
        HeatMapFigure.draw(gray, values, "why", List.of(new Prediction(0, "a", 0.75f)));
    // The second image begins after a margin, the first image and another margin.
    int left = 16 + 336 + 16;
    int top = 46;
    int hot = image.getRGB(left + 336 / 4, top + 336 * 3 / 4);
    int cold = image.getRGB(left + 336 * 3 / 4, top + 336 / 4);
    assertTrue(brightness(hot) > 300 && brightness(cold) < 30, hot + " " + cold);
    // Three quarters of the panel are the bar of 75 %.
    int row = top + 24;
    int panel = left + 336 + 16;
    assertEquals(0x0072B2, image.getRGB(panel + 240, row) & 0xffffff);
    assertEquals(0xE9ECEF, image.getRGB(panel + 255, row) & 0xffffff);
  }

  @Test
  void contactSheetShowsAllImagesAndFramesTheFirst() {
    byte[] red = new byte[30];
    for (int i = 0; i < 30; i += 3) {
      red[i] = (byte) 255;
    }
    var entry = new ContactSheet.Entry(new Pixels(10, 1, 3, red), "t", "c".repeat(200));
    BufferedImage image = ContactSheet.drawQuery(Collections.nCopies(7, entry));
    assertEquals(5 * 184 + 16, image.getWidth());
    assertEquals(2 * 220 + 16, image.getHeight());
    assertEquals(0xD55E00, image.getRGB(16 - 3, 100) & 0xffffff);
    for (int i = 0; i < 7; i++) {
      int x = 16 + i % 5 * 184 + 84;
      int y = 16 + i / 5 * 220 + 84;
      assertEquals(0xff0000, image.getRGB(x, y) & 0xffffff, "image " + i);
    }
  }

  @Test
  void histogramsAreDrawn() {
    var random = new Random(1);
    Tensor tensor = Tensor.zeros(1000);
    for (int i = 0; i < 1000; i++) {
      tensor.data()[i] = (float) random.nextGaussian();
    }
    var sheet = new LinkedHashMap<String, TensorStatistics>();
    for (int i = 0; i < 5; i++) {
      sheet.put("layer" + i, TensorStatistics.of(tensor));
    }
    BufferedImage image = HistogramSheet.draw(sheet);
    assertEquals(4 * 230, image.getWidth());
    assertEquals(2 * 150, image.getHeight());
    // In the middle of a chart the bars of a bell are tall.
    assertEquals(0x0072B2, image.getRGB(115, 90) & 0xffffff);
  }

  @Test
  void costChartsWithoutDataAreOmitted() throws IOException {
    var known =
        new CostChart.Entry(
            "a", "f", 10_000_000, 2_000_000_000L, OptionalDouble.of(70), OptionalDouble.of(9));
    var unknown =
        new CostChart.Entry(
            "b", "f", 20_000_000, 3_000_000_000L, OptionalDouble.empty(), OptionalDouble.of(9));
    assertEquals(
        List.of("x-cost", "x-accuracy", "x-time"),
        CostChart.write(List.of(known, unknown), folder, "x"));
    assertEquals(List.of("y-cost"), CostChart.write(List.of(unknown), folder, "y"));
    for (String name : List.of("x-cost", "x-accuracy", "x-time", "y-cost")) {
      assertTrue(Files.size(folder.resolve(name + ".png")) > 1000);
      assertTrue(Files.readString(folder.resolve(name + ".svg")).contains("<svg"));
    }
    try (var files = Files.list(folder)) {
      assertEquals(8, files.count());
    }
  }
}
