package io.github.resnet4j.image.jpeg;

import io.github.resnet4j.kernel.JpegKernels;
import java.util.List;

/**
 * Converts the components' samples to rows of RGB, one row of MCUs at a time. If a filter uses the
 * rows above and below, the last row group waits for the next row of MCUs.
 */
final class RgbRows {
  private final List<Component> components;
  private final Upsampler[] upsamplers;
  private final byte[][] rows;
  private final int[] starts;
  private final RgbRow converter;
  private final int width;
  private final int height;
  private final int maxV;

  /** The number of row groups in a row of MCUs. */
  private final int groups;

  private final int mcuRows;
  private final boolean context;
  private final byte[] rgb;

  RgbRows(JpegKernels kernels, Frame frame, ColorModel model, int smallestBlock, byte[] rgb)
      throws JpegException {
    components = frame.components();
    groups = smallestBlock;
    width = Frame.ceil(frame.width() * smallestBlock, 8);
    height = Frame.ceil(frame.height() * smallestBlock, 8);
    maxV = frame.maxV();
    mcuRows = frame.mcuRows();
    this.rgb = rgb;
    upsamplers = new Upsampler[components.size()];
    boolean anyContext = false;
    for (Component component : components) {
      var upsampler =
          new Upsampler(kernels, component, frame.maxH(), maxV, smallestBlock, smallestBlock > 1);
      upsamplers[component.index] = upsampler;
      anyContext |= upsampler.needsContext();
    }
    context = anyContext;
    rows = new byte[upsamplers.length][];
    starts = new int[upsamplers.length];
    converter = new RgbRow(kernels, model, width);
    for (Component component : components) {
      component.stride = component.blocksPerRow * component.blockSize;
      int group = component.rowsInGroup;
      component.samples = new byte[(groups + 4) * group * component.stride];
      rows[component.index] = upsamplers[component.index].row();
    }
  }

  /** The index of a component's samples of the row of MCUs. */
  static int start(Component component) {
    return 2 * component.rowsInGroup * component.stride;
  }

  /** Converts the rows that are complete after a row of MCUs. */
  void emit(int mcuRow) {
    boolean last = mcuRow == mcuRows - 1;
    if (context && mcuRow == 0) {
      for (Component component : components) {
        copyRows(component, 0, -1, 1);
      }
    }
    if (context && last) {
      for (Component component : components) {
        int rowsLeft = component.height - mcuRow * groups * component.rowsInGroup;
        for (int i = 0; i < 2 * component.rowsInGroup; i++) {
          copyRows(component, rowsLeft - 1, rowsLeft + i, 1);
        }
      }
    }
    int first = context && mcuRow > 0 ? -1 : 0;
    int end = context && !last ? groups - 1 : groups;
    for (int group = first; group < end; group++) {
      emitGroup(group, (mcuRow * groups + group) * maxV);
    }
    if (context && !last) {
      for (Component component : components) {
        int group = component.rowsInGroup;
        copyRows(component, (groups - 2) * group, -2 * group, 2 * group);
      }
    }
  }

  private void emitGroup(int group, int top) {
    for (int i = 0; i < maxV && top + i < height; i++) {
      for (Component component : components) {
        int c = component.index;
        int at = start(component) + group * component.rowsInGroup * component.stride;
        starts[c] = upsamplers[c].upsample(at, i);
      }
      converter.convert(rows, starts, rgb, (top + i) * width * 3);
    }
  }

  private static void copyRows(Component component, int from, int to, int count) {
    int start = start(component);
    int stride = component.stride;
    System.arraycopy(
        component.samples,
        start + from * stride,
        component.samples,
        start + to * stride,
        count * stride);
  }
}
