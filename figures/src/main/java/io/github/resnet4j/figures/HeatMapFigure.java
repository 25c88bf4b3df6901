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

/** Draws the network's input, the heat map over it, and the predictions, side by side. */
public final class HeatMapFigure {
  private static final int SIDE = 336;
  private static final int MARGIN = 16;
  private static final int PANEL = 330;

  /** Matplotlib's color map "inferno" in eight steps; its brightness increases monotonically. */
  private static final int[] INFERNO = {
    0x000004, 0x280B54, 0x65156E, 0x9F2A63, 0xD44842, 0xF57D15, 0xFAC127, 0xFCFFA4
  };

  private HeatMapFigure() {}

  /**
   * Draws the figure.
   *
   * @param input the resized and cropped pixels
   * @param values the heat map of the same size, from 0 to 1, {@code [H, W]}
   * @param title the title of the heat map
   * @param predictions the most probable first
   */
  public static BufferedImage draw(
      Pixels input, Tensor values, String title, List<Prediction> predictions) {
    BufferedImage plain = FigureFile.image(input);
    BufferedImage blended = blended(plain, values);
    double scale = (double) SIDE / Math.max(input.width(), input.height());
    int width = (int) Math.round(input.width() * scale);
    int height = (int) Math.round(input.height() * scale);
    var image =
        new BufferedImage(
            2 * width + PANEL + 4 * MARGIN, height + 2 * MARGIN + 30, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    graphics.setRenderingHint(
        RenderingHints.KEY_INTERPOLATION,
        scale > 3
            ? RenderingHints.VALUE_INTERPOLATION_NEAREST_NEIGHBOR // show small inputs as pixels
            : RenderingHints.VALUE_INTERPOLATION_BICUBIC);
    graphics.setColor(Color.WHITE);
    graphics.fillRect(0, 0, image.getWidth(), image.getHeight());
    graphics.drawImage(plain, MARGIN, MARGIN + 30, width, height, null);
    graphics.setRenderingHint(
        RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BICUBIC);
    graphics.drawImage(blended, 2 * MARGIN + width, MARGIN + 30, width, height, null);
    var plainFont = new Font(Font.SANS_SERIF, Font.PLAIN, 14);
    graphics.setColor(Color.BLACK);
    graphics.setFont(plainFont.deriveFont(Font.BOLD));
    graphics.drawString("Network input", MARGIN, MARGIN + 16);
    graphics.drawString(shortened(title, width + PANEL, graphics), 2 * MARGIN + width, MARGIN + 16);
    graphics.setFont(plainFont);
    int left = 3 * MARGIN + 2 * width;
    int y = MARGIN + 30;
    for (Prediction prediction : predictions) {
      if (y + 40 > image.getHeight()) {
        break;
      }
      graphics.setColor(Color.BLACK);
      graphics.drawString(shortened(prediction.label(), PANEL - 80, graphics), left, y + 14);
      String percent = String.format(Locale.ROOT, "%.1f %%", 100 * prediction.probability());
      int length = graphics.getFontMetrics().stringWidth(percent);
      graphics.drawString(percent, left + PANEL - length, y + 14);
      graphics.setColor(new Color(0xE9ECEF));
      graphics.fillRect(left, y + 20, PANEL, 8);
      graphics.setColor(new Color(0x0072B2));
      graphics.fillRect(left, y + 20, Math.round(PANEL * prediction.probability()), 8);
      y += 44;
    }
    graphics.dispose();
    return image;
  }

  private static String shortened(String text, int width, Graphics2D graphics) {
    String shown = text;
    while (shown.length() > 2 && graphics.getFontMetrics().stringWidth(shown) > width) {
      shown = shown.substring(0, shown.length() - 2) + "…";
    }
    return shown;
  }

  /** Blends the heat map over the image; larger values are more opaque. */
  private static BufferedImage blended(BufferedImage plain, Tensor values) {
    var blended =
        new BufferedImage(plain.getWidth(), plain.getHeight(), BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < plain.getHeight(); y++) {
      for (int x = 0; x < plain.getWidth(); x++) {
        float value = Math.clamp(values.data()[y * plain.getWidth() + x], 0f, 1f);
        int rgb = plain.getRGB(x, y);
        // The image in gray, so that its colors are not mistaken for the heat map's.
        int gray = ((rgb >> 16 & 0xff) * 299 + (rgb >> 8 & 0xff) * 587 + (rgb & 0xff) * 114) / 1000;
        float heat = 0.25f + 0.5f * value;
        blended.setRGB(x, y, blend(gray << 16 | gray << 8 | gray, colour(value), heat));
      }
    }
    return blended;
  }

  /**
   * Returns the heat map as a transparent overlay; larger values are more opaque.
   *
   * @param values the heat map, from 0 to 1, {@code [H, W]}
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
    int index = Math.min(INFERNO.length - 2, (int) at);
    return blend(INFERNO[index], INFERNO[index + 1], at - index);
  }

  private static int blend(int from, int to, float fraction) {
    int mixed = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
      int a = from >> shift & 0xff;
      int b = to >> shift & 0xff;
      mixed |= Math.round(a + (b - a) * fraction) << shift;
    }
    return mixed;
  }
}
