package io.github.resnet4j.image;

/**
 * Smooths the edges of VP8's macroblocks and blocks with a given strength (RFC 6386, section 15).
 */
final class Vp8LoopFilter {
  /** 0 if nothing is filtered. */
  private final int limit;

  private final int innerLimit;
  private final int varianceLimit;

  /**
   * @param level 0 to 63; larger values are clipped
   */
  Vp8LoopFilter(int level, int sharpness) {
    int clipped = Math.clamp(level, 0, 63);
    int inner = clipped;
    if (sharpness > 0) {
      inner = Math.min(inner >> (sharpness > 4 ? 2 : 1), 9 - sharpness);
    }
    innerLimit = Math.max(inner, 1);
    limit = clipped == 0 ? 0 : 2 * clipped + innerLimit;
    varianceLimit = clipped >= 40 ? 2 : clipped >= 15 ? 1 : 0;
  }

  /** Changes two samples at each edge of luma. */
  void simple(Plane plane, int column, int row, boolean inner) {
    if (limit == 0) {
      return;
    }
    int at = plane.at(16 * column, 16 * row);
    int stride = plane.stride();
    if (column > 0) {
      simpleEdge(plane.data(), at, 1, stride, limit + 4);
    }
    for (int i = 4; i < 16 && inner; i += 4) {
      simpleEdge(plane.data(), at + i, 1, stride, limit);
    }
    if (row > 0) {
      simpleEdge(plane.data(), at, stride, 1, limit + 4);
    }
    for (int i = 4; i < 16 && inner; i += 4) {
      simpleEdge(plane.data(), at + i * stride, stride, 1, limit);
    }
  }

  private static void simpleEdge(byte[] data, int at, int across, int along, int max) {
    for (int i = 0, p = at; i < 16; i++, p += along) {
      if (difference(data, p, across) <= 2 * max + 1) {
        narrow(data, p, across);
      }
    }
  }

  /** Changes up to six samples at each edge of a component. */
  void normal(Plane plane, int size, int column, int row, boolean inner) {
    if (limit == 0) {
      return;
    }
    int at = plane.at(size * column, size * row);
    int stride = plane.stride();
    byte[] data = plane.data();
    if (column > 0) {
      edge(data, at, 1, stride, size, limit + 4, true);
    }
    for (int i = 4; i < size && inner; i += 4) {
      edge(data, at + i, 1, stride, size, limit, false);
    }
    if (row > 0) {
      edge(data, at, stride, 1, size, limit + 4, true);
    }
    for (int i = 4; i < size && inner; i += 4) {
      edge(data, at + i * stride, stride, 1, size, limit, false);
    }
  }

  private void edge(
      byte[] data, int at, int across, int along, int size, int max, boolean macroblock) {
    for (int i = 0, p = at; i < size; i++, p += along) {
      if (difference(data, p, across) > 2 * max + 1 || !isSmooth(data, p, across)) {
        continue;
      }
      if (step(data, p - 2 * across, across) > varianceLimit
          || step(data, p, across) > varianceLimit) {
        narrow(data, p, across);
      } else if (macroblock) {
        wide(data, p, across);
      } else {
        middle(data, p, across);
      }
    }
  }

  private static int difference(byte[] data, int p, int across) {
    int p1 = data[p - 2 * across] & 0xff;
    int p0 = data[p - across] & 0xff;
    int q0 = data[p] & 0xff;
    int q1 = data[p + across] & 0xff;
    return 4 * Math.abs(p0 - q0) + Math.abs(p1 - q1);
  }

  /** The difference between a sample and the next. */
  private static int step(byte[] data, int p, int across) {
    return Math.abs((data[p] & 0xff) - (data[p + across] & 0xff));
  }

  private boolean isSmooth(byte[] data, int p, int across) {
    return step(data, p - 4 * across, across) <= innerLimit
        && step(data, p - 3 * across, across) <= innerLimit
        && step(data, p - 2 * across, across) <= innerLimit
        && step(data, p, across) <= innerLimit
        && step(data, p + across, across) <= innerLimit
        && step(data, p + 2 * across, across) <= innerLimit;
  }

  private static int signed(int value) {
    return Math.clamp(value, -128, 127);
  }

  private static byte clip(int value) {
    return (byte) Math.clamp(value, 0, 255);
  }

  private static void narrow(byte[] data, int p, int across) {
    int p1 = data[p - 2 * across] & 0xff;
    int p0 = data[p - across] & 0xff;
    int q0 = data[p] & 0xff;
    int q1 = data[p + across] & 0xff;
    int a = 3 * (q0 - p0) + signed(p1 - q1);
    data[p - across] = clip(p0 + eighth(a + 3));
    data[p] = clip(q0 - eighth(a + 4));
  }

  private static int eighth(int value) {
    return Math.clamp(value >> 3, -16, 15);
  }

  private static void middle(byte[] data, int p, int across) {
    int p1 = data[p - 2 * across] & 0xff;
    int p0 = data[p - across] & 0xff;
    int q0 = data[p] & 0xff;
    int q1 = data[p + across] & 0xff;
    int a = 3 * (q0 - p0);
    int right = eighth(a + 4);
    int outer = (right + 1) >> 1;
    data[p - 2 * across] = clip(p1 + outer);
    data[p - across] = clip(p0 + eighth(a + 3));
    data[p] = clip(q0 - right);
    data[p + across] = clip(q1 - outer);
  }

  private static void wide(byte[] data, int p, int across) {
    int p2 = data[p - 3 * across] & 0xff;
    int p1 = data[p - 2 * across] & 0xff;
    int p0 = data[p - across] & 0xff;
    int q0 = data[p] & 0xff;
    int q1 = data[p + across] & 0xff;
    int q2 = data[p + 2 * across] & 0xff;
    int a = signed(3 * (q0 - p0) + signed(p1 - q1));
    int near = (27 * a + 63) >> 7;
    int further = (18 * a + 63) >> 7;
    int furthest = (9 * a + 63) >> 7;
    data[p - 3 * across] = clip(p2 + furthest);
    data[p - 2 * across] = clip(p1 + further);
    data[p - across] = clip(p0 + near);
    data[p] = clip(q0 - near);
    data[p + across] = clip(q1 - further);
    data[p + 2 * across] = clip(q2 - furthest);
  }
}
