package io.github.resnet4j.checkpoint;

import static java.util.Comparator.comparingLong;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The directory of a zip file with uncompressed entries, as {@code torch.save} writes them, so that
 * each entry is a slice of the mapped file. {@code java.util.zip} does not provide the position of
 * an entry's data, hence this reader; see PKWARE's APPNOTE 6.3.9, section 4.3.
 */
final class StoredZip {
  private static final int END_OF_DIRECTORY = 0x06054b50;
  private static final int ZIP64_LOCATOR = 0x07064b50;
  private static final int ZIP64_END_OF_DIRECTORY = 0x06064b50;
  private static final int DIRECTORY_ENTRY = 0x02014b50;
  private static final int LOCAL_HEADER = 0x04034b50;
  private static final int ZIP64_EXTRA = 1;
  private static final int MAX_ENTRIES = 200_000;

  /** The checksum that torch.save writes without {@code compute_crc32}. */
  private static final int NO_CHECKSUM = 0;

  /** The memory of an entry, in addition to its name. */
  private static final int ENTRY = 320;

  private final MemorySegment file;
  private final Budget budget;

  private StoredZip(MemorySegment file, Budget budget) {
    this.file = file;
    this.budget = budget;
  }

  /**
   * One entry.
   *
   * @param stored its bytes in the file
   * @param checksum the checksum in the directory
   * @param start the offset of its header in the file
   * @param end the offset after its last byte in the file
   */
  record Entry(
      String name, boolean compressed, MemorySegment stored, int checksum, long start, long end) {
    /**
     * The entry's bytes. They are read once, and their checksum is compared, if there is one.
     *
     * @throws Malformed if they are compressed or damaged
     */
    MemorySegment bytes() {
      if (compressed) {
        throw new Malformed(
            "entry %s is compressed, which torch.save never does; save it again from Python"
                .formatted(name));
      }
      if (checksum != NO_CHECKSUM && (int) LittleEndian.crc32(stored) != checksum) {
        throw new Malformed("entry %s is damaged: its checksum differs".formatted(name));
      }
      return stored;
    }

    /** The number of its bytes in the file. */
    long size() {
      return stored.byteSize();
    }
  }

  /**
   * The entries by name, without the folder that all of them share.
   *
   * @throws Malformed if the file is not such a zip
   */
  static Map<String, Entry> read(MemorySegment file, Budget budget) {
    try {
      return new StoredZip(file, budget).entries();
    } catch (IndexOutOfBoundsException e) {
      throw new Malformed("the zip directory points outside the file; it is truncated or damaged");
    }
  }

  private Map<String, Entry> entries() {
    long end = findEndOfDirectory();
    long count = u16(end + 10);
    long position = u32(end + 16);
    if (end >= 20 && file.get(LittleEndian.INT, end - 20) == ZIP64_LOCATOR) {
      long end64 = file.get(LittleEndian.LONG, end - 20 + 8);
      if (file.get(LittleEndian.INT, end64) != ZIP64_END_OF_DIRECTORY) {
        throw new Malformed("the zip64 directory is not where the file says");
      }
      count = file.get(LittleEndian.LONG, end64 + 32);
      position = file.get(LittleEndian.LONG, end64 + 48);
    }
    if (count < 0 || count > MAX_ENTRIES) {
      throw new Malformed("the zip claims %,d entries".formatted(count));
    }
    var entries = new LinkedHashMap<String, Entry>();
    for (long i = 0; i < count; i++) {
      if (file.get(LittleEndian.INT, position) != DIRECTORY_ENTRY) {
        throw new Malformed("the zip directory is damaged at byte " + position);
      }
      int nameLength = u16(position + 28);
      int extraLength = u16(position + 30);
      int commentLength = u16(position + 32);
      budget.take(ENTRY + 4L * nameLength);
      Entry entry = entry(position, nameLength, extraLength);
      if (entries.put(entry.name, entry) != null) {
        throw new Malformed("the zip has two entries named " + entry.name);
      }
      position += 46 + nameLength + extraLength + commentLength;
    }
    checkOverlaps(entries.values());
    return withoutSharedFolder(entries);
  }

  /** Rejects entries that share bytes, which would be read and checked repeatedly. */
  private static void checkOverlaps(Collection<Entry> entries) {
    long end = 0;
    for (Entry entry : entries.stream().sorted(comparingLong(Entry::start)).toList()) {
      if (entry.start < end) {
        throw new Malformed("entry %s lies inside another one".formatted(entry.name));
      }
      end = entry.end;
    }
  }

  private long findEndOfDirectory() {
    long last = file.byteSize() - 22;
    for (long at = last; at >= Math.max(0, last - 0xffff); at--) {
      if (file.get(LittleEndian.INT, at) == END_OF_DIRECTORY) {
        return at;
      }
    }
    throw new Malformed("the zip directory at the end is missing; the file is truncated");
  }

  private Entry entry(long at, int nameLength, int extraLength) {
    String name =
        new String(
            file.asSlice(at + 46, nameLength).toArray(ValueLayout.JAVA_BYTE),
            StandardCharsets.UTF_8);
    if (name.startsWith("/")
        || name.contains("\\")
        || name.contains("\0")
        || Arrays.asList(name.split("/", -1)).contains("..")) {
      throw new Malformed("the zip names an entry outside its folder: " + name);
    }
    int flags = u16(at + 8);
    int method = u16(at + 10);
    long compressed = u32(at + 20);
    long size = u32(at + 24);
    long header = u32(at + 42);
    long extra = at + 46 + nameLength;
    for (long e = extra; e + 4 <= extra + extraLength; e += 4 + u16(e + 2)) {
      if (u16(e) == ZIP64_EXTRA) {
        long field = e + 4;
        if (size == 0xffffffffL) {
          size = file.get(LittleEndian.LONG, field);
          field += 8;
        }
        if (compressed == 0xffffffffL) {
          compressed = file.get(LittleEndian.LONG, field);
          field += 8;
        }
        if (header == 0xffffffffL) {
          header = file.get(LittleEndian.LONG, field);
        }
      }
    }
    if ((flags & 1) != 0) {
      throw new Malformed("entry " + name + " is encrypted");
    }
    if (file.get(LittleEndian.INT, header) != LOCAL_HEADER) {
      throw new Malformed("entry " + name + " does not start where the directory says");
    }
    long data = header + 30 + u16(header + 26) + u16(header + 28);
    if (compressed < 0
        || compressed > file.byteSize() - data
        || (method == 0 && compressed != size)) {
      throw new Malformed("entry %s claims %,d bytes, the file has fewer".formatted(name, size));
    }
    return new Entry(
        name,
        method != 0,
        file.asSlice(data, compressed),
        file.get(LittleEndian.INT, at + 16),
        header,
        data + compressed);
  }

  private static Map<String, Entry> withoutSharedFolder(Map<String, Entry> entries) {
    var stripped = new HashMap<String, Entry>();
    String folder = null;
    for (Entry entry : entries.values()) {
      int slash = entry.name.indexOf('/');
      String first = entry.name.substring(0, slash + 1);
      if (folder == null) {
        folder = first;
      } else if (!folder.equals(first)) {
        return entries;
      }
      stripped.put(entry.name.substring(slash + 1), entry);
    }
    return stripped;
  }

  private int u16(long at) {
    return file.get(LittleEndian.SHORT, at) & 0xffff;
  }

  private long u32(long at) {
    return file.get(LittleEndian.INT, at) & 0xffffffffL;
  }
}
