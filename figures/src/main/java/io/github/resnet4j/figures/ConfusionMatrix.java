package io.github.resnet4j.figures;

import io.github.resnet4j.train.Evaluation;
import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.util.Arrays;
import java.util.List;

/**
 * A confusion matrix as an image: a row for each true class, a column for each predicted one. A
 * cell is the darker the larger its part of the row is; errors are orange. Up to 60 classes their
 * names and counts are written, beyond that it is a map of pixels.
 */
public final class ConfusionMatrix {
  private static final int MOST_NAMED = 60;
  private static final int LONGEST_NAME = 24;
  private static final int MARGIN = 12;
  private static final int AXIS_NAME = 28;
  private static final int TITLE_HEIGHT = 44;
  private static final String TITLE = "Confusion matrix";
  private static final String PREDICTED = "predicted class";
  private static final String TRUE = "true class";
  private static final Font AXIS_FONT = new Font(Font.SANS_SERIF, Font.PLAIN, 13);
  private static final Font TITLE_FONT = new Font(Font.SANS_SERIF, Font.BOLD, 15);
  private static final Color RIGHT = new Color(0x0072B2);
  private static final Color WRONG = new Color(0xD55E00);

  private ConfusionMatrix() {}

  /** Draws it. */
  public static BufferedImage draw(Evaluation found) {
    int classes = found.classes().size();
    boolean named = classes <= MOST_NAMED;
    int cell = named ? Math.max(26, Math.min(56, 900 / classes)) : Math.max(1, 1200 / classes);
    var font = new Font(Font.SANS_SERIF, Font.PLAIN, Math.min(14, Math.max(10, cell * 2 / 5)));
    List<String> names = found.classes().stream().map(ConfusionMatrix::shortened).toList();
    Graphics2D ruler = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB).createGraphics();
    int label = // room for an axis's name and the classes' names along it
        AXIS_NAME
            + (named
                ? names.stream().mapToInt(ruler.getFontMetrics(font)::stringWidth).max().orElse(0)
                    + 8
                : 0);
    int side = cell * classes;
    int wide = ruler.getFontMetrics(TITLE_FONT).stringWidth(TITLE) + MARGIN;
    int left = MARGIN + Math.max(label, wide - side); // a small matrix leaves room for the title
    int top = TITLE_HEIGHT + Math.max(label, AXIS_NAME);
    int margin = MARGIN;
    var image =
        new BufferedImage(left + side + margin, top + side + margin, BufferedImage.TYPE_INT_RGB);
    Graphics2D pen = image.createGraphics();
    pen.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    pen.setColor(Color.WHITE);
    pen.fillRect(0, 0, image.getWidth(), image.getHeight());
    for (int truth = 0; truth < classes; truth++) {
      long all = Math.max(1, found.count(truth));
      for (int taken = 0; taken < classes; taken++) {
        long count = found.confusion()[truth][taken];
        double part = (double) count / all;
        pen.setColor(blend(truth == taken ? RIGHT : WRONG, count == 0 ? 0 : 0.15 + 0.85 * part));
        pen.fillRect(left + taken * cell, top + truth * cell, cell, cell);
        if (named && count > 0) {
          pen.setFont(fitting(pen, font, String.valueOf(count), cell - 4));
          pen.setColor(part > 0.5 ? Color.WHITE : Color.BLACK);
          centred(
              pen, String.valueOf(count), left + taken * cell + cell / 2, top + truth * cell, cell);
        }
      }
    }
    pen.setColor(new Color(0xDDDDDD));
    for (int i = 0; named && i <= classes; i++) {
      pen.drawLine(left, top + i * cell, left + side, top + i * cell);
      pen.drawLine(left + i * cell, top, left + i * cell, top + side);
    }
    pen.setColor(Color.BLACK);
    pen.setFont(font);
    FontMetrics metrics = pen.getFontMetrics();
    for (int i = 0; named && i < classes; i++) {
      String name = names.get(i);
      int middle = i * cell + cell / 2 + metrics.getAscent() / 2 - 1;
      pen.drawString(name, left - 8 - metrics.stringWidth(name), top + middle);
      upwards(pen, name, left + middle, top - 8);
    }
    pen.setFont(TITLE_FONT);
    pen.drawString(TITLE, MARGIN, MARGIN + pen.getFontMetrics().getAscent());
    pen.setFont(AXIS_FONT);
    metrics = pen.getFontMetrics();
    int half = metrics.stringWidth(PREDICTED) / 2;
    int middle = Math.min(left + side / 2, image.getWidth() - MARGIN - half);
    pen.drawString(PREDICTED, middle - half, TITLE_HEIGHT + metrics.getAscent());
    upwards(
        pen, TRUE, MARGIN + metrics.getAscent(), top + side / 2 + metrics.stringWidth(TRUE) / 2);
    pen.dispose();
    return image;
  }

  private static String shortened(String name) {
    return name.length() <= LONGEST_NAME ? name : name.substring(0, LONGEST_NAME - 1) + "…";
  }

  private static Font fitting(Graphics2D pen, Font font, String text, int width) {
    Font smaller = font;
    while (pen.getFontMetrics(smaller).stringWidth(text) > width && smaller.getSize() > 6) {
      smaller = smaller.deriveFont(smaller.getSize() - 1f);
    }
    return smaller;
  }

  private static void centred(Graphics2D pen, String text, int x, int top, int height) {
    FontMetrics metrics = pen.getFontMetrics();
    pen.drawString(
        text,
        x - metrics.stringWidth(text) / 2,
        top + (height + metrics.getAscent() - metrics.getDescent()) / 2);
  }

  private static void upwards(Graphics2D pen, String text, int x, int y) {
    var before = pen.getTransform();
    pen.translate(x, y);
    pen.rotate(-Math.PI / 2);
    pen.drawString(text, 0, 0);
    pen.setTransform(before);
  }

  private static Color blend(Color colour, double part) {
    int[] rgb = {colour.getRed(), colour.getGreen(), colour.getBlue()};
    int[] mixed = Arrays.stream(rgb).map(c -> (int) (255 + (c - 255) * part)).toArray();
    return new Color(mixed[0], mixed[1], mixed[2]);
  }
}
