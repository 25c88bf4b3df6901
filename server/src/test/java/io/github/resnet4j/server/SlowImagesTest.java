package io.github.resnet4j.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.server.Client.Answer;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import javax.imageio.IIOImage;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriteParam;
import javax.imageio.ImageWriter;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Small files that take long to decode delay only their own requests. */
class SlowImagesTest {
  private static final long SECOND = 1_000_000_000;

  @TempDir private static Path folder;
  private static Client client;

  @BeforeAll
  static void start() throws IOException {
    client = new Client(Client.options(folder));
  }

  @AfterAll
  static void stop() throws IOException {
    client.close();
  }

  /** 3 kB of truncated lossy WebP: a decoder may attempt recovery at every block. */
  private static byte[] webp() throws IOException {
    try (InputStream in = SlowImagesTest.class.getResourceAsStream("slow.webp")) {
      return in.readAllBytes();
    }
  }

  /** A progressive JPEG of 2048 × 2048 pixels whose last scan is repeated 2,000 times. */
  private static byte[] jpeg() throws IOException {
    ImageWriter writer = ImageIO.getImageWritersByFormatName("jpeg").next();
    var bytes = new ByteArrayOutputStream();
    try (var out = ImageIO.createImageOutputStream(bytes)) {
      writer.setOutput(out);
      ImageWriteParam parameters = writer.getDefaultWriteParam();
      parameters.setProgressiveMode(ImageWriteParam.MODE_DEFAULT);
      var gray = new BufferedImage(2048, 2048, BufferedImage.TYPE_BYTE_GRAY);
      writer.write(null, new IIOImage(gray, null, null), parameters);
    } finally {
      writer.dispose();
    }
    byte[] whole = bytes.toByteArray();
    int scan = whole.length - 2;
    while (whole[scan] != (byte) 0xff || whole[scan + 1] != (byte) 0xda) {
      scan--;
    }
    var repeated = new ByteArrayOutputStream();
    repeated.write(whole, 0, scan);
    for (int i = 0; i < 2000; i++) {
      repeated.write(whole, scan, whole.length - 2 - scan);
    }
    repeated.write(whole, whole.length - 2, 2);
    return repeated.toByteArray();
  }

  /**
   * A BMP whose header declares 8 × 8 pixels and whose data is a PNG that declares 26,000 × 26,000.
   */
  private static byte[] bmpOfPng() throws IOException {
    var png = new ByteArrayOutputStream();
    ImageIO.write(new BufferedImage(8, 8, BufferedImage.TYPE_3BYTE_BGR), "png", png);
    byte[] inner = png.toByteArray();
    ByteBuffer.wrap(inner).putInt(16, 26_000).putInt(20, 26_000);
    return ByteBuffer.allocate(54 + inner.length)
        .order(java.nio.ByteOrder.LITTLE_ENDIAN)
        .put("BM".getBytes(StandardCharsets.US_ASCII))
        .putInt(54 + inner.length)
        .putInt(0)
        .putInt(54)
        .putInt(40)
        .putInt(8)
        .putInt(8)
        .putShort((short) 1)
        .putShort((short) 24)
        .putInt(5) // BI_PNG
        .putInt(inner.length)
        .putInt(0)
        .putInt(0)
        .putInt(0)
        .putInt(0)
        .put(inner)
        .array();
  }

  /**
   * Measures by how much other load delays threads: the total delay of a thread that only sleeps.
   */
  private static final class Stalls implements AutoCloseable {
    private static final long TICK = 20_000_000;
    private final AtomicLong late = new AtomicLong();
    private final Thread thread = Thread.ofPlatform().daemon().start(this::count);

    private void count() {
      long last = System.nanoTime();
      while (!Thread.interrupted()) {
        LockSupport.parkNanos(TICK);
        long now = System.nanoTime();
        late.addAndGet(Math.max(0, now - last - TICK));
        last = now;
      }
    }

    long nanos() {
      return late.get();
    }

    @Override
    public void close() {
      thread.interrupt();
    }
  }

  @Test
  void healthAndMetricsDoNotWaitForSlowImages() throws Exception {
    List<byte[]> slow = List.of(webp(), jpeg());
    List<String> paths = List.of("/v2/health/live", "/v2/health/ready", "/metrics");
    for (String path : paths) {
      assertEquals(200, client.get(path).status());
    }
    int asked = 0;
    try (var stalls = new Stalls();
        var threads = Executors.newVirtualThreadPerTaskExecutor()) {
      var requests = new ArrayList<Future<Answer>>();
      for (int i = 0; i < 16; i++) {
        byte[] image = slow.get(i % slow.size());
        Callable<Answer> request =
            () -> client.post("/classify?timeout_ms=3000", "application/octet-stream", image);
        requests.add(threads.submit(request));
      }
      while (requests.stream().anyMatch(request -> !request.isDone())) {
        for (String path : paths) {
          long begin = System.nanoTime();
          long before = stalls.nanos();
          assertEquals(200, client.get(path).status());
          long took = System.nanoTime() - begin;
          asked++;
          if (took > SECOND) {
            Thread.sleep(200); // a stall is counted when it ends
            long stalled = stalls.nanos() - before;
            assertTrue(
                took - stalled <= SECOND,
                () -> "%s took %d ns, the machine %d".formatted(path, took, stalled));
          }
        }
        Thread.sleep(20);
      }
      for (Future<Answer> request : requests) {
        int status = request.get().status();
        assertTrue(List.of(200, 400, 504).contains(status), () -> "status " + status);
      }
    }
    assertTrue(asked > paths.size(), "the images were not slow: " + asked);
    Answer next = client.post("/classify", "image/png", Client.digit(6));
    assertEquals(200, next.status(), "images past their deadline are not decoded: " + next);
  }

  @Test
  void deadlineInterruptsDecoding() throws Exception {
    for (byte[] image : List.of(webp(), jpeg())) {
      long begin = System.nanoTime();
      Answer answer = client.post("/classify?timeout_ms=200", "application/octet-stream", image);
      long took = (System.nanoTime() - begin) / 1_000_000;
      assertTrue(answer.status() == 504 || answer.status() == 400, answer::toString);
      assertTrue(took < 1200, "took " + took + " ms");
    }
  }

  @Test
  void unsupportedAndDisguisedFormatsAreRejected() throws Exception {
    Answer answer = client.post("/classify", "image/bmp", bmpOfPng());
    assertEquals(400, answer.status(), answer::toString);
    byte[] wbmp = {0, 0, (byte) 0x84, 0, (byte) 0x84, 0, 1, 2, 3, 4}; // 512 × 512, if anything
    answer = client.post("/classify", "image/vnd.wap.wbmp", wbmp);
    assertEquals(400, answer.status(), answer::toString);
  }
}
