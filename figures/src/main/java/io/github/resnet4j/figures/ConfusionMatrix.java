package io.github.resnet4j.figures;

import io.github.resnet4j.train.SingleLabelEvaluation;
import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.util.Arrays;
import java.util.List;

/**
 * Draws a confusion matrix: one row per true class, one column per predicted class. The color of a
 * cell shows its fraction of the row: darker means more; errors are orange. With up to 60 classes,
 * names and counts are written; with more, each cell is a few pixels.
 */
public final class ConfusionMatrix {
  private static final int MAX_NAMED_CLASSES = 60;
  private static final int MAX_NAME_LENGTH = 24;
  private static final int MARGIN = 12;
  private static final int AXIS_LABEL_HEIGHT = 28;
  private static final int TITLE_HEIGHT = 44;
  private static final String TITLE = "Confusion matrix";
  private static final String PREDICTED = "predicted class";
  private static final String TRUE = "true class";
  private static final Font AXIS_FONT = new Font(Font.SANS_SERIF, Font.PLAIN, 13);
  private static final Font TITLE_FONT = new Font(Font.SANS_SERIF, Font.BOLD, 15);
  private static final Color CORRECT = new Color(0x0072B2);
  private static final Color WRONG = new Color(0xD55E00);

  private ConfusionMatrix() {}

  /** Draws the confusion matrix of an evaluation. */
  public static BufferedImage draw(SingleLabelEvaluation evaluation) {
    int classes = evaluation.classes().size();
    boolean named = classes <= MAX_NAMED_CLASSES;
    int cell = named ? Math.max(26, Math.min(56, 900 / classes)) : Math.max(1, 1200 / classes);
    var font = new Font(Font.SANS_SERIF, Font.PLAIN, Math.min(14, Math.max(10, cell * 2 / 5)));
    List<String> names = evaluation.classes().stream().map(ConfusionMatrix::shortened).toList();
    Graphics2D ruler = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB).createGraphics();
    int label = // space for the axis label and the class names
        AXIS_LABEL_HEIGHT
            + (named
                ? names.stream().mapToInt(ruler.getFontMetrics(font)::stringWidth).max().orElse(0)
                    + 8
                : 0);
    int side = cell * classes;
    int titleWidth = ruler.getFontMetrics(TITLE_FONT).stringWidth(TITLE) + MARGIN;
    int left = MARGIN + Math.max(label, titleWidth - side); // keep space for the title
    int top = TITLE_HEIGHT + Math.max(label, AXIS_LABEL_HEIGHT);
    int margin = MARGIN;
    var image =
        new BufferedImage(left + side + margin, top + side + margin, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    graphics.setColor(Color.WHITE);
    graphics.fillRect(0, 0, image.getWidth(), image.getHeight());
    for (int truth = 0; truth < classes; truth++) {
      long all = Math.max(1, evaluation.count(truth));
      for (int predicted = 0; predicted < classes; predicted++) {
        long count = evaluation.confusion()[truth][predicted];
        double fraction = (double) count / all;
        graphics.setColor(
            blend(truth == predicted ? CORRECT : WRONG, count == 0 ? 0 : 0.15 + 0.85 * fraction));
        graphics.fillRect(left + predicted * cell, top + truth * cell, cell, cell);
        if (named && count > 0) {
          graphics.setFont(shrinkToFit(graphics, font, String.valueOf(count), cell - 4));
          graphics.setColor(fraction > 0.5 ? Color.WHITE : Color.BLACK);
          drawCentred(
              graphics,
              String.valueOf(count),
              left + predicted * cell + cell / 2,
              top + truth * cell,
              cell);
        }
      }
    }
    graphics.setColor(new Color(0xDDDDDD));
    for (int i = 0; named && i <= classes; i++) {
      graphics.drawLine(left, top + i * cell, left + side, top + i * cell);
      graphics.drawLine(left + i * cell, top, left + i * cell, top + side);
    }
    graphics.setColor(Color.BLACK);
    graphics.setFont(font);
    FontMetrics metrics = graphics.getFontMetrics();
    for (int i = 0; named && i < classes; i++) {
      String name = names.get(i);
      int middle = i * cell + cell / 2 + metrics.getAscent() / 2 - 1;
      graphics.drawString(name, left - 8 - metrics.stringWidth(name), top + middle);
      drawRotated(graphics, name, left + middle, top - 8);
    }
    graphics.setFont(TITLE_FONT);
    graphics.drawString(TITLE, MARGIN, MARGIN + graphics.getFontMetrics().getAscent());
    graphics.setFont(AXIS_FONT);
    metrics = graphics.getFontMetrics();
    int half = metrics.stringWidth(PREDICTED) / 2;
    int middle = Math.min(left + side / 2, image.getWidth() - MARGIN - half);
    graphics.drawString(PREDICTED, middle - half, TITLE_HEIGHT + metrics.getAscent());
    drawRotated(
        graphics,
        TRUE,
        MARGIN + metrics.getAscent(),
        top + side / 2 + metrics.stringWidth(TRUE) / 2);
    graphics.dispose();
    return image;
  }

  private static String shortened(String name) {
    return name.length() <= MAX_NAME_LENGTH ? name : name.substring(0, MAX_NAME_LENGTH - 1) + "…";
  }

  private static Font shrinkToFit(Graphics2D graphics, Font font, String text, int width) {
    Font smaller = font;
    while (graphics.getFontMetrics(smaller).stringWidth(text) > width && smaller.getSize() > 6) {
      smaller = smaller.deriveFont(smaller.getSize() - 1f);
    }
    return smaller;
  }

  private static void drawCentred(Graphics2D graphics, String text, int x, int top, int height) {
    FontMetrics metrics = graphics.getFontMetrics();
    graphics.drawString(
        text,
        x - metrics.stringWidth(text) / 2,
        top + (height + metrics.getAscent() - metrics.getDescent()) / 2);
  }

  private static void drawRotated(Graphics2D graphics, String text, int x, int y) {
    var before = graphics.getTransform();
    graphics.translate(x, y);
    graphics.rotate(-Math.PI / 2);
    graphics.drawString(text, 0, 0);
    graphics.setTransform(before);
  }

  private static Color blend(Color colour, double fraction) {
    int[] rgb = {colour.getRed(), colour.getGreen(), colour.getBlue()};
    int[] mixed = Arrays.stream(rgb).map(c -> (int) (255 + (c - 255) * fraction)).toArray();
    return new Color(mixed[0], mixed[1], mixed[2]);
  }
}
