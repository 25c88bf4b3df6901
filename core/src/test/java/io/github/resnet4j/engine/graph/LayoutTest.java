package io.github.resnet4j.engine.graph;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.kernel.Format;
import io.github.resnet4j.kernel.Winograd;
import java.util.Arrays;
import java.util.HashSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LayoutTest {
  private static final Layout LAYOUT =
      Layout.of(80, 3, 5, 32).withBorder(new Border(1, 2)).withImages(2);

  @Test
  void everyValueHasItsOwnWord() {
    var activation = new Activation(LAYOUT, 12);
    var seen = new HashSet<Integer>();
    for (int n = 0; n < 2; n++) {
      for (int c = 0; c < 80; c++) {
        for (int y = 0; y < 3; y++) {
          for (int x = 0; x < 5; x++) {
            int word = activation.word(n, LAYOUT.position(c)) + LAYOUT.pixel(y, x);
            assertTrue(word >= 12 && word < 12 + LAYOUT.size() && seen.add(word));
          }
        }
      }
    }
    assertEquals(activation.image(0), activation.image(2)); // images share the memory in turn
  }

  /** The border of an image is cleared, but not its pixels or the other image. */
  @ParameterizedTest
  @EnumSource(names = {"FP32", "BF16", "U8"})
  void onlyTheBorderIsCleared(Format format) {
    var activation = new Activation(LAYOUT.withEncoding(Encoding.of(format)), 12);
    Layout layout = activation.layout();
    float[] arena = new float[12 + layout.size() + 16];
    Arrays.fill(arena, 7);
    activation.clearBorder(arena, 1);
    float[] expected = new float[arena.length];
    Arrays.fill(expected, 7);
    Arrays.fill(expected, activation.image(1), activation.image(1) + layout.imageSize(), 0);
    for (int b = 0; b < layout.blocks(); b++) {
      for (int y = 0; y < 3; y++) {
        int row = activation.at(1, b, y, 0);
        Arrays.fill(expected, row, row + 5 * layout.block(), 7);
      }
    }
    assertArrayEquals(expected, arena);
  }

  @Test
  void interleavingMakesFirstChannelsContiguous() {
    Layout layout = Layout.of(128, 1, 1, 64).withGroups(4);
    int[] order = layout.channelOrder();
    for (int i = 0; i < 16; i++) {
      assertEquals(4 * i, order[i]);
      assertEquals(64 + 4 * i + 1, order[64 + 16 + i]);
    }
    assertEquals(128, Arrays.stream(order).distinct().count());
  }

  @Test
  void positionsDoNotDependOnEncoding() {
    assertTrue(
        LAYOUT
            .withEncoding(new Encoding(Format.U8, 2, 0))
            .isLike(LAYOUT.withEncoding(new Encoding(Format.U8, 3, 128))));
    assertFalse(LAYOUT.isLike(LAYOUT.withEncoding(Encoding.of(Format.BF16))));
    assertFalse(LAYOUT.isLike(LAYOUT.withBorder(Border.of(1))));
    assertFalse(LAYOUT.isLike(LAYOUT.withImages(1)));
  }

  @Test
  void winogradBorderIncludesOverhang() {
    assertEquals(new Border(1, 1), Border.of(Winograd.F4, 8, 4));
    assertEquals(new Border(1, 3), Border.of(Winograd.F4, 8, 6));
    assertEquals(new Border(1, 2), Border.of(Winograd.F2, 7, 8));
    assertEquals(new Border(2, 3), new Border(2, 1).or(new Border(1, 3)));
  }
}
