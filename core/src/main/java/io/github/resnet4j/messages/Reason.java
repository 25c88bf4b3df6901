package io.github.resnet4j.messages;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;

/**
 * The reason of a failure, in one line. The JDK's file exceptions often have only a path as their
 * message, and the reason only in their type.
 */
public final class Reason {
  private Reason() {}

  /** The file, if known, and the reason. */
  public static String of(Throwable e) {
    if (e instanceof UncheckedIOException unchecked && unchecked.getCause() != null) {
      return of(unchecked.getCause());
    }
    if (e instanceof FileSystemException failed && failed.getFile() != null) {
      return failed.getFile() + ": " + withoutFile(failed);
    }
    return e instanceof IOException failed ? withoutFile(failed) : message(e);
  }

  /** The same for an exception that may not contain the file, such as those from decoding text. */
  public static String of(Path file, IOException e) {
    return file + ": " + withoutFile(e);
  }

  /** The reason without the file, for a message that already names it. */
  public static String withoutFile(IOException e) {
    return switch (e) {
      case NoSuchFileException _ -> "does not exist";
      case AccessDeniedException _ -> "permission denied";
      case NotDirectoryException _ -> "is not a folder";
      case FileAlreadyExistsException _ -> "exists already";
      case DirectoryNotEmptyException _ -> "is a folder that is not empty";
      case FileSystemLoopException _ -> "has symbolic links that form a cycle";
      case FileSystemException failed when failed.getReason() != null ->
          lowerCase(failed.getReason());
      case CharacterCodingException _ -> "is not UTF-8 text";
      case FileNotFoundException _ -> lowerCase(message(e));
      // Linux's message for reading a folder as a file; Java has no exception for it.
      case IOException _ when "Is a directory".equals(e.getMessage()) -> "is a folder, not a file";
      default -> message(e);
    };
  }

  /** The operating system's messages start with a capital letter. */
  private static String lowerCase(String reason) {
    return reason.length() > 1 && Character.isLowerCase(reason.charAt(1))
        ? Character.toLowerCase(reason.charAt(0)) + reason.substring(1)
        : reason;
  }

  private static String message(Throwable e) {
    String message = e.getMessage();
    return message == null || message.isBlank() ? e.getClass().getSimpleName() : message;
  }
}
