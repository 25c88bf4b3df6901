package io.github.resnet4j.messages;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.github.resnet4j.Architecture;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MessagesTest {
  @Test
  void fileExceptionsNameFileAndReason() {
    assertEquals("a/b: does not exist", Reason.of(new NoSuchFileException("a/b")));
    assertEquals("a/b: permission denied", Reason.of(new AccessDeniedException("a/b")));
    assertEquals("a/b: is not a folder", Reason.of(new NotDirectoryException("a/b")));
    assertEquals(
        "a/b: no space left on device",
        Reason.of(new FileSystemException("a/b", null, "No space left on device")));
    assertEquals(
        "a: permission denied",
        Reason.of(new UncheckedIOException(new AccessDeniedException("a"))));
    assertEquals("is not UTF-8 text", Reason.withoutFile(new MalformedInputException(1)));
    assertEquals("No space left on device", Reason.of(new IOException("No space left on device")));
    assertEquals("is a folder, not a file", Reason.of(new IOException("Is a directory")));
    assertEquals("IOException", Reason.of(new IOException()));
    assertEquals("IllegalStateException", Reason.of(new IllegalStateException()));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "ResNet50  | resnet50",
        "resnet-50 | resnet50",
        "RESNET_18 | resnet18",
        "resnet51  | resnet50,resnet56",
        "resent50  | resnet50",
        "resnxt50_32x4d | resnext50_32x4d",
        "resnext50 | resnext50_32x4d,resnext50d_32x4d,resnet50",
        "wide_resnet | wide_resnet50_2,wide_resnet101_2",
        "vgg16     | ''",
        "''        | ''",
        "?!        | ''",
      })
  void similarNamesAreFound(String wanted, String similar) {
    assertEquals(
        similar, String.join(",", Suggestion.similar(wanted, Architecture.catalogue().keySet())));
  }

  @Test
  void suggestionsAreOnePhrase() {
    assertEquals(" (did you mean json?)", Suggestion.of("jsn", List.of("text", "json", "csv")));
    assertEquals(
        " (did you mean resnet50 or resnet56?)",
        Suggestion.of("resnet51", Architecture.catalogue().keySet()));
    assertEquals("", Suggestion.of("xml", List.of("text", "json", "csv")));
  }
}
