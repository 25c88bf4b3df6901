package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.JpegKernels;
import java.io.IOException;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Decodes JPEG files to RGB as Pillow's {@code Image.open(file).convert("RGB")} does, bit for bit:
 * baseline, extended sequential and progressive files with Huffman coding, 8 bits and 1, 3 or 4
 * components. Embedded color profiles and EXIF's orientation are not applied.
 *
 * <p>Damaged data is decoded as in libjpeg: blocks without data are gray, and the decoder searches
 * for restart markers. A file that ends before its image does is rejected.
 */
public final class JpegDecoder {
  /**
   * The maximum number of block visits in a progressive file, as a multiple of the image's blocks.
   * Typical files have about 10 scans, each of which visits a part of the blocks.
   */
  private static final int MAX_VISITS_PER_BLOCK = 16;

  /** The number of visits that is always allowed, for small images. */
  private static final int MIN_VISIT_LIMIT = 4_000_000;

  private final EntropyData data;
  private final Headers headers;
  private final Limits limits;
  private final Frame frame;
  private final int smallestBlock;
  private final JpegKernels kernels;

  private Scan scan;
  private HuffmanTable[] dcTables = {};
  private HuffmanTable[] acTables = {};

  /** Whether the data before the next restart marker has ended; blocks are then left unchanged. */
  private boolean exhausted;

  private int mcusToRestart;
  private int nextRestart;

  /** The last row of MCUs with data in the current scan. */
  private int lastGoodRow;

  private long visits;

  /** RGB, three bytes per pixel, row by row. */
  public record Image(
      int width, int height, @SuppressWarnings("ArrayRecordComponent") byte[] rgb) {}

  /** Limits the cost of decoding: an exception of these methods ends it. */
  public interface Limits {
    /** Called with the image's size before memory is allocated for it. */
    void check(int width, int height) throws IOException;

    /** Called for every row of MCUs of every scan. */
    default void progress() throws IOException {}
  }

  private JpegDecoder(byte[] file, int width, int height, Limits limits) throws IOException {
    this.limits = limits;
    data = new EntropyData(file);
    headers = new Headers(file, data);
    Scan first = headers.nextScan();
    if (first == null) {
      throw new JpegException("is damaged: it has no image");
    }
    scan = first;
    frame = headers.frame();
    limits.check(frame.width(), frame.height());
    kernels = JpegKernels.create((long) frame.width() * frame.height());
    int reduction = Math.min(8, Math.min(frame.width() / width, frame.height() / height));
    smallestBlock = 8 / Math.max(1, Integer.highestOneBit(reduction));
    layOut();
  }

  /**
   * Decodes a file, or reduces it to a half, a quarter or an eighth of its size, the smallest that
   * is at least the given size, as Pillow's {@code Image.draft}. A smaller image is decoded in
   * full.
   *
   * @throws JpegException if it is not a JPEG, is damaged more than libjpeg accepts, is truncated,
   *     or of an unsupported kind
   * @throws IOException if the limits throw it
   */
  public static Image decode(byte[] file, int width, int height, Limits limits) throws IOException {
    if (width < 1 || height < 1) {
      throw new IllegalArgumentException("a draft of %d × %d pixels".formatted(width, height));
    }
    return new JpegDecoder(file, width, height, limits).decode();
  }

  private void layOut() {
    int maxH = frame.maxH();
    int maxV = frame.maxV();
    for (Component component : frame.components()) {
      int h = component.h;
      int v = component.v;
      component.widthInBlocks = Frame.ceil(frame.width() * h, 8 * maxH);
      component.heightInBlocks = Frame.ceil(frame.height() * v, 8 * maxV);
      component.blocksPerRow = Frame.ceil(component.widthInBlocks, h) * h;
      int size = smallestBlock;
      while (size < 8
          && maxH * smallestBlock % (h * size * 2) == 0
          && maxV * smallestBlock % (v * size * 2) == 0) {
        size *= 2;
      }
      component.blockSize = size;
      component.width = Frame.ceil(frame.width() * h * size, 8 * maxH);
      component.height = Frame.ceil(frame.height() * v * size, 8 * maxV);
      component.rowsInGroup = v * size / smallestBlock;
    }
  }

  private Image decode() throws IOException {
    int width = Frame.ceil(frame.width() * smallestBlock, 8);
    int height = Frame.ceil(frame.height() * smallestBlock, 8);
    byte[] rgb = new byte[bytes(3L * width * height)];
    var rows = new RgbRows(kernels, frame, headers.colorModel(), smallestBlock, rgb);
    if (frame.progressive() || scan.components().size() < frame.components().size()) {
      decodeScans(rows);
    } else {
      decodeSingleScan(rows);
    }
    return new Image(width, height, rgb);
  }

  private static int bytes(long count) throws JpegException {
    if (count > Integer.MAX_VALUE - 8) {
      throw new JpegException("needs arrays of %,d bytes, which are too large".formatted(count));
    }
    return (int) count;
  }

  private void startScan(Scan next) throws JpegException {
    scan = next;
    boolean progressive = frame.progressive();
    boolean dc = !progressive || scan.first() == 0 && scan.previousBit() == 0;
    boolean ac = !progressive || scan.first() > 0;
    dcTables = dc ? headers.tables(scan, true) : dcTables;
    acTables = ac ? headers.tables(scan, false) : acTables;
    exhausted = false;
    mcusToRestart = headers.restartInterval;
    nextRestart = 0;
    data.open();
  }

  /** Searches for a restart marker if one is due. Returns whether it was. */
  private boolean restartIfDue() throws JpegException {
    if (headers.restartInterval == 0) {
      return false;
    }
    boolean due = mcusToRestart == 0;
    if (due) {
      restart();
      mcusToRestart = headers.restartInterval;
    }
    mcusToRestart--;
    return due;
  }

  /**
   * Continues after the restart marker that is due. If another one is found, libjpeg's rules apply:
   * continue after it, search further, or treat it as a later one, so that the data in between is
   * missing.
   */
  private void restart() throws JpegException {
    int wanted = Headers.RST0 + nextRestart;
    int marker = nextMarker();
    while (marker != wanted) {
      int ahead = marker - Headers.RST0 - nextRestart & 7;
      boolean isRestart = marker >= Headers.RST0 && marker < Headers.RST0 + 8;
      if (marker < 0xc0 || isRestart && ahead >= 6) {
        marker = nextMarker();
      } else {
        if (!isRestart || ahead <= 2) {
          data.marker = marker; // remains pending: no data until then
        }
        break;
      }
    }
    if (data.marker == 0) {
      exhausted = false;
    }
    nextRestart = nextRestart + 1 & 7;
    for (Component component : scan.components()) {
      component.dc = 0;
    }
    data.open();
  }

  private int nextMarker() throws JpegException {
    int marker = data.nextMarker();
    if (marker == 0) {
      throw Headers.truncated();
    }
    return marker;
  }

  /** Called after an MCU: checks whether its data was complete. */
  private void checkData() throws JpegException {
    if (data.overrun()) {
      if (data.atEnd) {
        throw Headers.truncated();
      }
      exhausted = true;
    }
  }

  /** One scan with all components: blocks become samples after each row of MCUs. */
  private void decodeSingleScan(RgbRows rows) throws IOException {
    startScan(scan);
    int max = 0;
    for (Component component : frame.components()) {
      int blocks = component.blocksPerRow * component.v;
      max = Math.max(max, 64 * blocks);
      component.coefficients = new short[64 * blocks];
      component.nonZero = new long[blocks];
    }
    short[] zeros = new short[max];
    var sequential = new SequentialScan(data, dcTables, acTables);
    var output = new BlockOutput(kernels, frame);
    boolean interleaved = scan.components().size() > 1;
    for (int row = 0; row < frame.mcuRows(); row++) {
      limits.progress();
      if (row > 0) {
        for (Component component : frame.components()) {
          int count = component.coefficients.length;
          System.arraycopy(zeros, 0, component.coefficients, 0, count);
          Arrays.fill(component.nonZero, 0);
        }
      }
      if (interleaved) {
        interleavedRow(sequential);
      } else {
        singleComponentRow(row, sequential);
      }
      for (Component component : frame.components()) {
        output.put(component, row, 0);
      }
      rows.emit(row);
    }
    if (data.atEnd
        && data.bitsLeft() < 8) { // libjpeg requests more bits than it needs and does not get them
      throw Headers.truncated();
    }
    expectEnd();
  }

  private void interleavedRow(SequentialScan sequential) throws JpegException {
    int mcus = frame.mcusPerRow();
    for (int mcu = 0; mcu < mcus; mcu++) {
      restartIfDue();
      if (exhausted) {
        continue;
      }
      for (Component component : scan.components()) {
        for (int y = 0; y < component.v; y++) {
          int at = y * component.blocksPerRow + mcu * component.h;
          for (int x = 0; x < component.h; x++) {
            sequential.read(component, 64 * (at + x));
          }
        }
      }
      checkData();
    }
  }

  private void singleComponentRow(int row, SequentialScan sequential) throws JpegException {
    Component component = scan.components().getFirst();
    int rows = Math.min(component.v, component.heightInBlocks - row * component.v);
    for (int y = 0; y < rows; y++) {
      int at = 64 * y * component.blocksPerRow;
      for (int x = 0; x < component.widthInBlocks; x++, at += 64) {
        restartIfDue();
        if (!exhausted) {
          sequential.read(component, at);
          checkData();
        }
      }
    }
  }

  /** Only tables and the end of the image may follow; the file may also end. */
  private void expectEnd() throws JpegException {
    try {
      if (headers.nextScan() != null) {
        throw new JpegException("is damaged: a scan follows after the image is complete");
      }
    } catch (JpegException e) {
      if (!e.isTruncated()) {
        throw e;
      }
    }
  }

  private void decodeScans(RgbRows rows) throws IOException {
    for (Component component : frame.components()) {
      int blockRows = frame.mcuRows() * component.v;
      component.coefficients = new short[bytes(64L * component.blocksPerRow * blockRows)];
      component.nonZero = new long[component.blocksPerRow * blockRows];
    }
    var smoothing = new BlockSmoothing(frame.components().size());
    for (@Nullable Scan next = scan; next != null; next = headers.nextScan()) {
      startScan(next);
      if (frame.progressive()) {
        smoothing.scan(next);
      }
      countVisits();
      readScan();
    }
    boolean smooth = frame.progressive() && smoothing.isUseful(frame);
    var output = new BlockOutput(kernels, frame);
    for (int row = 0; row < frame.mcuRows(); row++) {
      limits.progress();
      for (Component component : frame.components()) {
        if (smooth) {
          output.putSmoothed(component, row, frame, smoothing, row <= lastGoodRow);
        } else {
          output.put(component, row, row * component.v);
        }
      }
      rows.emit(row);
    }
  }

  /** Thousands of scans over a large image would take minutes. */
  private void countVisits() throws JpegException {
    for (Component component : scan.components()) {
      visits += (long) component.widthInBlocks * component.heightInBlocks;
    }
    if (visits > Math.max(MIN_VISIT_LIMIT, MAX_VISITS_PER_BLOCK * frame.blocks())) {
      throw new JpegException("has %d scans, too many for its size".formatted(scan.number()));
    }
  }

  private void readScan() throws IOException {
    @Nullable SequentialScan sequential =
        frame.progressive() ? null : new SequentialScan(data, dcTables, acTables);
    var progressive = new ProgressiveScan(data, scan, dcTables, acTables);
    for (int row = 0; row < frame.mcuRows(); row++) {
      limits.progress();
      if (scan.components().size() > 1) {
        int mcus = frame.mcusPerRow();
        for (int mcu = 0; mcu < mcus; mcu++) {
          startMcu(row, progressive);
          if (exhausted) {
            continue;
          }
          for (Component component : scan.components()) {
            for (int y = 0; y < component.v; y++) {
              int at = (row * component.v + y) * component.blocksPerRow + mcu * component.h;
              for (int x = 0; x < component.h; x++) {
                readBlock(sequential, progressive, component, 64 * (at + x));
              }
            }
          }
          checkData();
        }
      } else {
        readComponentRow(row, sequential, progressive);
      }
    }
  }

  private void readComponentRow(
      int row, @Nullable SequentialScan sequential, ProgressiveScan progressive)
      throws JpegException {
    Component component = scan.components().getFirst();
    for (int y = row * component.v; y < (row + 1) * component.v; y++) {
      if (y >= component.heightInBlocks) {
        return;
      }
      int at = 64 * y * component.blocksPerRow;
      for (int x = 0; x < component.widthInBlocks; x++, at += 64) {
        startMcu(row, progressive);
        if (!exhausted) {
          readBlock(sequential, progressive, component, at);
          checkData();
        }
      }
    }
  }

  private void startMcu(int row, ProgressiveScan progressive) throws JpegException {
    if (!exhausted) {
      lastGoodRow = row;
    }
    if (restartIfDue()) {
      progressive.restart();
    }
  }

  private static void readBlock(
      @Nullable SequentialScan sequential,
      ProgressiveScan progressive,
      Component component,
      int at) {
    if (sequential == null) {
      progressive.read(component, at);
    } else {
      sequential.read(component, at);
    }
  }
}
