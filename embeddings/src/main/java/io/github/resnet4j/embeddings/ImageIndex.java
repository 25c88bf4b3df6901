package io.github.resnet4j.embeddings;

import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.lucene.codecs.Codec;
import org.apache.lucene.codecs.FilterCodec;
import org.apache.lucene.codecs.KnnVectorsFormat;
import org.apache.lucene.codecs.KnnVectorsReader;
import org.apache.lucene.codecs.KnnVectorsWriter;
import org.apache.lucene.codecs.lucene99.Lucene99HnswVectorsFormat;
import org.apache.lucene.codecs.perfield.PerFieldKnnVectorsFormat;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.KnnFloatVectorField;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.document.StringField;
import org.apache.lucene.index.CorruptIndexException;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexFileNames;
import org.apache.lucene.index.IndexFormatTooNewException;
import org.apache.lucene.index.IndexFormatTooOldException;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.MultiBits;
import org.apache.lucene.index.SegmentReadState;
import org.apache.lucene.index.SegmentWriteState;
import org.apache.lucene.index.Term;
import org.apache.lucene.index.VectorSimilarityFunction;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.KnnFloatVectorQuery;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.store.FSDirectory;
import org.apache.lucene.store.LockObtainFailedException;
import org.apache.lucene.util.Bits;
import org.jspecify.annotations.Nullable;

/**
 * Images by their embeddings, in a folder that persists: which are there in which version, and
 * which are nearest to another by cosine (a graph of neighbours, HNSW, arXiv 1603.09320, in Apache
 * Lucene). What was added counts from {@link #commit} on; a process that is killed leaves the index
 * as it was at the last one.
 */
public final class ImageIndex implements AutoCloseable {
  private static final String PATH = "path";
  private static final String VERSION = "version";
  private static final String VECTOR = "vector";
  private static final String MODEL = "model";

  /** Embeddings of the widest networks: Lucene itself stops at 1,024. */
  private static final int MOST_DIMENSIONS = 1 << 14;

  /** Neighbours that a search looks for at least, so that the graph's nearest are found. */
  private static final int LEAST_NEIGHBOURS = 100;

  /** Names that Lucene takes for its own in the folder of an index, and deletes if unused. */
  private static final Pattern CLAIMED =
      Pattern.compile(
          "(%s|%s).*|%s"
              .formatted(
                  IndexFileNames.SEGMENTS,
                  IndexFileNames.PENDING_SEGMENTS,
                  IndexFileNames.CODEC_FILE_PATTERN));

  /** Names that Lucene gives. */
  private static final Pattern OWN =
      Pattern.compile(
          "(pending_)?segments_[0-9a-z]+|_[0-9a-z]+(_[0-9A-Za-z_-]+)?"
              + "\\.(si|cf[se]|fnm|fd[mtx]|ti[mp]|tmd|doc|pos|pay|psm|nv[dm]|dv[dm]|liv|ve[cmx]"
              + "|vemf|vemq|veq|tmp)");

  /** An image and how near it is: the cosine, from −1 to 1. */
  public record Neighbour(String path, double cosine) {}

  private final FSDirectory directory;
  private final IndexWriter writer;
  private final Map<String, String> versions = new HashMap<>();
  private final boolean damaged;

  /**
   * Opens the index in a folder, or makes one. A damaged index is replaced by an empty one, see
   * {@link #wasDamaged}. Other files in the folder are left alone.
   *
   * @param model what the embeddings come from; an index of another model is emptied, since its
   *     embeddings cannot be compared
   * @throws IOException if the folder cannot be read or written, another process writes to the
   *     index, or there are other files whose names Lucene would take for its own, and delete
   */
  @SuppressWarnings("MustBeClosedChecker") // closed with this
  public ImageIndex(Path folder, String model) throws IOException {
    Files.createDirectories(folder);
    directory = FSDirectory.open(folder);
    try {
      boolean incomplete = isIncomplete(directory);
      IndexWriter opened = incomplete ? null : tryOpen(model);
      damaged = opened == null;
      if (opened == null) {
        deleteFiles();
        versions.clear();
        opened = open(model);
      }
      writer = opened;
    } catch (LockObtainFailedException e) {
      directory.close();
      throw new IOException(folder + ": another process is writing to this index", e);
    } catch (IOException | RuntimeException e) {
      directory.close();
      throw e;
    }
  }

  /**
   * Whether there are segments without a list of them.
   *
   * @throws IOException if Lucene would delete a file that is not its own
   */
  private static boolean isIncomplete(FSDirectory directory) throws IOException {
    boolean index = false;
    var claimed = new ArrayList<String>();
    for (String name : directory.listAll()) {
      if (CLAIMED.matcher(name).matches()) {
        claimed.add(name);
        index |= name.startsWith(IndexFileNames.SEGMENTS) || name.endsWith(".si");
      }
    }
    for (String name : claimed) {
      if (!index || !OWN.matcher(name).matches()) {
        throw new IOException(
            "%s: holds %s, a name that the index might use and delete; choose another folder for"
                    .formatted(directory.getDirectory(), name)
                + " the index");
      }
    }
    return index && !DirectoryReader.indexExists(directory);
  }

  /** Opens the index if all of it can be read. */
  private @Nullable IndexWriter tryOpen(String model) throws IOException {
    try {
      return open(model);
    } catch (CorruptIndexException
        | IndexFormatTooOldException
        | IndexFormatTooNewException
        | EOFException
        | NoSuchFileException
        | FileNotFoundException
        | RuntimeException _) { // Lucene throws any of these for bytes that make no sense
      return null;
    }
  }

  @SuppressWarnings("MustBeClosedChecker") // closed with this
  private IndexWriter open(String model) throws IOException {
    var config = new IndexWriterConfig();
    config.setCodec(new WideVectors());
    var opened = new IndexWriter(directory, config);
    try {
      boolean same = false;
      if (opened.getLiveCommitData() != null) {
        for (var entry : opened.getLiveCommitData()) {
          same |= entry.getKey().equals(MODEL) && entry.getValue().equals(model);
        }
      }
      if (!same) {
        opened.deleteAll();
      }
      readVersions(opened);
      opened.setLiveCommitData(Map.of(MODEL, model).entrySet());
      opened.commit();
      return opened;
    } catch (IOException | RuntimeException e) {
      opened.rollback();
      throw e;
    }
  }

  private void readVersions(IndexWriter opened) throws IOException {
    try (var reader = DirectoryReader.open(opened)) {
      for (var leaf : reader.leaves()) {
        leaf.reader().checkIntegrity(); // or damaged vectors would give wrong neighbours
      }
      var stored = reader.storedFields();
      Bits live = MultiBits.getLiveDocs(reader);
      for (int i = 0; i < reader.maxDoc(); i++) {
        if (live == null || live.get(i)) {
          Document document = stored.document(i);
          versions.put(document.get(PATH), document.get(VERSION));
        }
      }
    }
  }

  /** Deletes what Lucene wrote. It would read a damaged list of segments even to replace it. */
  private void deleteFiles() throws IOException {
    try (var _ = directory.obtainLock(IndexWriter.WRITE_LOCK_NAME)) {
      for (String name : directory.listAll()) {
        if (OWN.matcher(name).matches()) {
          directory.deleteFile(name);
        }
      }
    }
  }

  /** Whether the index was found damaged, or of another version, and is therefore empty now. */
  public boolean wasDamaged() {
    return damaged;
  }

  /** The images that are there, each with its version. */
  public Map<String, String> versions() {
    return Map.copyOf(versions);
  }

  /**
   * Adds an image or replaces it.
   *
   * @param version whatever changes when the image does, such as size and time
   * @param embedding all of one index of one length, and none all zeros
   * @throws IllegalArgumentException if the embedding has no direction
   */
  public void put(String path, String version, float[] embedding) throws IOException {
    var document = new Document();
    document.add(new StringField(PATH, path, Field.Store.YES));
    document.add(new StoredField(VERSION, version));
    document.add(
        new KnnFloatVectorField(VECTOR, unit(embedding), VectorSimilarityFunction.DOT_PRODUCT));
    writer.updateDocument(new Term(PATH, path), document);
    versions.put(path, version);
  }

  /** Forgets an image. */
  public void remove(String path) throws IOException {
    writer.deleteDocuments(new Term(PATH, path));
    versions.remove(path);
  }

  /** Makes what was done so far last. */
  public void commit() throws IOException {
    writer.commit();
  }

  /**
   * The images nearest to an embedding, nearest first.
   *
   * @throws IllegalArgumentException if the embedding has no direction
   */
  public List<Neighbour> nearest(float[] embedding, int count) throws IOException {
    var found = new ArrayList<Neighbour>();
    try (var reader = DirectoryReader.open(writer)) {
      if (reader.numDocs() == 0) {
        return List.of();
      }
      var searcher = new IndexSearcher(reader);
      int wanted = Math.max(count, LEAST_NEIGHBOURS);
      var hits = searcher.search(new KnnFloatVectorQuery(VECTOR, unit(embedding), wanted), count);
      for (ScoreDoc hit : hits.scoreDocs) {
        // Lucene's score of a scalar product is (1 + product) / 2.
        found.add(
            new Neighbour(reader.storedFields().document(hit.doc).get(PATH), 2 * hit.score - 1));
      }
    }
    return List.copyOf(found);
  }

  private static float[] unit(float[] embedding) {
    double sum = 0;
    for (float value : embedding) {
      sum += (double) value * value;
    }
    if (!(sum > 0) || Double.isInfinite(sum)) {
      throw new IllegalArgumentException("an embedding of zeros or without finite numbers");
    }
    float[] unit = new float[embedding.length];
    for (int i = 0; i < unit.length; i++) {
      unit[i] = (float) (embedding[i] / Math.sqrt(sum));
    }
    return unit;
  }

  @Override
  public void close() throws IOException {
    try (directory) {
      writer.close();
    }
  }

  /** Lucene's own format, for longer vectors; it is read by its own name. */
  private static final class WideVectors extends FilterCodec {
    private static final KnnVectorsFormat FORMAT = new Lucene99HnswVectorsFormat();

    private final KnnVectorsFormat perField =
        new PerFieldKnnVectorsFormat() {
          @Override
          public KnnVectorsFormat getKnnVectorsFormatForField(String field) {
            return new Wide();
          }
        };

    WideVectors() {
      super(Codec.getDefault().getName(), Codec.getDefault());
    }

    @Override
    public KnnVectorsFormat knnVectorsFormat() {
      return perField;
    }

    private static final class Wide extends KnnVectorsFormat {
      Wide() {
        super(FORMAT.getName());
      }

      @Override
      public KnnVectorsWriter fieldsWriter(SegmentWriteState state) throws IOException {
        return FORMAT.fieldsWriter(state);
      }

      @Override
      public KnnVectorsReader fieldsReader(SegmentReadState state) throws IOException {
        return FORMAT.fieldsReader(state);
      }

      @Override
      public int getMaxDimensions(String field) {
        return MOST_DIMENSIONS;
      }
    }
  }
}
