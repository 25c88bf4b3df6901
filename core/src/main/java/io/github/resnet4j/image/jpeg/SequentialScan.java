package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.ZigZag;
import java.nio.ByteBuffer;

/** Decodes blocks of a baseline or extended sequential scan. */
final class SequentialScan {
  private static final byte[] POSITIONS = ZigZag.positions();

  private final EntropyData data;
  private final HuffmanTable[] dcTables;
  private final HuffmanTable[] acTables;

  /**
   * A scan from its first MCU on.
   *
   * @param dcTables by the components' table numbers
   */
  SequentialScan(EntropyData data, HuffmanTable[] dcTables, HuffmanTable[] acTables) {
    this.data = data;
    this.dcTables = dcTables;
    this.acTables = acTables;
  }

  /**
   * Reads the next block. Coefficients that are zero are not written.
   *
   * @param at the index of the block in the component's coefficients
   */
  void read(Component component, int at) {
    EntropyData data = this.data;
    ByteBuffer words = data.words;
    long window = data.window;
    int held = data.held;
    int next = data.next;
    short[] block = component.coefficients;
    byte[] positions = POSITIONS;
    long nonZero = 0;

    window |= words.getLong(next) >>> held;
    next += 63 - held >>> 3;
    held |= 56;
    HuffmanTable dcTable = dcTables[component.dcTable];
    int code = dcTable.symbols[(int) (window >>> 64 - HuffmanTable.LOOKAHEAD)];
    if (code == 0) {
      code = dcTable.longCode(window);
    }
    window <<= code >> 8;
    held -= code >> 8;
    int size = code & 255;
    if (size > 0) {
      component.dc += HuffmanTable.extend((int) (window >>> 64 - size), size);
      window <<= size;
      held -= size;
    }
    block[at] = (short) component.dc;

    HuffmanTable acTable = acTables[component.acTable];
    int[] coefficients = acTable.coefficients;
    int[] symbols = acTable.symbols;
    // After three lookups at least the 32 bits remain that a longer code with its value may have. A
    // count is easier to predict for the processor than a check of the remaining bits.
    int lookups = 0;
    for (int k = 1; k < 64; k++) {
      if (--lookups < 0) {
        window |= words.getLong(next) >>> held;
        next += 63 - held >>> 3;
        held |= 56;
        lookups = 2;
      }
      int ahead = (int) (window >>> 64 - HuffmanTable.LOOKAHEAD);
      int entry = coefficients[ahead];
      int value;
      if (entry != 0) {
        value = entry >> 16;
        k += entry >> 8 & 255;
        window <<= entry;
        held -= entry & 255;
      } else {
        lookups = 0;
        code = symbols[ahead];
        if (code == 0) {
          code = acTable.longCode(window);
        }
        window <<= code >> 8;
        held -= code >> 8;
        size = code & 15;
        int run = code >> 4 & 15;
        k += run;
        if (size == 0) {
          if (run != 15) {
            break;
          }
          continue;
        }
        value = HuffmanTable.extend((int) (window >>> 64 - size), size);
        window <<= size;
        held -= size;
      }
      block[at + positions[k]] = (short) value;
      nonZero |= 1L << Math.min(k, 63);
    }
    component.nonZero[at >> 6] |= nonZero;
    data.window = window;
    data.held = held;
    data.next = next;
  }
}
