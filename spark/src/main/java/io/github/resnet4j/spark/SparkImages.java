package io.github.resnet4j.spark;

import io.github.resnet4j.image.ImageDecoder;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.train.Dataset;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocatedFileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.spark.deploy.SparkHadoopUtil;

/**
 * Data sets whose images every executor can read by name: files on a shared file system, and the
 * embedded digits.
 */
public final class SparkImages {
  private SparkImages() {}

  /**
   * Lists a folder by the same rules as {@link Dataset#ofFolder}.
   *
   * @param folder a Hadoop path ({@code hdfs:}, {@code s3a:}), or a local path that exists on all
   *     machines
   * @throws IOException under the same conditions
   */
  public static Dataset ofFolder(String folder, double split, long seed) throws IOException {
    var files = new HadoopFolder(new Path(folder), configuration(), new HashMap<>());
    return Dataset.ofFolder(files, split, seed);
  }

  private static Configuration configuration() {
    return SparkHadoopUtil.get().conf();
  }

  /** Returns the image with this name in the driver's data set. */
  static Dataset.Source source(String name) {
    return () -> {
      Dataset.Source digit = name.startsWith("digit ") ? Digits.BY_NAME.get(name) : null;
      return digit != null
          ? digit.read()
          : ImageDecoder.DEFAULT.decode(name, ImageColumn.bytes(name, configuration()));
    };
  }

  /** Loaded on first use. */
  private static final class Digits {
    static final Map<String, Dataset.Source> BY_NAME = byName();

    private static Map<String, Dataset.Source> byName() {
      try {
        Dataset digits = Dataset.digits();
        return Stream.concat(digits.train().stream(), digits.val().stream())
            .collect(Collectors.toMap(Dataset.Example::name, Dataset.Example::source));
      } catch (IOException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** A file with its size from the folder listing. */
  private record HadoopFile(String name, long size) implements Dataset.Source {
    @Override
    public Pixels read() throws IOException {
      return source(name).read();
    }
  }

  /**
   * @param sizes the sizes of the listed files, by name
   */
  private record HadoopFolder(Path root, Configuration hadoop, Map<String, Long> sizes)
      implements Dataset.Folder {
    private FileSystem files() throws IOException {
      return root.getFileSystem(hadoop);
    }

    private Path at(String inner) {
      return inner.isEmpty() ? root : new Path(root, inner);
    }

    @Override
    public String name(String inner) {
      return at(inner).toString();
    }

    @Override
    public boolean has(String inner) throws IOException {
      Path path = at(inner);
      return files().exists(path) && files().getFileStatus(path).isDirectory();
    }

    @Override
    public List<String> folders(String inner) throws IOException {
      var names = new ArrayList<String>();
      for (FileStatus each : files().listStatus(at(inner))) {
        if (each.isDirectory()) {
          names.add(each.getPath().getName());
        }
      }
      return names;
    }

    @Override
    public List<String> files(String inner) throws IOException {
      var names = new ArrayList<String>();
      RemoteIterator<LocatedFileStatus> all = files().listFiles(at(inner), true);
      while (all.hasNext()) {
        LocatedFileStatus file = all.next();
        names.add(file.getPath().toString());
        sizes.put(file.getPath().toString(), file.getLen());
      }
      return names;
    }

    @Override
    public Dataset.Source source(String file) {
      return new HadoopFile(file, sizes.getOrDefault(file, 0L));
    }
  }
}
