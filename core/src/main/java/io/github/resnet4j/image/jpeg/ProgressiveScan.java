package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.ZigZag;
import java.nio.ByteBuffer;

/** Decodes one scan of a progressive file into the components' coefficients. */
final class ProgressiveScan {
  private static final byte[] POSITIONS = ZigZag.positions();

  private final EntropyData data;
  private final Scan scan;
  private final HuffmanTable[] dcTables;
  private final HuffmanTable[] acTables;

  /** The number of following blocks without data in this band. */
  private int endOfBandRun;

  ProgressiveScan(EntropyData data, Scan scan, HuffmanTable[] dcTables, HuffmanTable[] acTables) {
    this.data = data;
    this.scan = scan;
    this.dcTables = dcTables;
    this.acTables = acTables;
  }

  void restart() {
    endOfBandRun = 0;
  }

  /**
   * Reads the scan's data for a block.
   *
   * @param at the index of the block in the component's coefficients
   */
  void read(Component component, int at) {
    if (scan.first() == 0) {
      if (scan.previousBit() == 0) {
        firstDc(component, at);
      } else if (bit()) {
        component.coefficients[at] |= (short) (1 << scan.bit());
      }
    } else if (scan.previousBit() == 0) {
      firstAc(component, at);
    } else {
      refineAc(component, at);
    }
  }

  private void refill() {
    if (data.held < 32) {
      data.window |= data.words.getLong(data.next) >>> data.held;
      data.next += 63 - data.held >>> 3;
      data.held |= 56;
    }
  }

  private int take(int count) {
    int bits = (int) (data.window >>> 64 - count);
    data.window <<= count;
    data.held -= count;
    return bits;
  }

  private boolean bit() {
    refill();
    return take(1) != 0;
  }

  private int symbol(HuffmanTable table) {
    refill();
    int code = table.symbols[(int) (data.window >>> 64 - HuffmanTable.LOOKAHEAD)];
    if (code == 0) {
      code = table.longCode(data.window);
    }
    data.window <<= code >> 8;
    data.held -= code >> 8;
    return code & 255;
  }

  private void firstDc(Component component, int at) {
    int size = symbol(dcTables[component.dcTable]);
    if (size > 0) {
      component.dc += HuffmanTable.extend(take(size), size);
    }
    component.coefficients[at] = (short) (component.dc << scan.bit());
  }

  private void firstAc(Component component, int at) {
    if (endOfBandRun > 0) {
      endOfBandRun--;
      return;
    }
    HuffmanTable table = acTables[component.acTable];
    short[] coefficients = component.coefficients;
    long nonZero = component.nonZero[at >> 6];
    EntropyData data = this.data;
    ByteBuffer words = data.words;
    long window = data.window;
    int held = data.held;
    int next = data.next;
    int last = scan.last();
    int bit = scan.bit();
    for (int k = scan.first(); k <= last; k++) {
      if (held < 32) {
        window |= words.getLong(next) >>> held;
        next += 63 - held >>> 3;
        held |= 56;
      }
      int ahead = (int) (window >>> 64 - HuffmanTable.LOOKAHEAD);
      int entry = table.coefficients[ahead];
      int value;
      if (entry != 0) {
        value = entry >> 16;
        k += entry >> 8 & 255;
        window <<= entry;
        held -= entry & 255;
      } else {
        int code = table.symbols[ahead];
        if (code == 0) {
          code = table.longCode(window);
        }
        window <<= code >> 8;
        held -= code >> 8;
        int size = code & 15;
        int run = code >> 4 & 15;
        if (size == 0) {
          if (run == 15) {
            k += 15;
            continue;
          }
          endOfBandRun = (1 << run) - 1;
          if (run > 0) {
            endOfBandRun += (int) (window >>> 64 - run);
            window <<= run;
            held -= run;
          }
          break;
        }
        k += run;
        value = HuffmanTable.extend((int) (window >>> 64 - size), size);
        window <<= size;
        held -= size;
      }
      short coefficient = (short) (value << bit);
      coefficients[at + POSITIONS[k]] = coefficient;
      long mark = 1L << Math.min(k, 63);
      nonZero = coefficient == 0 ? nonZero & ~mark : nonZero | mark;
    }
    component.nonZero[at >> 6] = nonZero;
    data.window = window;
    data.held = held;
    data.next = next;
  }

  private void refineAc(Component component, int at) {
    int k = scan.first();
    if (endOfBandRun == 0) {
      k = refineUntilEndOfBand(component, at);
    }
    if (endOfBandRun > 0) {
      if (k <= scan.last()) {
        correct(component.coefficients, at, component.nonZero[at >> 6] & band(k));
      }
      endOfBandRun--;
    }
  }

  /** Bits for the band's coefficients from k on, where k is in the band. */
  private long band(int k) {
    return -1L << k & -1L >>> 63 - scan.last();
  }

  private int refineUntilEndOfBand(Component component, int at) {
    HuffmanTable table = acTables[component.acTable];
    short[] coefficients = component.coefficients;
    int last = scan.last();
    int k = scan.first();
    for (; k <= last; k++) {
      int symbol = symbol(table);
      int run = symbol >> 4;
      int value = 0;
      if ((symbol & 15) != 0) { // its size should be 1
        value = take(1) != 0 ? 1 << scan.bit() : -1 << scan.bit();
      } else if (run != 15) {
        endOfBandRun = (1 << run) + (run > 0 ? take(run) : 0);
        break;
      }
      // Zeros are counted; coefficients that are already known are refined on the way.
      long known = component.nonZero[at >> 6];
      long zeros = ~known & band(k);
      for (; run > 0; run--) {
        zeros &= zeros - 1;
      }
      int next = zeros == 0 ? last + 1 : Long.numberOfTrailingZeros(zeros);
      correct(coefficients, at, known & band(k) & (zeros & -zeros) - 1);
      k = next;
      if (value != 0) {
        coefficients[at + POSITIONS[k]] = (short) value;
        component.nonZero[at >> 6] |= 1L << Math.min(k, 63);
      }
    }
    return k;
  }

  /** Reads one more bit of each of these coefficients, none of which is zero. */
  private void correct(short[] coefficients, int at, long which) {
    int bit = scan.bit();
    long left = which;
    while (left != 0) {
      refill();
      int count = Math.min(32, Long.bitCount(left));
      long bits = data.window;
      for (int i = 0; i < count; i++, bits <<= 1) {
        int position = at + POSITIONS[Long.numberOfTrailingZeros(left)];
        left &= left - 1;
        int coefficient = coefficients[position];
        int step = (int) (bits >>> 63) << bit & ~coefficient;
        coefficients[position] = (short) (coefficient + (coefficient >= 0 ? step : -step));
      }
      data.window = bits;
      data.held -= count;
    }
  }
}
