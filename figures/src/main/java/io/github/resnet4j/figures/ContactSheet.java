package io.github.resnet4j.figures;

import io.github.resnet4j.image.Pixels;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.util.List;

/** Draws a grid of captioned images. */
public final class ContactSheet {
  private static final int SIDE = 168;
  private static final int GAP = 16;
  private static final int CAPTION = 36;
  private static final int COLUMNS = 5;

  /**
   * An image on the sheet.
   *
   * @param title bold, below the image
   * @param caption below the title
   */
  public record Entry(Pixels image, String title, String caption) {}

  private ContactSheet() {}

  /** Draws the sheet, with a frame around the first image. */
  public static BufferedImage drawQuery(List<Entry> entries) {
    BufferedImage image = draw(entries);
    Graphics2D graphics = image.createGraphics();
    graphics.setColor(new Color(0xD55E00));
    graphics.drawRect(GAP - 3, GAP - 3, SIDE + 5, SIDE + 5);
    graphics.drawRect(GAP - 4, GAP - 4, SIDE + 7, SIDE + 7);
    graphics.dispose();
    return image;
  }

  /** Draws the sheet. */
  public static BufferedImage draw(List<Entry> entries) {
    int columns = Math.min(COLUMNS, entries.size());
    int rows = Math.ceilDiv(entries.size(), columns);
    var image =
        new BufferedImage(
            columns * (SIDE + GAP) + GAP,
            rows * (SIDE + CAPTION + GAP) + GAP,
            BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    graphics.setColor(Color.WHITE);
    graphics.fillRect(0, 0, image.getWidth(), image.getHeight());
    var font = new Font(Font.SANS_SERIF, Font.PLAIN, 12);
    for (int i = 0; i < entries.size(); i++) {
      Entry entry = entries.get(i);
      int x = GAP + i % columns * (SIDE + GAP);
      int y = GAP + i / columns * (SIDE + CAPTION + GAP);
      BufferedImage small = FigureFile.thumbnail(entry.image, SIDE);
      graphics.setColor(new Color(0xF1F3F5));
      graphics.fillRect(x, y, SIDE, SIDE);
      graphics.drawImage(
          small, x + (SIDE - small.getWidth()) / 2, y + (SIDE - small.getHeight()) / 2, null);
      graphics.setColor(Color.BLACK);
      graphics.setFont(font.deriveFont(Font.BOLD));
      graphics.drawString(shortened(entry.title, graphics), x, y + SIDE + 16);
      graphics.setColor(new Color(0x57606A));
      graphics.setFont(font);
      graphics.drawString(shortened(entry.caption, graphics), x, y + SIDE + 31);
    }
    graphics.dispose();
    return image;
  }

  /** Shortens a text at its start, since the end of a long path is more informative. */
  private static String shortened(String text, Graphics2D graphics) {
    String shown = text;
    while (shown.length() > 2 && graphics.getFontMetrics().stringWidth(shown) > SIDE) {
      shown = "…" + shown.substring(2);
    }
    return shown;
  }
}
