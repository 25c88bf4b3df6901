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
 * A persistent index of images by their embeddings, for similarity search by cosine similarity
 * (HNSW, arXiv 1603.09320, in Apache Lucene). Changes are durable after {@link #commit}; if the
 * process is killed, the index keeps the state of the last commit.
 */
public final class ImageIndex implements AutoCloseable {
  private static final String PATH = "path";
  private static final String VERSION = "version";
  private static final String VECTOR = "vector";
  private static final String MODEL = "model";

  /** The maximum embedding length; Lucene's own limit is 1,024. */
  private static final int MAX_DIMENSIONS = 1 << 14;

  /** The minimum number of candidates of a search, for a high recall. */
  private static final int MIN_CANDIDATES = 100;

  /** File names that Lucene treats as its own in the folder of an index, and deletes if unused. */
  private static final Pattern RESERVED_NAMES =
      Pattern.compile(
          "(%s|%s).*|%s"
              .formatted(
                  IndexFileNames.SEGMENTS,
                  IndexFileNames.PENDING_SEGMENTS,
                  IndexFileNames.CODEC_FILE_PATTERN));

  /** File names that Lucene writes. */
  private static final Pattern LUCENE_NAMES =
      Pattern.compile(
          "(pending_)?segments_[0-9a-z]+|_[0-9a-z]+(_[0-9A-Za-z_-]+)?"
              + "\\.(si|cf[se]|fnm|fd[mtx]|ti[mp]|tmd|doc|pos|pay|psm|nv[dm]|dv[dm]|liv|ve[cmx]"
              + "|vemf|vemq|veq|tmp)");

  /** An image and its cosine similarity, from −1 to 1. */
  public record Neighbour(String path, double cosine) {}

  private final FSDirectory directory;
  private final IndexWriter writer;
  private final Map<String, String> versions = new HashMap<>();
  private final boolean damaged;

  /**
   * Opens the index in a folder, or creates it. A corrupt index is replaced by an empty one, see
   * {@link #wasDamaged}. Other files in the folder are not changed.
   *
   * @param model identifies the model that computes the embeddings; an index of another model is
   *     cleared, since its embeddings are not comparable
   * @throws IOException if the folder cannot be read or written, another process has opened the
   *     index, or the folder contains other files with names that Lucene would treat as its own and
   *     delete
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
   * Whether there are segment files but no list of segments.
   *
   * @throws IOException if Lucene would delete another program's file
   */
  private static boolean isIncomplete(FSDirectory directory) throws IOException {
    boolean index = false;
    var reserved = new ArrayList<String>();
    for (String name : directory.listAll()) {
      if (RESERVED_NAMES.matcher(name).matches()) {
        reserved.add(name);
        index |= name.startsWith(IndexFileNames.SEGMENTS) || name.endsWith(".si");
      }
    }
    for (String name : reserved) {
      if (!index || !LUCENE_NAMES.matcher(name).matches()) {
        throw new IOException(
            "%s: contains %s, a file name that the index may use and delete; choose another folder for"
                    .formatted(directory.getDirectory(), name)
                + " the index");
      }
    }
    return index && !DirectoryReader.indexExists(directory);
  }

  /** Opens the index, or returns null if it is corrupt. */
  private @Nullable IndexWriter tryOpen(String model) throws IOException {
    try {
      return open(model);
    } catch (CorruptIndexException
        | IndexFormatTooOldException
        | IndexFormatTooNewException
        | EOFException
        | NoSuchFileException
        | FileNotFoundException
        | RuntimeException _) { // Lucene throws any of these for a corrupt index
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
        leaf.reader().checkIntegrity(); // corrupt vectors would give wrong neighbours
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

  /**
   * Deletes Lucene's files, since Lucene would read a corrupt list of segments even to replace it.
   */
  private void deleteFiles() throws IOException {
    try (var _ = directory.obtainLock(IndexWriter.WRITE_LOCK_NAME)) {
      for (String name : directory.listAll()) {
        if (LUCENE_NAMES.matcher(name).matches()) {
          directory.deleteFile(name);
        }
      }
    }
  }

  /** Whether the index was corrupt or of an unsupported version, and was therefore cleared. */
  public boolean wasDamaged() {
    return damaged;
  }

  /** The indexed images by path, each with its version. */
  public Map<String, String> versions() {
    return Map.copyOf(versions);
  }

  /**
   * Adds or replaces an image that does not change.
   *
   * @param embedding as for {@link #put(String, String, float[])}
   */
  public void put(String path, float[] embedding) throws IOException {
    put(path, "", embedding);
  }

  /**
   * Adds or replaces an image.
   *
   * @param version a string that changes when the image does, such as its size and time
   * @param embedding its embedding; all embeddings of an index have the same length
   * @throws IllegalArgumentException if the embedding is zero or not finite
   */
  public void put(String path, String version, float[] embedding) throws IOException {
    var document = new Document();
    document.add(new StringField(PATH, path, Field.Store.YES));
    document.add(new StoredField(VERSION, version));
    document.add(
        new KnnFloatVectorField(
            VECTOR, normalized(embedding), VectorSimilarityFunction.DOT_PRODUCT));
    writer.updateDocument(new Term(PATH, path), document);
    versions.put(path, version);
  }

  /** Removes an image. */
  public void remove(String path) throws IOException {
    writer.deleteDocuments(new Term(PATH, path));
    versions.remove(path);
  }

  /** Makes all changes so far durable. */
  public void commit() throws IOException {
    writer.commit();
  }

  /**
   * Returns the images most similar to an embedding, the most similar first.
   *
   * @throws IllegalArgumentException if the embedding is zero or not finite
   */
  public List<Neighbour> nearest(float[] embedding, int count) throws IOException {
    var found = new ArrayList<Neighbour>();
    try (var reader = DirectoryReader.open(writer)) {
      if (reader.numDocs() == 0) {
        return List.of();
      }
      var searcher = new IndexSearcher(reader);
      int candidates = Math.max(count, MIN_CANDIDATES);
      var hits =
          searcher.search(
              new KnnFloatVectorQuery(VECTOR, normalized(embedding), candidates), count);
      for (ScoreDoc hit : hits.scoreDocs) {
        // Lucene's score of a dot product is (1 + product) / 2.
        found.add(
            new Neighbour(reader.storedFields().document(hit.doc).get(PATH), 2 * hit.score - 1));
      }
    }
    return List.copyOf(found);
  }

  private static float[] normalized(float[] embedding) {
    double sum = 0;
    for (float value : embedding) {
      sum += (double) value * value;
    }
    if (!(sum > 0) || Double.isInfinite(sum)) {
      throw new IllegalArgumentException("the embedding is zero or has values that are not finite");
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

  /** Lucene's vector format with a larger length limit; readers find it by Lucene's name. */
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
        return MAX_DIMENSIONS;
      }
    }
  }
}
