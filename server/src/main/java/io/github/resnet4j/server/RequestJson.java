package io.github.resnet4j.server;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import io.github.resnet4j.server.ApiException.Kind;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;

/**
 * Reads the JSON of a request value by value. Limits are checked before values are stored, and
 * unknown fields are skipped, so memory use depends only on the values that are needed.
 */
final class RequestJson implements AutoCloseable {
  /** The maximum nesting depth of lists and objects. */
  static final int MAX_DEPTH = 32;

  /** The maximum number of fields of an object. */
  static final int MAX_FIELDS = 64;

  /** The maximum length of a name in characters. */
  static final int MAX_NAME_LENGTH = 1024;

  private static final JsonFactory FACTORY =
      JsonFactory.builder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxNameLength(MAX_NAME_LENGTH)
                  .maxStringLength(Integer.MAX_VALUE) // limited by the size of the body
                  .build())
          .disable(
              JsonFactory.Feature
                  .CANONICALIZE_FIELD_NAMES) // names come from clients; do not cache them
          .build();

  /** Reads an entry of a list; the parser is at its first token. */
  interface Entry {
    void read() throws IOException;
  }

  /** Reads the value of a field; the parser is at its first token. */
  interface Field {
    void read(String name) throws IOException;
  }

  private final JsonParser parser;

  private RequestJson(JsonParser parser) {
    this.parser = parser;
  }

  /** Opens a document and moves to its first token. */
  static RequestJson of(byte[] body, int length) throws IOException {
    JsonParser parser = FACTORY.createParser(body, 0, length);
    if (parser.nextToken() == null) {
      throw bad("the body is not JSON");
    }
    return new RequestJson(parser);
  }

  /** Converts an exception of the parser. */
  static ApiException toApiException(IOException e) {
    return bad(
        e instanceof StreamConstraintsException
            ? "the JSON is nested more than %d levels deep, or a name or a number is too long"
                .formatted(MAX_DEPTH)
            : "the body is not JSON");
  }

  static ApiException bad(String reason) {
    return new ApiException(Kind.BAD_REQUEST, reason);
  }

  boolean isList() {
    return parser.currentToken() == JsonToken.START_ARRAY;
  }

  /** Checks that nothing follows the document. */
  void end() throws IOException {
    if (parser.nextToken() != null) {
      throw bad("the body contains more than one JSON value");
    }
  }

  /** Reads an object; null is read as an empty object. */
  void object(String what, Field field) throws IOException {
    if (parser.currentToken() == JsonToken.VALUE_NULL) {
      return;
    }
    if (parser.currentToken() != JsonToken.START_OBJECT) {
      throw bad(what + " must be an object");
    }
    var names = new HashSet<String>();
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      String name = parser.currentName();
      if (!names.add(name)) {
        throw bad(what + " has a field twice");
      }
      if (names.size() > MAX_FIELDS) {
        throw bad("%s has more than %d fields".formatted(what, MAX_FIELDS));
      }
      parser.nextToken();
      field.read(name);
      parser.skipChildren(); // if the field was not read
    }
  }

  /**
   * Reads a list; null is read as an empty list.
   *
   * @param max the maximum number of entries; more are rejected with this kind of error
   */
  void list(String what, int max, Kind kind, Entry entry) throws IOException {
    if (parser.currentToken() == JsonToken.VALUE_NULL) {
      return;
    }
    if (!isList()) {
      throw bad(what + " must be a list");
    }
    for (int count = 0; parser.nextToken() != JsonToken.END_ARRAY; count++) {
      if (count == max) {
        throw new ApiException(kind, "%s must have at most %d entries".formatted(what, max));
      }
      entry.read();
    }
  }

  /** Reads the entries of nested lists in order. */
  void flattened(String what, Entry entry) throws IOException {
    if (!isList()) {
      throw bad(what + " must be a list");
    }
    for (int depth = 1; depth > 0; ) {
      switch (parser.nextToken()) {
        case START_ARRAY -> depth++;
        case END_ARRAY -> depth--;
        case null, default -> entry.read();
      }
    }
  }

  String string(String what) throws IOException {
    if (parser.currentToken() != JsonToken.VALUE_STRING) {
      throw bad(what + " must be a string");
    }
    return parser.getText();
  }

  boolean isString() {
    return parser.currentToken() == JsonToken.VALUE_STRING;
  }

  boolean bool(String what) {
    return switch (parser.currentToken()) {
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case null, default -> throw bad(what + " must be true or false");
    };
  }

  long integer(String what) throws IOException {
    if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT) {
      throw bad(what + " must consist of integers");
    }
    try {
      return parser.getLongValue();
    } catch (IOException _) {
      throw bad(what + " must consist of integers below 2^63");
    }
  }

  float number(String what) throws IOException {
    if (!parser.currentToken().isNumeric()) {
      throw bad(what + " must consist of numbers");
    }
    return parser.getFloatValue();
  }

  /** Decodes a base64 string, with or without the prefix {@code data:image/…;base64,}. */
  byte[] base64() throws IOException {
    String text = string("an image in JSON");
    int comma = text.startsWith("data:") ? text.indexOf(',') : -1;
    try {
      return Base64.getMimeDecoder().decode(text.substring(comma + 1));
    } catch (IllegalArgumentException _) {
      throw bad("an image in JSON must be base64");
    }
  }

  /** The encoded images in {@code ["…"]} or {@code {"images": ["…"]}}, up to a maximum number. */
  static List<byte[]> files(byte[] body, int max) {
    var files = new ArrayList<byte[]>();
    try (var json = of(body, body.length)) {
      Field images =
          name -> {
            if (name.equals("images")) {
              json.list("images", max, Kind.TOO_LARGE, () -> files.add(json.base64()));
            }
          };
      if (json.isList()) {
        images.read("images");
      } else {
        json.object("the body", images);
      }
      json.end();
    } catch (IOException e) {
      throw toApiException(e);
    }
    return files;
  }

  @Override
  public void close() throws IOException {
    parser.close();
  }
}
