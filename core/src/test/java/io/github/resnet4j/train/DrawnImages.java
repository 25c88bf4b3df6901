package io.github.resnet4j.train;

import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import javax.imageio.ImageIO;

/** Squares and discs of 24×24 pixels, two classes that a small network can distinguish. */
final class DrawnImages {
  private DrawnImages() {}

  /** 24 of each class for training, 8 for validation. */
  static void draw(Path folder) throws IOException {
    var random = new Random(1);
    for (String part : List.of("train", "val")) {
      for (int i = 0; i < (part.equals("train") ? 24 : 8); i++) {
        draw(folder.resolve("%s/disc/%d.png".formatted(part, i)), true, random);
        draw(folder.resolve("%s/square/%d.png".formatted(part, i)), false, random);
      }
    }
  }

  private static void draw(Path file, boolean disc, Random random) throws IOException {
    var image = new BufferedImage(24, 24, BufferedImage.TYPE_INT_RGB);
    var pen = image.createGraphics();
    pen.setColor(new Color(random.nextInt(80), random.nextInt(80), random.nextInt(80)));
    pen.fillRect(0, 0, 24, 24);
    pen.setColor(new Color(255 - random.nextInt(80), 255 - random.nextInt(80), 200));
    int x = 2 + random.nextInt(6);
    int y = 2 + random.nextInt(6);
    if (disc) {
      pen.fillOval(x, y, 14, 14);
    } else {
      pen.fillRect(x, y, 13, 13);
    }
    pen.dispose();
    Files.createDirectories(file.getParent());
    ImageIO.write(image, "png", file.toFile());
  }
}
