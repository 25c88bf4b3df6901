package io.github.resnet4j.figures;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.train.Dataset.Example;
import io.github.resnet4j.train.Metric;
import io.github.resnet4j.train.SingleLabelEvaluation;
import io.github.resnet4j.train.SingleLabelEvaluation.Outcome;
import io.github.resnet4j.train.Trainer.Epoch;
import java.awt.Color;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The content of the training report. */
class TrainingReportTest {
  @TempDir Path folder;

  private static Example example(String name, int label) {
    return new Example(name, label, () -> new Pixels(4, 2, 3, new byte[24]));
  }

  private static SingleLabelEvaluation evaluation() {
    return new SingleLabelEvaluation(
        List.of("cat", "<script>alert(1)</script>"),
        new long[][] {{3, 1}, {0, 2}},
        new long[] {4, 2},
        List.of(example("a/right.png", 0), example("a/wrong.png", 0)),
        List.of(
            new Outcome(0, 0, 0, 0.9, 0.9, new float[0]),
            new Outcome(1, 0, 1, 0.8, 0.2, new float[0])));
  }

  private static List<Epoch> epochs(double held) {
    return List.of(
        new Epoch(1, 0.1, 2, 0.5, held, held, 100, 110, 1000, Metric.ACCURACY),
        new Epoch(2, 0.05, 1, 0.8, held, held, 100, 110, 1000, Metric.ACCURACY));
  }

  @Test
  void evaluationReportShowsTheWorstErrorsFirst() throws IOException {
    var all =
        new SingleLabelEvaluation(
            List.of("cat", "<script>alert(1)</script>"),
            new long[][] {{1, 2}, {0, 0}},
            new long[] {3, 0},
            List.of(
                example("a/right.png", 0),
                example("a/broken.png", 0), // has no outcome
                example("a/wrong.png", 0),
                example("a/worst.png", 0)),
            List.of(
                new Outcome(0, 0, 0, 0.9, 0.9, new float[] {.9f, .1f}),
                new Outcome(2, 0, 1, 0.7, 0.3, new float[] {.3f, .7f}),
                new Outcome(3, 0, 1, 0.9, 0.1, new float[] {.1f, .9f})));
    Path file = folder.resolve("evaluation.html");
    EvaluationReport.write(file, "a & b", List.of("a <detail>"), all);
    String page = Files.readString(file);
    assertEquals(2, page.split("<svg", -1).length - 1); // ROC, reliability
    assertTrue(page.contains("Top-1 accuracy 33.33 %"));
    assertTrue(page.contains("a &amp; b"));
    assertTrue(page.contains("a &lt;detail&gt;"));
    assertFalse(page.contains("alert(1)</script>"));
    String own = page.replace("http://www.w3.org/", ""); // names of XML namespaces
    assertFalse(own.contains("http"), "needs nothing from the network");
    int worst = page.indexOf("a/worst.png");
    assertTrue(worst > 0 && worst < page.indexOf("a/wrong.png"));
    assertFalse(page.contains("a/right.png"));
  }

  @Test
  void reportShowsChartsMatrixAndEscapedExamples() throws IOException {
    TrainingReport.write(folder, "a & b", List.of("batch: 3"), epochs(0.7), evaluation());
    String page = Files.readString(folder.resolve("report.html"));
    assertEquals(3, page.split("<svg", -1).length - 1);
    assertTrue(page.contains("a &amp; b"));
    assertFalse(page.contains("<script>"));
    assertTrue(page.contains("right.png") && page.contains("wrong.png"));
    assertTrue(page.contains("predicted &lt;script&gt;alert(1)&lt;/script&gt; (80.0 %)"));
    assertTrue(page.contains("Top-1 accuracy <strong>83.33 %</strong>"), page);
    for (String name : List.of("loss", "accuracy", "rate")) {
      assertTrue(Files.size(folder.resolve(name + ".svg")) > 1000);
      assertEquals(400, ImageIO.read(folder.resolve(name + ".png").toFile()).getHeight());
    }
  }

  @Test
  void reportWithoutValidationImagesHasChartsOnly() throws IOException {
    var none =
        new SingleLabelEvaluation(
            List.of("a", "b"), new long[2][2], new long[2], List.of(), List.of());
    TrainingReport.write(folder, "t", List.of(), epochs(Double.NaN), none);
    String page = Files.readString(folder.resolve("report.html"));
    assertEquals(3, page.split("<svg", -1).length - 1);
    assertFalse(page.contains("validation images"));
    assertFalse(Files.exists(folder.resolve("confusion.png")));
  }

  @Test
  void cellsWithLargerFractionsAreDarker() {
    var image = ConfusionMatrix.draw(evaluation());
    int cell = 56;
    int right = image.getWidth() - 12;
    int bottom = image.getHeight() - 12;
    // Corners of the cells, away from the counts.
    var all = new Color(image.getRGB(right - cell + 4, bottom - cell + 4)); // 2 of 2
    var none = new Color(image.getRGB(right - 2 * cell + 4, bottom - cell + 4)); // 0 of 2
    var some = new Color(image.getRGB(right - cell + 4, bottom - 2 * cell + 4)); // 1 of 4
    assertEquals(Color.WHITE, none);
    assertEquals(new Color(0x0072B2), all);
    assertTrue(some.getRed() > some.getBlue(), some.toString()); // a mistake: orange
  }
}
