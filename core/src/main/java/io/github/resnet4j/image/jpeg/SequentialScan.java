package io.github.resnet4j.image.jpeg;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** Decodes blocks of a baseline or extended sequential scan. */
final class SequentialScan {
  /** For coefficients that are kept as they are. */
  private static final int[] ONES = new int[64];

  static {
    Arrays.fill(ONES, 1);
  }

  private final EntropyData data;
  private final HuffmanTable[] dcTables;
  private final HuffmanTable[] acTables;

  /** The block's dequantized coefficients by position, 16 bits each. */
  final int[] block = new int[64];

  /** A bit for every coefficient that was set. */
  long mask;

  /** At least the sum of the coefficients' absolute values. */
  int sum;

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

  /** Reads the next block into {@link #block}. */
  void read(Component component) {
    read(component, component.quantization);
  }

  /** Reads the next block into the component's coefficients. */
  void readCoefficients(Component component, int at) {
    read(component, ONES);
    short[] to = component.coefficients;
    for (int i = 0; i < 64; i++) {
      to[at + i] = (short) block[i];
    }
    clear();
  }

  /** Sets the block back to zeros. */
  void clear() {
    if ((mask & ~1L) != 0) {
      Arrays.fill(block, 0);
    }
    block[0] = 0;
    mask = 0;
    sum = 0;
  }

  private void read(Component component, int[] steps) {
    EntropyData data = this.data;
    ByteBuffer words = data.words;
    long window = data.window;
    int held = data.held;
    int next = data.next;
    int[] block = this.block;
    byte[] positions = ZigZag.POSITIONS;

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
    int first = (short) ((short) component.dc * steps[0]);
    block[0] = first;
    long mask = 1;
    int sum = Math.abs(first);

    HuffmanTable acTable = acTables[component.acTable];
    int[] coefficients = acTable.coefficients;
    int[] symbols = acTable.symbols;
    // Three lookups leave at least the 32 bits that a longer code with its value may take. Counting
    // them is easier to predict for the processor than looking at the bits that are left.
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
      int position = positions[k];
      int coefficient = (short) (value * steps[position]);
      block[position] = coefficient;
      mask |= 1L << position;
      sum += Math.abs(coefficient);
    }
    this.mask = mask;
    this.sum = sum;
    data.window = window;
    data.held = held;
    data.next = next;
  }
}
