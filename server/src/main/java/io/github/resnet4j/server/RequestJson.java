package io.github.resnet4j.server;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import io.github.resnet4j.server.Refusal.Kind;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;

/**
 * The JSON of a request, read value by value: what is too much is refused where it begins, and what
 * nobody asked for is passed over, so a body takes no more memory than what it means.
 */
final class RequestJson implements AutoCloseable {
  /** Lists and objects within each other. */
  static final int MAX_DEPTH = 32;

  /** Fields of an object. */
  static final int MOST_FIELDS = 64;

  /** Characters of a name. */
  static final int LONGEST_NAME = 1024;

  private static final JsonFactory FACTORY =
      JsonFactory.builder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxNameLength(LONGEST_NAME)
                  .maxStringLength(Integer.MAX_VALUE) // the body's size is the limit
                  .build())
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES) // they are the client's
          .build();

  /** Reads an entry of a list; the parser stands at its first token. */
  interface Entry {
    void read() throws IOException;
  }

  /** Reads the value of a field; the parser stands at its first token. */
  interface Field {
    void read(String name) throws IOException;
  }

  private final JsonParser parser;

  private RequestJson(JsonParser parser) {
    this.parser = parser;
  }

  /** Begins with a document, at its first token. */
  static RequestJson of(byte[] body, int length) throws IOException {
    JsonParser parser = FACTORY.createParser(body, 0, length);
    if (parser.nextToken() == null) {
      throw bad("the body is not JSON");
    }
    return new RequestJson(parser);
  }

  /** What to say of an exception of the parser. */
  static Refusal refusal(IOException e) {
    return bad(
        e instanceof StreamConstraintsException
            ? "the JSON is deeper than %d, or a name or a number is too long".formatted(MAX_DEPTH)
            : "the body is not JSON");
  }

  static Refusal bad(String reason) {
    return new Refusal(Kind.BAD_REQUEST, reason);
  }

  boolean isList() {
    return parser.currentToken() == JsonToken.START_ARRAY;
  }

  /** Refuses what follows the document. */
  void end() throws IOException {
    if (parser.nextToken() != null) {
      throw bad("the body is more than one JSON value");
    }
  }

  /** Reads an object; null is one without fields. */
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
      if (names.size() > MOST_FIELDS) {
        throw bad("%s has more than %d fields".formatted(what, MOST_FIELDS));
      }
      parser.nextToken();
      field.read(name);
      parser.skipChildren(); // of what was not read
    }
  }

  /**
   * Reads a list; null is an empty one.
   *
   * @param most entries; more are refused with this kind
   */
  void list(String what, int most, Kind kind, Entry entry) throws IOException {
    if (parser.currentToken() == JsonToken.VALUE_NULL) {
      return;
    }
    if (!isList()) {
      throw bad(what + " must be a list");
    }
    for (int count = 0; parser.nextToken() != JsonToken.END_ARRAY; count++) {
      if (count == most) {
        throw new Refusal(kind, "%s must have at most %d entries".formatted(what, most));
      }
      entry.read();
    }
  }

  /** Reads the entries of lists in lists, one after the other. */
  void flat(String what, Entry entry) throws IOException {
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

  String text(String what) throws IOException {
    if (parser.currentToken() != JsonToken.VALUE_STRING) {
      throw bad(what + " must be a text");
    }
    return parser.getText();
  }

  boolean isText() {
    return parser.currentToken() == JsonToken.VALUE_STRING;
  }

  boolean flag(String what) {
    return switch (parser.currentToken()) {
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case null, default -> throw bad(what + " must be true or false");
    };
  }

  long whole(String what) throws IOException {
    if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT) {
      throw bad(what + " must be whole numbers");
    }
    try {
      return parser.getLongValue();
    } catch (IOException _) {
      throw bad(what + " must be whole numbers below 2^63");
    }
  }

  float number(String what) throws IOException {
    if (!parser.currentToken().isNumeric()) {
      throw bad(what + " must be numbers");
    }
    return parser.getFloatValue();
  }

  /** Bytes in base64, with or without {@code data:image/…;base64,} before them. */
  byte[] base64() throws IOException {
    String text = text("an image in JSON");
    int comma = text.startsWith("data:") ? text.indexOf(',') : -1;
    try {
      return Base64.getMimeDecoder().decode(text.substring(comma + 1));
    } catch (IllegalArgumentException _) {
      throw bad("an image in JSON must be base64");
    }
  }

  /** The files of {@code ["…"]} or {@code {"images": ["…"]}}, at most so many. */
  static List<byte[]> files(byte[] body, int most) {
    var files = new ArrayList<byte[]>();
    try (var json = of(body, body.length)) {
      Field images =
          name -> {
            if (name.equals("images")) {
              json.list("images", most, Kind.TOO_LARGE, () -> files.add(json.base64()));
            }
          };
      if (json.isList()) {
        images.read("images");
      } else {
        json.object("the body", images);
      }
      json.end();
    } catch (IOException e) {
      throw refusal(e);
    }
    return files;
  }

  @Override
  public void close() throws IOException {
    parser.close();
  }
}
