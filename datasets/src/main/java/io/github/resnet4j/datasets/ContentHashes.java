package io.github.resnet4j.datasets;

import io.github.resnet4j.datasets.DataInspection.Duplicates;
import io.github.resnet4j.datasets.DataInspection.Pair;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Finds images with the same bytes. Hashes are written to one of many temporary files, chosen by
 * their first byte, and then compared file by file, so that only a small part is in memory.
 */
final class ContentHashes {
  private static final int FILES = 256;

  private final Path folder;
  private final @Nullable DataOutputStream[] files = new @Nullable DataOutputStream[FILES];

  ContentHashes() throws IOException {
    folder = TemporaryFolder.create().path();
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every JVM has it
    }
  }

  private Path file(int number) {
    return folder.resolve("hashes-" + number);
  }

  /**
   * @param part 0 for training, 1 for validation; training images come first
   */
  void add(byte[] digest, int part, String name) throws IOException {
    int number = digest[0] & 0xff;
    DataOutputStream out = files[number];
    if (out == null) {
      out = new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(file(number))));
      files[number] = out;
    }
    out.write(digest, 0, 16);
    out.writeByte(part);
    out.writeUTF(name.length() > 10_000 ? name.substring(0, 10_000) : name);
  }

  /** Half of a SHA-256, which is enough to find equal files. */
  private record Key(long high, long low) {}

  /** The first image with these bytes. */
  private record First(int part, String name) {}

  Duplicates duplicates() throws IOException {
    long[] counts = new long[3];
    var pairs = new ArrayList<Pair>();
    for (int number = 0; number < FILES; number++) {
      DataOutputStream out = files[number];
      if (out == null) {
        continue;
      }
      out.close();
      compare(file(number), counts, pairs);
      Files.delete(file(number));
    }
    Files.delete(folder);
    pairs.sort(Comparator.comparing(Pair::second));
    return new Duplicates(counts[0], counts[1], counts[2], List.copyOf(pairs));
  }

  private static void compare(Path file, long[] counts, List<Pair> pairs) throws IOException {
    Map<Key, First> seen = new HashMap<>();
    try (var in = new DataInputStream(new BufferedInputStream(Files.newInputStream(file)))) {
      while (true) {
        byte[] hash = in.readNBytes(16);
        if (hash.length == 0) {
          return;
        }
        var bytes = ByteBuffer.wrap(hash);
        int part = in.readByte();
        String name = in.readUTF();
        First first =
            seen.putIfAbsent(new Key(bytes.getLong(), bytes.getLong()), new First(part, name));
        if (first != null) {
          counts[part == 0 ? 0 : first.part == 0 ? 2 : 1]++;
          if (pairs.size() < DataInspection.MAX_LISTED) {
            pairs.add(new Pair(first.name, name));
          }
        }
      }
    }
  }
}
