package io.github.resnet4j.datasets;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;

/** A part of a set that is read from front to back: a tar file, or a row group of Parquet. */
interface Shard {
  /** The name in messages. */
  String name();

  /** A name from a file for messages: without characters that control a terminal. */
  static String printable(String name) {
    return name.replaceAll("\\p{Cntrl}", "?");
  }

  /** Receives the images of a shard. */
  interface Sink {
    /**
     * @param name the name of the image within the shard
     * @param position where {@link Shard#read} finds it
     * @param size the number of its bytes, or another number that changes with them
     */
    void image(String name, long position, int size, RawTarget target) throws IOException;
  }

  /**
   * Lists the images, once and before they are read. What is damaged is reported and skipped.
   *
   * @throws IOException if the sink or the receiver of damages throws it
   */
  void scan(Sink sink, ReadOptions.Damages damages) throws IOException;

  /** The file that {@link #read} takes, if it need not be unpacked. */
  Path file();

  /** Whether {@link #unpack} has to be called to get a file that can be read at any position. */
  boolean isPacked();

  /** Writes a file that can be read at any position. */
  void unpack(Path to) throws IOException;

  /**
   * The bytes of an image.
   *
   * @param unpacked the shard's own file, or the unpacked one
   */
  byte[] read(RandomAccessFile unpacked, long position, int size) throws IOException;
}
