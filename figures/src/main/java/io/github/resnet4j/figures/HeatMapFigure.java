package io.github.resnet4j.figures;

import io.github.resnet4j.Prediction;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.tensor.Tensor;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.util.List;
import java.util.Locale;

/** A heat map over the image that the network saw, beside that image and what was said. */
public final class HeatMapFigure {
  private static final int SIDE = 336;
  private static final int MARGIN = 16;
  private static final int PANEL = 330;

  /** Matplotlib's inferno in eight steps: dark is nothing, and brightness alone tells the order. */
  private static final int[] INFERNO = {
    0x000004, 0x280B54, 0x65156E, 0x9F2A63, 0xD44842, 0xF57D15, 0xFAC127, 0xFCFFA4
  };

  private HeatMapFigure() {}

  /**
   * Draws it.
   *
   * @param seen the pixels that became the network's input
   * @param values from 0 to 1, in the same extents, {@code [H, W]}
   * @param title which class and method
   * @param predictions best first
   */
  public static BufferedImage draw(
      Pixels seen, Tensor values, String title, List<Prediction> predictions) {
    BufferedImage plain = FigureFile.image(seen);
    BufferedImage heated = heated(plain, values);
    double scale = (double) SIDE / Math.max(seen.width(), seen.height());
    int width = (int) Math.round(seen.width() * scale);
    int height = (int) Math.round(seen.height() * scale);
    var image =
        new BufferedImage(
            2 * width + PANEL + 4 * MARGIN, height + 2 * MARGIN + 30, BufferedImage.TYPE_INT_RGB);
    Graphics2D pen = image.createGraphics();
    pen.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    pen.setRenderingHint(
        RenderingHints.KEY_INTERPOLATION,
        scale > 3
            ? RenderingHints.VALUE_INTERPOLATION_NEAREST_NEIGHBOR // pixels that one can count
            : RenderingHints.VALUE_INTERPOLATION_BICUBIC);
    pen.setColor(Color.WHITE);
    pen.fillRect(0, 0, image.getWidth(), image.getHeight());
    pen.drawImage(plain, MARGIN, MARGIN + 30, width, height, null);
    pen.setRenderingHint(
        RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BICUBIC);
    pen.drawImage(heated, 2 * MARGIN + width, MARGIN + 30, width, height, null);
    var plainFont = new Font(Font.SANS_SERIF, Font.PLAIN, 14);
    pen.setColor(Color.BLACK);
    pen.setFont(plainFont.deriveFont(Font.BOLD));
    pen.drawString("what the network saw", MARGIN, MARGIN + 16);
    pen.drawString(fitting(title, width + PANEL, pen), 2 * MARGIN + width, MARGIN + 16);
    pen.setFont(plainFont);
    int left = 3 * MARGIN + 2 * width;
    int y = MARGIN + 30;
    for (Prediction prediction : predictions) {
      if (y + 40 > image.getHeight()) {
        break;
      }
      pen.setColor(Color.BLACK);
      pen.drawString(fitting(prediction.label(), PANEL - 80, pen), left, y + 14);
      String percent = String.format(Locale.ROOT, "%.1f %%", 100 * prediction.probability());
      int length = pen.getFontMetrics().stringWidth(percent);
      pen.drawString(percent, left + PANEL - length, y + 14);
      pen.setColor(new Color(0xE9ECEF));
      pen.fillRect(left, y + 20, PANEL, 8);
      pen.setColor(new Color(0x0072B2));
      pen.fillRect(left, y + 20, Math.round(PANEL * prediction.probability()), 8);
      y += 44;
    }
    pen.dispose();
    return image;
  }

  private static String fitting(String text, int width, Graphics2D pen) {
    String shown = text;
    while (shown.length() > 2 && pen.getFontMetrics().stringWidth(shown) > width) {
      shown = shown.substring(0, shown.length() - 2) + "…";
    }
    return shown;
  }

  /** The stronger the heat, the less of the image shows through. */
  private static BufferedImage heated(BufferedImage plain, Tensor values) {
    var heated = new BufferedImage(plain.getWidth(), plain.getHeight(), BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < plain.getHeight(); y++) {
      for (int x = 0; x < plain.getWidth(); x++) {
        float value = Math.clamp(values.data()[y * plain.getWidth() + x], 0f, 1f);
        int rgb = plain.getRGB(x, y);
        // The image in gray, so that its colours are not taken for heat.
        int gray = ((rgb >> 16 & 0xff) * 299 + (rgb >> 8 & 0xff) * 587 + (rgb & 0xff) * 114) / 1000;
        float heat = 0.25f + 0.5f * value;
        heated.setRGB(x, y, blend(gray << 16 | gray << 8 | gray, colour(value), heat));
      }
    }
    return heated;
  }

  /**
   * The heat alone, to lay over an image: the stronger, the less of what is below shows through.
   *
   * @param values from 0 to 1, {@code [H, W]}
   */
  public static BufferedImage overlay(Tensor values) {
    var overlay = new BufferedImage(values.dim(1), values.dim(0), BufferedImage.TYPE_INT_ARGB);
    for (int y = 0; y < overlay.getHeight(); y++) {
      for (int x = 0; x < overlay.getWidth(); x++) {
        float value = Math.clamp(values.data()[y * overlay.getWidth() + x], 0f, 1f);
        int alpha = Math.round(255 * (0.25f + 0.65f * value));
        overlay.setRGB(x, y, alpha << 24 | colour(value));
      }
    }
    return overlay;
  }

  private static int colour(float value) {
    float at = value * (INFERNO.length - 1);
    int step = Math.min(INFERNO.length - 2, (int) at);
    return blend(INFERNO[step], INFERNO[step + 1], at - step);
  }

  private static int blend(int from, int to, float part) {
    int mixed = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
      int a = from >> shift & 0xff;
      int b = to >> shift & 0xff;
      mixed |= Math.round(a + (b - a) * part) << shift;
    }
    return mixed;
  }
}
