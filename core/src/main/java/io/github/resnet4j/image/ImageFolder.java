package io.github.resnet4j.image;

import io.github.resnet4j.messages.Reason;
import java.io.IOException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;

/**
 * Lists the files below a folder. Symbolic links to folders and files are followed, as in
 * torchvision's ImageFolder; cycles of links are detected.
 */
public final class ImageFolder {
  private ImageFolder() {}

  /**
   * The images below a folder, by file extension, in any order. A folder that is reachable through
   * several links is listed once. A link with a missing target is listed: the error is reported
   * when it is opened.
   *
   * @throws IOException if a folder cannot be listed
   */
  public static List<Path> images(Path folder) throws IOException {
    return files(folder, Integer.MAX_VALUE).stream()
        .filter(file -> ImageDecoder.isImageName(String.valueOf(file.getFileName())))
        .toList();
  }

  /**
   * All files below a folder, in any order.
   *
   * @param depth the number of folder levels; 1 for the files in the folder itself. With {@link
   *     Integer#MAX_VALUE} a folder that is reachable through several links is listed once, since
   *     the number of paths to it may double with each level
   * @throws IOException if a folder cannot be listed
   */
  public static List<Path> files(Path folder, int depth) throws IOException {
    var found = new ArrayList<Path>();
    var visited = new HashSet<Path>();
    Files.walkFileTree(
        folder,
        EnumSet.of(FileVisitOption.FOLLOW_LINKS),
        depth,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path inner, BasicFileAttributes attributes)
              throws IOException {
            return depth < Integer.MAX_VALUE || visited.add(inner.toRealPath())
                ? FileVisitResult.CONTINUE
                : FileVisitResult.SKIP_SUBTREE;
          }

          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
            if (attributes.isRegularFile() || attributes.isSymbolicLink()) {
              found.add(file);
            }
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
            if (e instanceof FileSystemLoopException) {
              return FileVisitResult.CONTINUE;
            }
            throw new IOException(file + ": cannot be listed: " + Reason.withoutFile(e), e);
          }
        });
    return found;
  }
}
