package io.github.resnet4j.server;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.server.ApiException.Kind;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** The limits of JSON and of forms: exactly the maximum, and one more. */
class RequestBodyTest {
  private static void assertRejected(Kind kind, String reason, Executable call) {
    var error = assertThrows(ApiException.class, call);
    assertEquals(kind, error.kind());
    assertTrue(error.reason().contains(reason), error.reason());
  }

  // --- JSON -----------------------------------------------------------------------------------

  private static RequestJson json(String text) throws IOException {
    byte[] bytes = (text + "garbage").getBytes(UTF_8); // beyond the length
    return RequestJson.of(bytes, text.length());
  }

  private static List<String> files(String json, int max) {
    return RequestJson.files(json.getBytes(UTF_8), max).stream()
        .map(file -> new String(file, ISO_8859_1))
        .toList();
  }

  @Test
  void imagesAreBase64() {
    assertEquals(List.of("abc", "a"), files("[\"YWJj\", \"YQ==\"]", 2));
    assertEquals(
        List.of("abc"),
        files("{\"x\": {\"y\": [1]}, \"images\": [\"data:image/png;base64,YWJj\"]}", 1));
    assertEquals(List.of(), files("{\"images\": null}", 1));
    assertEquals(List.of(), files("null", 1));
    assertRejected(Kind.TOO_LARGE, "at most 1 entries", () -> files("[\"YQ==\", \"YQ==\"]", 1));
    assertRejected(Kind.BAD_REQUEST, "must be base64", () -> files("[\"Y\"]", 1));
    assertRejected(Kind.BAD_REQUEST, "must be a string", () -> files("[1]", 1));
    assertRejected(Kind.BAD_REQUEST, "images must be a list", () -> files("{\"images\": 1}", 1));
    assertRejected(Kind.BAD_REQUEST, "the body must be an object", () -> files("1", 1));
    assertRejected(Kind.BAD_REQUEST, "more than one JSON value", () -> files("[] []", 1));
    assertRejected(Kind.BAD_REQUEST, "the body is not JSON", () -> files("", 1));
    assertRejected(Kind.BAD_REQUEST, "the body is not JSON", () -> files("[\"YQ==\"", 1));
  }

  private static String fields(int count) {
    return IntStream.range(0, count)
        .mapToObj(i -> "\"f%d\": 1".formatted(i))
        .collect(Collectors.joining(", ", "{", "}"));
  }

  @Test
  void objectsHaveAMaximumNumberOfFields() {
    files(fields(RequestJson.MAX_FIELDS), 1);
    assertRejected(
        Kind.BAD_REQUEST,
        "more than 64 fields",
        () -> files(fields(RequestJson.MAX_FIELDS + 1), 1));
    assertRejected(Kind.BAD_REQUEST, "a field twice", () -> files("{\"a\": 1, \"a\": 1}", 1));
  }

  @Test
  void nestingAndNamesHaveAMaximum() {
    int depth = RequestJson.MAX_DEPTH - 1;
    files("{\"x\": " + "[".repeat(depth) + "]".repeat(depth) + "}", 1);
    assertRejected(
        Kind.BAD_REQUEST,
        "nested more than 32 levels",
        () -> files("{\"x\": " + "[".repeat(depth + 1) + "]".repeat(depth + 1) + "}", 1));
    assertRejected(
        Kind.BAD_REQUEST,
        "a name or a number is too long",
        () -> files("{\"" + "n".repeat(3 * RequestJson.MAX_NAME_LENGTH) + "\": 1}", 1));
  }

  @Test
  void valuesHaveTheirTypes() throws IOException {
    try (var json = json("[[1, [2]], -3]")) {
      assertTrue(json.isList());
      assertFalse(json.isString());
      var all = new ArrayList<Long>();
      json.flattened("x", () -> all.add(json.integer("x")));
      assertEquals(List.of(1L, 2L, -3L), all);
      json.end();
    }
    try (var json = json("2.5")) {
      assertEquals(2.5f, json.number("x"));
      assertFalse(json.isList());
      assertRejected(Kind.BAD_REQUEST, "x must consist of integers", () -> json.integer("x"));
      assertRejected(Kind.BAD_REQUEST, "x must be true or false", () -> json.bool("x"));
      assertRejected(Kind.BAD_REQUEST, "x must be a list", () -> json.flattened("x", () -> {}));
    }
    try (var json = json("\"text\"")) {
      assertTrue(json.isString());
      assertEquals("text", json.string("x"));
      assertRejected(Kind.BAD_REQUEST, "x must consist of numbers", () -> json.number("x"));
    }
    try (var json = json("true")) {
      assertTrue(json.bool("x"));
    }
    try (var json = json("false")) {
      assertFalse(json.bool("x"));
    }
    try (var json = json("9223372036854775808")) {
      assertRejected(Kind.BAD_REQUEST, "integers below 2^63", () -> json.integer("x"));
    }
  }

  // --- forms ----------------------------------------------------------------------------------

  private static final String TYPE = "multipart/form-data; boundary=B";
  private static final String PART = "--B\r\nContent-Disposition: form-data; name=x\r\n\r\n";

  private static List<byte[]> parts(String type, String body, int max) {
    return Multipart.parts(type, body.getBytes(ISO_8859_1), max);
  }

  @Test
  void formsHaveAMaximumNumberOfParts() {
    String two = PART + "one\r\n" + PART + "\0\u00ff\r\n\r\n";
    List<byte[]> parts = parts(TYPE, "preamble\r\n" + two + "--B--\r\n", 2);
    assertEquals(2, parts.size());
    assertArrayEquals("one".getBytes(ISO_8859_1), parts.get(0));
    assertArrayEquals(new byte[] {0, (byte) 0xff, '\r', '\n'}, parts.get(1));
    assertRejected(Kind.TOO_LARGE, "at most 1 images", () -> parts(TYPE, two + "--B--\r\n", 1));
    assertEquals(1, parts("multipart/form-data; Boundary=\"B\"", PART + "\r\n--B--", 1).size());
    assertEquals(List.of(), parts(TYPE, "--B--\r\n", 1));
  }

  @Test
  void malformedFormsAreRejected() {
    assertRejected(
        Kind.BAD_REQUEST, "has no boundary", () -> parts("multipart/form-data", PART, 1));
    String[] malformed = {
      PART + "without an end",
      "--B\r\n" + "X: y\r\n".repeat(1000) + "\r\n1\r\n--B--\r\n", // long headers of a part
      "--B\r\nX",
    };
    for (String body : malformed) {
      assertRejected(Kind.BAD_REQUEST, "the form is malformed", () -> parts(TYPE, body, 1));
    }
  }
}
