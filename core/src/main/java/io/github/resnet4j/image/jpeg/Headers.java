package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.ZigZag;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Reads the marker segments of a file and stores their definitions. */
final class Headers {
  static final int RST0 = 0xd0;
  private static final int TEM = 0x01;
  private static final int SOF0 = 0xc0;
  private static final int DHT = 0xc4;
  private static final int JPG = 0xc8;
  private static final int DAC = 0xcc;
  private static final int RST7 = 0xd7;
  private static final int SOI = 0xd8;
  private static final int EOI = 0xd9;
  private static final int SOS = 0xda;
  private static final int DQT = 0xdb;
  private static final int DNL = 0xdc;
  private static final int DRI = 0xdd;
  private static final int APP0 = 0xe0;
  private static final int APP2 = 0xe2;
  private static final int APP14 = 0xee;
  private static final int APP15 = 0xef;
  private static final int COM = 0xfe;

  /** libjpeg's limit. */
  private static final int MAX_EXTENT = 65_500;

  private static final int MAX_BLOCKS_IN_MCU = 10;

  private final byte[] file;
  private final EntropyData data;

  private final int[] @Nullable [] quantization = new int[4][];
  private final @Nullable Code[] dcCodes = new Code[4];
  private final @Nullable Code[] acCodes = new Code[4];

  private @Nullable Frame frame;
  private boolean jfif;
  private boolean adobe;
  private int adobeTransform;
  private int scans;

  /** The number of MCUs between restart markers; 0 without them. */
  int restartInterval;

  /** A Huffman code as stored in the file; a damaged one is an error only if a scan uses it. */
  private record Code(int[] counts, int[] values) {}

  Headers(byte[] file, EntropyData data) throws JpegException {
    this.file = file;
    this.data = data;
    if (file.length < 3
        || file[0] != (byte) 0xff
        || file[1] != (byte) SOI
        || file[2] != (byte) 0xff) {
      throw new JpegException("is not a JPEG file");
    }
    data.position = 2;
  }

  Frame frame() throws JpegException {
    if (frame == null) {
      throw new JpegException("is damaged: it has a scan before its frame header");
    }
    return frame;
  }

  ColorModel colorModel() throws JpegException {
    return ColorModel.of(frame().components(), jfif, adobe, adobeTransform);
  }

  /**
   * Reads segments up to the next scan.
   *
   * @return null at the end of the image
   * @throws JpegException if a segment is damaged or not supported, or the file ends
   */
  @Nullable Scan nextScan() throws JpegException {
    while (true) {
      int marker = data.nextMarker();
      if (marker == 0) {
        throw truncated();
      }
      if (marker == EOI) {
        if (frame != null) {
          if (scans == 0) {
            throw new JpegException("is damaged: it ends without a scan");
          }
          return null;
        }
        afterTables();
      } else if (marker == SOS) {
        return scan();
      } else if (marker != TEM && (marker < RST0 || marker > RST7)) {
        segment(marker);
      }
    }
  }

  static JpegException truncated() {
    return JpegException.truncated("is truncated");
  }

  /** Skips a leading image that contains only tables. */
  private void afterTables() throws JpegException {
    if (u8(data.position) != 0xff || u8(data.position + 1) != SOI) {
      throw new JpegException("is damaged: it has no image");
    }
    data.position += 2;
    jfif = false;
    adobe = false;
    restartInterval = 0;
  }

  private int u8(int at) throws JpegException {
    if (at >= file.length) {
      throw truncated();
    }
    return file[at] & 0xff;
  }

  private int u16(int at) throws JpegException {
    return u8(at) << 8 | u8(at + 1);
  }

  private void segment(int marker) throws JpegException {
    if (marker >= SOF0 && marker <= 0xcf && marker != DHT && marker != JPG && marker != DAC) {
      rejectUnsupported(marker);
    }
    if (marker < SOF0
        || marker == JPG
        || marker == SOI
        || marker > DRI && marker < APP0
        || marker > APP15 && marker != COM) {
      throw new JpegException("is damaged: unexpected marker 0xff%02x".formatted(marker));
    }
    int start = data.position + 2;
    int end = Math.max(start, data.position + u16(data.position));
    // The content of a segment is checked before its end, which may be beyond the file.
    switch (marker) {
      case SOF0, SOF0 + 1, SOF0 + 2 -> frame = readFrame(marker == SOF0 + 2, start, end);
      case DHT -> readCodes(start, end);
      case DAC -> checkConditioning(start, end);
      case DQT -> readQuantization(start, end);
      case DRI -> {
        if (end - start != 2) {
          throw wrongLength("DRI");
        }
        restartInterval = u16(start);
      }
      case APP0 -> readJfif(start, end);
      case APP2 -> checkLength(start, end, "ICC_PROFILE", 14);
      case APP14 -> readAdobe(start, end);
      default -> {} // including DNL: the height is known
    }
    if (end > file.length) {
      throw truncated();
    }
    data.position = end;
  }

  private static void rejectUnsupported(int marker) throws JpegException {
    String coding =
        switch (marker) {
          case SOF0, SOF0 + 1, SOF0 + 2 -> "";
          case 0xc3 -> "lossless coding";
          case 0xc9, 0xca -> "arithmetic coding";
          case 0xcb -> "lossless arithmetic coding";
          default -> "hierarchical coding";
        };
    if (!coding.isEmpty()) {
      throw new JpegException(
          "is a JPEG with %s, which is not supported; convert it to baseline JPEG or PNG"
              .formatted(coding));
    }
  }

  private static JpegException wrongLength(String segment) {
    return new JpegException("is damaged: its %s segment has a wrong length".formatted(segment));
  }

  private boolean begins(int start, int end, String text) {
    if (Math.min(end, file.length) - start < text.length()) {
      return false;
    }
    for (int i = 0; i < text.length(); i++) {
      if (file[start + i] != text.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  /** Pillow does not read files whose known segments are too short. */
  private void checkLength(int start, int end, String text, int least) throws JpegException {
    if (begins(start, end, text) && end - start < least && scans == 0) {
      throw new JpegException("is damaged: its %s segment is too short".formatted(text));
    }
  }

  private void readJfif(int start, int end) throws JpegException {
    checkLength(start, end, "JFIF", 7);
    jfif |= begins(start, end, "JFIF\0") && end - start >= 14;
  }

  private void readAdobe(int start, int end) throws JpegException {
    checkLength(start, end, "Adobe", 7);
    if (begins(start, end, "Adobe") && end - start >= 12) {
      adobe = true;
      adobeTransform = u8(start + 11);
    }
  }

  private Frame readFrame(boolean progressive, int start, int end) throws JpegException {
    if (frame != null) {
      throw new JpegException("is damaged: it has two frame headers");
    }
    if (end - start < 6) {
      throw wrongLength("SOF");
    }
    int bits = u8(start);
    int height = u16(start + 1);
    int width = u16(start + 3);
    int count = u8(start + 5);
    if (bits != 8) {
      throw new JpegException(
          "is a JPEG with %d bits per sample, which is not supported; convert it to 8 bits"
              .formatted(bits));
    }
    if (count != 1 && count != 3 && count != 4) {
      throw new JpegException(
          "is a JPEG with %d components; 1, 3 and 4 are supported".formatted(count));
    }
    if (end - start != 6 + 3 * count) {
      throw wrongLength("SOF");
    }
    if (height == 0) {
      height = heightFromDnl(end);
    }
    if (width == 0 || height == 0) {
      throw new JpegException("has no pixels: %d × %d".formatted(width, height));
    }
    if (width > MAX_EXTENT || height > MAX_EXTENT) {
      throw new JpegException(
          "has %d × %d pixels, more than %d in one direction".formatted(width, height, MAX_EXTENT));
    }
    var components = new ArrayList<Component>();
    for (int i = 0; i < count; i++) {
      int at = start + 6 + 3 * i;
      int factors = u8(at + 1);
      int h = factors >> 4;
      int v = factors & 15;
      if (h < 1 || h > 4 || v < 1 || v > 4) {
        throw new JpegException("is damaged: sampling factors %d × %d".formatted(h, v));
      }
      components.add(new Component(i, u8(at), h, v, u8(at + 2)));
    }
    return new Frame(progressive, width, height, List.copyOf(components));
  }

  /**
   * If the height is 0, a DNL segment after the first scan contains it. Pillow rejects such files;
   * the standard requires decoders to read them.
   */
  private int heightFromDnl(int from) throws JpegException {
    var ahead = new EntropyData(file);
    ahead.position = from;
    boolean inScan = false;
    while (true) {
      int marker = ahead.nextMarker();
      if (marker == 0 || marker == EOI || marker == SOS && inScan) {
        return 0;
      }
      if (marker == DNL) {
        return u16(ahead.position) == 4 ? u16(ahead.position + 2) : 0;
      }
      if (marker >= RST0 && marker <= RST7 || marker == TEM) {
        continue;
      }
      inScan |= marker == SOS;
      ahead.position = Math.min(file.length, ahead.position + Math.max(2, u16(ahead.position)));
    }
  }

  private void readCodes(int start, int end) throws JpegException {
    int at = start;
    while (end - at > 16) {
      int index = u8(at++);
      int[] counts = new int[17];
      int count = 0;
      for (int length = 1; length <= 16; length++) {
        counts[length] = u8(at++);
        count += counts[length];
      }
      if (count > 256 || count > end - at) {
        throw new JpegException("is damaged: a Huffman table has %d symbols".formatted(count));
      }
      int[] values = new int[256];
      for (int i = 0; i < count; i++) {
        values[i] = u8(at++);
      }
      if ((index & ~0x13) != 0) {
        throw new JpegException("is damaged: Huffman table 0x%02x".formatted(index));
      }
      (index < 16 ? dcCodes : acCodes)[index & 3] = new Code(counts, values);
    }
    if (at != end) {
      throw wrongLength("DHT");
    }
  }

  /** Arithmetic coding is not supported, but libjpeg rejects wrong tables in any file. */
  private void checkConditioning(int start, int end) throws JpegException {
    for (int at = start; at < end; at += 2) {
      int index = u8(at);
      int value = u8(at + 1);
      if (index > 31 || index < 16 && (value & 15) > value >> 4 || at + 1 == end) {
        throw new JpegException("is damaged: its DAC segment has wrong values");
      }
    }
  }

  private void readQuantization(int start, int end) throws JpegException {
    int at = start;
    while (at < end) {
      int head = u8(at++);
      int bytes = head < 16 ? 1 : 2;
      if ((head & 15) > 3) {
        throw new JpegException("is damaged: quantization table %d".formatted(head & 15));
      }
      if (end - at < 64 * bytes) {
        throw wrongLength("DQT");
      }
      int[] steps = new int[64];
      byte[] positions = ZigZag.positions();
      for (int k = 0; k < 64; k++, at += bytes) {
        steps[positions[k]] = bytes == 1 ? u8(at) : u16(at);
      }
      quantization[head & 15] = steps;
    }
    if (at != end || start == end) {
      throw wrongLength("DQT");
    }
  }

  private Scan scan() throws JpegException {
    Frame frame = frame();
    int start = data.position + 2;
    int length = u16(data.position);
    int count = u8(start);
    if (length != 6 + 2 * count || count < 1 || count > 4) {
      throw wrongLength("SOS");
    }
    var components = new ArrayList<Component>();
    for (int i = 0; i < count; i++) {
      Component component = component(u8(start + 1 + 2 * i), components);
      int tables = u8(start + 2 + 2 * i);
      component.dcTable = tables >> 4;
      component.acTable = tables & 15;
      component.dc = 0;
      components.add(component);
    }
    int at = start + 1 + 2 * count;
    int bits = u8(at + 2);
    var scan = new Scan(++scans, List.copyOf(components), u8(at), u8(at + 1), bits >> 4, bits & 15);
    data.position = at + 3;
    if (frame.progressive()) {
      checkProgression(scan);
    }
    if (count > 1) {
      int blocks = 0;
      for (Component component : components) {
        blocks += component.h * component.v;
      }
      if (blocks > MAX_BLOCKS_IN_MCU) {
        throw new JpegException(
            "is damaged: an MCU of %d blocks, more than %d".formatted(blocks, MAX_BLOCKS_IN_MCU));
      }
    }
    latchQuantization(components);
    return scan;
  }

  /** The components of a scan must be in the frame's order, as in libjpeg. */
  private Component component(int id, List<Component> before) throws JpegException {
    for (Component component : frame().components()) {
      if (component.id == id && component.index >= before.size()) {
        if (before.contains(component)) {
          break;
        }
        return component;
      }
    }
    throw new JpegException("is damaged: a scan has no component %d in its order".formatted(id));
  }

  private static void checkProgression(Scan scan) throws JpegException {
    boolean band =
        scan.first() == 0
            ? scan.last() == 0
            : scan.first() <= scan.last() && scan.last() < 64 && scan.components().size() == 1;
    boolean refinement = scan.previousBit() == 0 || scan.bit() == scan.previousBit() - 1;
    if (!band || !refinement || scan.bit() > 13) {
      throw new JpegException(
          "is damaged: a progressive scan of coefficients %d to %d, bits %d to %d"
              .formatted(scan.first(), scan.last(), scan.previousBit(), scan.bit()));
    }
  }

  private void latchQuantization(List<Component> components) throws JpegException {
    for (Component component : components) {
      if (!component.quantized) {
        int index = component.quantizationIndex;
        int[] steps = index < 4 ? quantization[index] : null;
        if (steps == null) {
          throw new JpegException("is damaged: no quantization table %d".formatted(index));
        }
        component.quantization = steps.clone();
        component.quantized = true;
      }
    }
  }

  /** The tables of a scan's components, by number. */
  HuffmanTable[] tables(Scan scan, boolean dc) throws JpegException {
    var tables = new HuffmanTable[16];
    for (Component component : scan.components()) {
      int index = dc ? component.dcTable : component.acTable;
      if (tables[index] == null) {
        tables[index] = table(index, dc);
      }
    }
    return tables;
  }

  private HuffmanTable table(int index, boolean dc) throws JpegException {
    Code code = index > 3 ? null : (dc ? dcCodes : acCodes)[index];
    if (code != null) {
      return new HuffmanTable(code.counts, code.values, dc);
    }
    if (index > 1 || frame().progressive()) {
      throw new JpegException("is damaged: no Huffman table %d".formatted(index));
    }
    return dc ? StandardTables.dc(index) : StandardTables.ac(index);
  }
}
