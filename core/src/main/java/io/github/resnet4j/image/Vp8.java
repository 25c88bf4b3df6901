package io.github.resnet4j.image;

import java.util.Arrays;

/**
 * Decodes a key frame of VP8, the content of a lossy WebP, to libwebp's samples (RFC 6386).
 * Macroblocks are predicted and reconstructed first; then the loop filter runs over the whole
 * frame.
 */
final class Vp8 {
  private static final int HEADER = 10;
  private static final int SEGMENTS = 4;

  /** The 4×4 blocks in a macroblock: 16 of luma, 4 of each chroma component. */
  private static final int BLOCKS = 24;

  private static final int[] ZIGZAG = {0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15};

  /** The band of each coefficient position; one more for the end. */
  private static final int[] BANDS = {0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0};

  /** Pairs of branches; a positive number is a branch, else a mode. */
  private static final int[] MODE_TREE = {
    -Vp8Blocks.DC,
    1,
    -Vp8Blocks.TRUE_MOTION,
    2,
    -Vp8Blocks.VERTICAL,
    3,
    4,
    6,
    -3,
    5,
    -4,
    -5,
    -6,
    7,
    -7,
    8,
    -8,
    -9
  };

  private static final int[][] LARGE_VALUES = {
    {173, 148, 140},
    {176, 155, 140, 135},
    {180, 157, 141, 134, 130},
    {254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}
  };

  // Kinds of coefficients, which select the probabilities.
  private static final int LUMA_WITHOUT_MEAN = 0;
  private static final int LUMA_MEANS = 1;
  private static final int CHROMA = 2;
  private static final int LUMA = 3;

  private final EncodedImage file;
  private final int width;
  private final int height;
  private final int columns;
  private final int rows;
  private final BoolDecoder header;
  private final BoolDecoder[] partitions;

  private boolean segmented;
  private boolean segmentsCoded;
  private boolean segmentsAbsolute = true;
  private final int[] segmentQuantizer = new int[SEGMENTS];
  private final int[] segmentFilter = new int[SEGMENTS];
  private final int[] segmentProbabilities = {255, 255, 255};

  private boolean simpleFilter;
  private int filterLevel;
  private int sharpness;
  private int filterDelta;
  private int filterDeltaOfBlocks;

  /** For each segment the first and the other factors of luma, of its means, and of chroma. */
  private final int[][] factors = new int[SEGMENTS][6];

  private final int[] probabilities = Vp8Tables.coefficientProbabilities();
  private boolean skipsCoded;
  private int skipProbability;

  private final Plane luma;
  private final Plane[] chroma;

  /** For each macroblock its segment, and flags. */
  private final byte[] macroblocks;

  private static final int IN_BLOCKS = 4;
  private static final int HAS_COEFFICIENTS = 8;

  // Properties of the macroblocks above and to the left, one entry per block.
  private final byte[] modesAbove;
  private final byte[] modesLeft = new byte[4];
  private final boolean[] codedAbove;
  private final boolean[] codedLeft = new boolean[9];

  private final short[] coefficients = new short[16 * BLOCKS];
  private final short[] means = new short[16];
  private final Vp8Blocks blocks = new Vp8Blocks();

  /** The prediction modes of a row of macroblocks: 16 modes of luma, or one, and one of chroma. */
  private final byte[] rowModes;

  private final boolean[] rowSkips;

  private Vp8(EncodedImage file, int start, int end) throws ImageException {
    this.file = file;
    byte[] bytes = file.bytes();
    if (end - start < HEADER) {
      throw file.error("is truncated");
    }
    int tag = bytes[start] & 0xff | file.u16LittleEndian(start + 1) << 8;
    boolean signed = file.u8(start + 3) == 0x9d && file.u16(start + 4) == 0x012a;
    if ((tag & 1) != 0 || (tag >> 1 & 7) > 3 || (tag >> 4 & 1) == 0 || !signed) {
      throw file.damaged("its VP8 frame is not a key frame");
    }
    width = file.u16LittleEndian(start + 6) & 0x3fff;
    height = file.u16LittleEndian(start + 8) & 0x3fff;
    file.checkSize(width, height);
    columns = (width + 15) / 16;
    rows = (height + 15) / 16;
    int first = start + HEADER;
    int length = tag >> 5;
    if (length > end - first) {
      throw file.error("is truncated");
    }
    header = new BoolDecoder(bytes, first, first + length);
    header.flag(); // the color space, which libwebp ignores
    header.flag(); // the kind of clamping, which libwebp ignores too
    readSegments();
    readFilter();
    partitions = partitions(first + length, end);
    readFactors();
    header.flag(); // whether the probabilities are kept for the next frame
    Vp8Tables.update(probabilities, header);
    skipsCoded = header.flag();
    skipProbability = skipsCoded ? header.number(8) : 0;

    luma = Plane.bordered(16 * columns, 16 * rows, 4);
    chroma =
        new Plane[] {
          Plane.bordered(8 * columns, 8 * rows, 0), Plane.bordered(8 * columns, 8 * rows, 0)
        };
    macroblocks = new byte[columns * rows];
    modesAbove = new byte[4 * columns];
    codedAbove = new boolean[9 * columns];
    rowModes = new byte[17 * columns];
    rowSkips = new boolean[columns];
  }

  /** Decodes the frame at {@code [start, end)}. */
  static Pixels decode(EncodedImage file, int start, int end) throws ImageException {
    var frame = new Vp8(file, start, end);
    for (int row = 0; row < frame.rows; row++) {
      frame.decodeRow(row);
    }
    frame.filter();
    byte[] rgb =
        Vp8Colors.toRgb(
            file, frame.luma, frame.chroma[0], frame.chroma[1], frame.width, frame.height);
    return new Pixels(frame.width, frame.height, 3, rgb);
  }

  private void readSegments() throws ImageException {
    segmented = header.flag();
    if (segmented) {
      segmentsCoded = header.flag();
      if (header.flag()) {
        segmentsAbsolute = header.flag();
        for (int i = 0; i < SEGMENTS; i++) {
          segmentQuantizer[i] = header.optional(7);
        }
        for (int i = 0; i < SEGMENTS; i++) {
          segmentFilter[i] = header.optional(6);
        }
      }
      for (int i = 0; i < 3 && segmentsCoded; i++) {
        segmentProbabilities[i] = header.flag() ? header.number(8) : 255;
      }
    }
    requireHeader();
  }

  private void requireHeader() throws ImageException {
    if (header.isExhausted()) {
      throw file.error("is truncated: its header ends early");
    }
  }

  private void readFilter() throws ImageException {
    simpleFilter = header.flag();
    filterLevel = header.number(6);
    sharpness = header.number(3);
    boolean deltas = header.flag();
    if (deltas && header.flag()) {
      filterDelta = header.optional(6);
      for (int i = 1;
          i < 4;
          i++) { // deltas of other reference frames, which a key frame does not have
        header.optional(6);
      }
      filterDeltaOfBlocks = header.optional(6);
      for (int i = 1; i < 4; i++) {
        header.optional(6);
      }
    }
    requireHeader();
  }

  /** The coefficients are in one to eight partitions, which contain rows in turn. */
  private BoolDecoder[] partitions(int start, int end) throws ImageException {
    var found = new BoolDecoder[1 << header.number(2)];
    int sizes = start;
    int at = start + 3 * (found.length - 1);
    if (at >= end) {
      throw file.error("is truncated");
    }
    for (int i = 0; i < found.length; i++, sizes += 3) {
      int length = end - at;
      if (i < found.length - 1) {
        length =
            Math.min(length, file.u8(sizes) | file.u8(sizes + 1) << 8 | file.u8(sizes + 2) << 16);
      } else if (length == 0) {
        throw file.error("is truncated");
      }
      found[i] = new BoolDecoder(file.bytes(), at, at + length);
      at += length;
    }
    return found;
  }

  private void readFactors() {
    int base = header.number(7);
    int lumaFirst = header.optional(4);
    int meansFirst = header.optional(4);
    int meansOther = header.optional(4);
    int chromaFirst = header.optional(4);
    int chromaOther = header.optional(4);
    for (int i = 0; i < SEGMENTS; i++) {
      int q = base;
      if (segmented) {
        q = segmentQuantizer[i] + (segmentsAbsolute ? 0 : base);
      }
      factors[i][0] = Vp8Tables.firstFactor(q + lumaFirst, 127);
      factors[i][1] = Vp8Tables.otherFactor(q);
      factors[i][2] = Vp8Tables.firstFactor(q + meansFirst, 127) * 2;
      factors[i][3] = Math.max(8, Vp8Tables.otherFactor(q + meansOther) * 155 / 100);
      factors[i][4] = Vp8Tables.firstFactor(q + chromaFirst, 117);
      factors[i][5] = Vp8Tables.otherFactor(q + chromaOther);
    }
  }

  private void decodeRow(int row) throws ImageException {
    file.checkInterrupted();
    Arrays.fill(modesLeft, (byte) Vp8Blocks.DC);
    for (int column = 0; column < columns; column++) {
      readModes(row, column);
    }
    if (header.isExhausted()) {
      throw file.error("is truncated: its modes end early");
    }
    Arrays.fill(codedLeft, false);
    BoolDecoder in = partitions[row % partitions.length];
    for (int column = 0; column < columns; column++) {
      readCoefficients(in, row, column);
      if (in.isExhausted()) {
        throw file.error("is truncated: its coefficients end early");
      }
      reconstruct(row, column);
    }
  }

  /** Reads the prediction modes of a macroblock. */
  private void readModes(int row, int column) {
    int segment = 0;
    if (segmentsCoded) {
      segment =
          header.bit(segmentProbabilities[0]) == 0
              ? header.bit(segmentProbabilities[1])
              : 2 + header.bit(segmentProbabilities[2]);
    }
    rowSkips[column] = skipsCoded && header.bit(skipProbability) != 0;
    int to = 17 * column;
    boolean inBlocks = header.bit(145) == 0;
    if (inBlocks) {
      for (int y = 0; y < 4; y++) {
        int left = modesLeft[y];
        for (int x = 0; x < 4; x++) {
          left = blockMode(modesAbove[4 * column + x], left);
          modesAbove[4 * column + x] = (byte) left;
          rowModes[to + 4 * y + x] = (byte) left;
        }
        modesLeft[y] = (byte) left;
      }
    } else {
      int mode =
          header.bit(156) != 0
              ? (header.bit(128) != 0 ? Vp8Blocks.TRUE_MOTION : Vp8Blocks.HORIZONTAL)
              : (header.bit(163) != 0 ? Vp8Blocks.VERTICAL : Vp8Blocks.DC);
      rowModes[to] = (byte) mode;
      Arrays.fill(modesAbove, 4 * column, 4 * column + 4, (byte) mode);
      Arrays.fill(modesLeft, (byte) mode);
    }
    int chromaMode = Vp8Blocks.DC;
    if (header.bit(142) != 0) {
      chromaMode = Vp8Blocks.VERTICAL;
      if (header.bit(114) != 0) {
        chromaMode = header.bit(183) != 0 ? Vp8Blocks.TRUE_MOTION : Vp8Blocks.HORIZONTAL;
      }
    }
    rowModes[to + 16] = (byte) chromaMode;
    macroblocks[row * columns + column] = (byte) (segment | (inBlocks ? IN_BLOCKS : 0));
  }

  private int blockMode(int above, int left) {
    int node = MODE_TREE[header.bit(Vp8Tables.modeProbability(above, left, 0))];
    while (node > 0) {
      node = MODE_TREE[2 * node + header.bit(Vp8Tables.modeProbability(above, left, node))];
    }
    return -node;
  }

  private void readCoefficients(BoolDecoder in, int row, int column) {
    int index = row * columns + column;
    boolean inBlocks = (macroblocks[index] & IN_BLOCKS) != 0;
    int above = 9 * column;
    Arrays.fill(coefficients, (short) 0);
    if (rowSkips[column]) {
      int count = inBlocks ? 8 : 9; // the context of the means is unchanged
      Arrays.fill(codedAbove, above, above + count, false);
      Arrays.fill(codedLeft, 0, count, false);
      return;
    }
    int[] factor = factors[macroblocks[index] & (SEGMENTS - 1)];
    boolean any = false;
    if (!inBlocks) {
      Arrays.fill(means, (short) 0);
      int count = coefficients(in, LUMA_MEANS, context(above + 8, 8), 0, factor, 2, means, 0);
      codedAbove[above + 8] = count > 0;
      codedLeft[8] = count > 0;
      Vp8Blocks.addMeans(means, coefficients);
    }
    int first = inBlocks ? 0 : 1;
    int kind = inBlocks ? LUMA : LUMA_WITHOUT_MEAN;
    for (int block = 0; block < 16; block++) {
      int a = above + block % 4;
      int l = block / 4;
      int to = 16 * block;
      int count = coefficients(in, kind, context(a, l), first, factor, 0, coefficients, to);
      codedAbove[a] = count > first;
      codedLeft[l] = count > first;
      any |= count > 1 || coefficients[to] != 0;
    }
    for (int block = 16; block < BLOCKS; block++) {
      int side = 4 + (block - 16) / 4 * 2;
      int a = above + side + block % 2;
      int l = side + block / 2 % 2;
      int to = 16 * block;
      int count = coefficients(in, CHROMA, context(a, l), 0, factor, 4, coefficients, to);
      codedAbove[a] = count > 0;
      codedLeft[l] = count > 0;
      any |= count > 1 || coefficients[to] != 0;
    }
    if (any) {
      macroblocks[index] |= HAS_COEFFICIENTS;
    }
  }

  private int context(int above, int left) {
    return (codedAbove[above] ? 1 : 0) + (codedLeft[left] ? 1 : 0);
  }

  private static int probabilityOf(int kind, int place, int context) {
    return ((kind * 8 + BANDS[place]) * 3 + context) * 11;
  }

  /**
   * Reads the coefficients of a block.
   *
   * @return the position after the last coded coefficient
   */
  private int coefficients(
      BoolDecoder in,
      int kind,
      int context,
      int first,
      int[] factor,
      int factorOffset,
      short[] out,
      int to) {
    int p = probabilityOf(kind, first, context);
    int place = first;
    while (place < 16) {
      if (in.bit(probabilities[p]) == 0) {
        return place;
      }
      while (in.bit(probabilities[p + 1]) == 0) {
        if (++place == 16) {
          return 16;
        }
        p = probabilityOf(kind, place, 0);
      }
      int value = 1;
      if (in.bit(probabilities[p + 2]) != 0) {
        value = largeValue(in, p);
      }
      int next = probabilityOf(kind, place + 1, value == 1 ? 1 : 2);
      int signed = in.bit(128) != 0 ? -value : value;
      out[to + ZIGZAG[place]] = (short) (signed * factor[factorOffset + (place > 0 ? 1 : 0)]);
      p = next;
      place++;
    }
    return 16;
  }

  private int largeValue(BoolDecoder in, int p) {
    if (in.bit(probabilities[p + 3]) == 0) {
      return in.bit(probabilities[p + 4]) == 0 ? 2 : 3 + in.bit(probabilities[p + 5]);
    }
    if (in.bit(probabilities[p + 6]) == 0) {
      if (in.bit(probabilities[p + 7]) == 0) {
        return 5 + in.bit(159);
      }
      int two = 2 * in.bit(165);
      return 7 + two + in.bit(145);
    }
    int high = in.bit(probabilities[p + 8]);
    int category = 2 * high + in.bit(probabilities[p + 9 + high]);
    int value = 0;
    for (int probability : LARGE_VALUES[category]) {
      value = 2 * value + in.bit(probability);
    }
    return value + 3 + (8 << category);
  }

  private void reconstruct(int row, int column) {
    int modes = 17 * column;
    byte[] data = luma.data();
    int stride = luma.stride();
    if ((macroblocks[row * columns + column] & IN_BLOCKS) != 0) {
      // For the right column, all four blocks use the next macroblock above.
      int aboveRight = luma.at(16 * column + 16, 16 * row - 1);
      if (row > 0 && column == columns - 1) {
        Arrays.fill(data, aboveRight, aboveRight + 4, data[aboveRight - 1]);
      }
      for (int block = 0; block < 16; block++) {
        int at = luma.at(16 * column + block % 4 * 4, 16 * row + block / 4 * 4);
        int right = block % 4 == 3 ? aboveRight : at - stride + 4;
        blocks.predictBlock(data, at, stride, right, rowModes[modes + block]);
        add(16 * block, luma, at);
      }
    } else {
      blocks.predictSquare(luma, 16 * column, 16 * row, 16, rowModes[modes]);
      for (int block = 0; block < 16; block++) {
        add(16 * block, luma, luma.at(16 * column + block % 4 * 4, 16 * row + block / 4 * 4));
      }
    }
    for (int i = 0; i < 2; i++) {
      Plane plane = chroma[i];
      blocks.predictSquare(plane, 8 * column, 8 * row, 8, rowModes[modes + 16]);
      for (int block = 0; block < 4; block++) {
        int at = plane.at(8 * column + block % 2 * 4, 8 * row + block / 2 * 4);
        add(16 * (16 + 4 * i + block), plane, at);
      }
    }
  }

  private void add(int from, Plane plane, int at) {
    for (int i = from; i < from + 16; i++) {
      if (coefficients[i] != 0) {
        blocks.add(coefficients, from, plane.data(), at, plane.stride());
        return;
      }
    }
  }

  private void filter() throws ImageException {
    if (filterLevel == 0) {
      return;
    }
    var strengths = new Vp8LoopFilter[SEGMENTS][2];
    for (int segment = 0; segment < SEGMENTS; segment++) {
      int level = filterLevel;
      if (segmented) {
        level = segmentFilter[segment] + (segmentsAbsolute ? 0 : filterLevel);
      }
      strengths[segment][0] = new Vp8LoopFilter(level + filterDelta, sharpness);
      strengths[segment][1] =
          new Vp8LoopFilter(level + filterDelta + filterDeltaOfBlocks, sharpness);
    }
    for (int row = 0; row < rows; row++) {
      file.checkInterrupted();
      for (int column = 0; column < columns; column++) {
        int flags = macroblocks[row * columns + column];
        boolean inBlocks = (flags & IN_BLOCKS) != 0;
        boolean inner = inBlocks || (flags & HAS_COEFFICIENTS) != 0;
        Vp8LoopFilter filter = strengths[flags & (SEGMENTS - 1)][inBlocks ? 1 : 0];
        if (simpleFilter) {
          filter.simple(luma, column, row, inner);
        } else {
          filter.normal(luma, 16, column, row, inner);
          filter.normal(chroma[0], 8, column, row, inner);
          filter.normal(chroma[1], 8, column, row, inner);
        }
      }
    }
  }
}
