package io.github.resnet4j.figures;

import io.github.resnet4j.image.Pixels;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.util.List;

/** Images beside each other, each with a line below; the first is framed. */
public final class ContactSheet {
  private static final int SIDE = 168;
  private static final int GAP = 16;
  private static final int CAPTION = 36;
  private static final int COLUMNS = 5;

  /**
   * An image on the sheet.
   *
   * @param title bold, below it
   * @param caption below that
   */
  public record Entry(Pixels image, String title, String caption) {}

  private ContactSheet() {}

  /** Draws the sheet. */
  public static BufferedImage draw(List<Entry> entries) {
    int columns = Math.min(COLUMNS, entries.size());
    int rows = Math.ceilDiv(entries.size(), columns);
    var image =
        new BufferedImage(
            columns * (SIDE + GAP) + GAP,
            rows * (SIDE + CAPTION + GAP) + GAP,
            BufferedImage.TYPE_INT_RGB);
    Graphics2D pen = image.createGraphics();
    pen.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    pen.setColor(Color.WHITE);
    pen.fillRect(0, 0, image.getWidth(), image.getHeight());
    var font = new Font(Font.SANS_SERIF, Font.PLAIN, 12);
    for (int i = 0; i < entries.size(); i++) {
      Entry entry = entries.get(i);
      int x = GAP + i % columns * (SIDE + GAP);
      int y = GAP + i / columns * (SIDE + CAPTION + GAP);
      BufferedImage small = FigureFile.thumbnail(entry.image, SIDE);
      pen.setColor(new Color(0xF1F3F5));
      pen.fillRect(x, y, SIDE, SIDE);
      pen.drawImage(
          small, x + (SIDE - small.getWidth()) / 2, y + (SIDE - small.getHeight()) / 2, null);
      if (i == 0) {
        pen.setColor(new Color(0xD55E00));
        pen.drawRect(x - 3, y - 3, SIDE + 5, SIDE + 5);
        pen.drawRect(x - 4, y - 4, SIDE + 7, SIDE + 7);
      }
      pen.setColor(Color.BLACK);
      pen.setFont(font.deriveFont(Font.BOLD));
      pen.drawString(shortened(entry.title, pen), x, y + SIDE + 16);
      pen.setColor(new Color(0x57606A));
      pen.setFont(font);
      pen.drawString(shortened(entry.caption, pen), x, y + SIDE + 31);
    }
    pen.dispose();
    return image;
  }

  /** The end of a long name says more than its beginning. */
  private static String shortened(String text, Graphics2D pen) {
    String shown = text;
    while (shown.length() > 2 && pen.getFontMetrics().stringWidth(shown) > SIDE) {
      shown = "…" + shown.substring(2);
    }
    return shown;
  }
}
