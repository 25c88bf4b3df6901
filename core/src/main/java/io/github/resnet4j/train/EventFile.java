package io.github.resnet4j.train;

import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Writes the training curves in TensorBoard's format: records of protocol buffers (TensorFlow's
 * {@code event.proto} and {@code summary.proto}), each with masked checksums (CRC-32C) of its
 * length and content. A resumed training writes a new file; its first record makes TensorBoard
 * discard later steps of earlier files.
 */
public final class EventFile implements Trainer.Listener, AutoCloseable {
  private static final int MASK = 0xa282ead8;

  // Wire types and field numbers of event.proto and summary.proto.
  private static final int VARINT = 0;
  private static final int FIXED64 = 1;
  private static final int BYTES = 2;
  private static final int FIXED32 = 5;

  private final Path file;
  private final long start;
  private @Nullable OutputStream out;
  private long steps;

  /**
   * @param folder the log folder for TensorBoard
   * @param seconds the time since 1970, which orders the files
   */
  public EventFile(Path folder, long seconds) {
    file = folder.resolve("events.out.tfevents.%010d.resnet4j".formatted(seconds));
    start = seconds;
  }

  /** The file; it is created with the first record. */
  public Path file() {
    return file;
  }

  /** Writes a point of a curve. */
  public void scalar(String tag, long step, double value, double seconds) throws IOException {
    var point = new ByteArrayOutputStream();
    bytes(point, 1, tag.getBytes(StandardCharsets.UTF_8));
    varint(point, 2 << 3 | FIXED32);
    point.writeBytes(little(4).putFloat((float) value).array());
    var summary = new ByteArrayOutputStream();
    bytes(summary, 1, point.toByteArray());
    write(event(seconds, step, 5, summary.toByteArray()));
  }

  @Override
  public void begin(Trainer.Start begin) throws IOException {
    steps = begin.steps();
    if (steps > 0) {
      byte[] sessionLog = {1 << 3 | VARINT, 1}; // START
      write(event(now(), steps + 1, 7, sessionLog));
    }
  }

  @Override
  public void step(Trainer.Step step) throws IOException {
    steps = step.number();
    scalar("train/loss", steps, step.loss(), now());
    scalar("train/rate", steps, step.rate(), now());
  }

  @Override
  public void epoch(Trainer.Epoch epoch) throws IOException {
    if (!Double.isNaN(epoch.trainScore())) {
      scalar("epoch/train_" + epoch.metric().id(), steps, epoch.trainScore(), now());
    }
    if (!Double.isNaN(epoch.valLoss())) {
      scalar("epoch/val_loss", steps, epoch.valLoss(), now());
      scalar("epoch/val_" + epoch.metric().id(), steps, epoch.valScore(), now());
    }
    scalar("epoch/images_per_second", steps, epoch.imagesPerSecond(), now());
    opened().flush();
  }

  private static double now() {
    return System.currentTimeMillis() / 1e3;
  }

  private static byte[] event(double seconds, long step, int field, byte[] content) {
    var event = new ByteArrayOutputStream();
    varint(event, 1 << 3 | FIXED64);
    event.writeBytes(little(8).putDouble(seconds).array());
    if (step != 0) {
      varint(event, 2 << 3 | VARINT);
      varint(event, step);
    }
    bytes(event, field, content);
    return event.toByteArray();
  }

  private static void bytes(ByteArrayOutputStream to, int field, byte[] content) {
    varint(to, field << 3 | BYTES);
    varint(to, content.length);
    to.writeBytes(content);
  }

  private static void varint(ByteArrayOutputStream to, long value) {
    long rest = value;
    while (rest >>> 7 != 0) {
      to.write((int) (rest & 0x7f | 0x80));
      rest >>>= 7;
    }
    to.write((int) rest);
  }

  private static ByteBuffer little(int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private OutputStream opened() throws IOException {
    OutputStream opened = out;
    if (opened == null) {
      Files.createDirectories(file.toAbsolutePath().getParent());
      opened = new BufferedOutputStream(Files.newOutputStream(file));
      out = opened;
      byte[] version = "brain.Event:2".getBytes(StandardCharsets.UTF_8);
      write(event(start, 0, 3, version));
    }
    return opened;
  }

  private void write(byte[] record) throws IOException {
    OutputStream to = opened();
    byte[] length = little(8).putLong(record.length).array();
    to.write(length);
    to.write(little(4).putInt(masked(length)).array());
    to.write(record);
    to.write(little(4).putInt(masked(record)).array());
  }

  private static int masked(byte[] bytes) {
    var checksum = new CRC32C();
    checksum.update(bytes);
    int crc = (int) checksum.getValue();
    return Integer.rotateRight(crc, 15) + MASK;
  }

  @Override
  public void close() throws IOException {
    if (out != null) {
      out.close();
    }
  }
}
