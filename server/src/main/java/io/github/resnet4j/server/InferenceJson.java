package io.github.resnet4j.server;

import com.fasterxml.jackson.jr.ob.JSON;
import io.github.resnet4j.server.InferenceProtocol.Input;
import io.github.resnet4j.server.InferenceProtocol.Output;
import io.github.resnet4j.server.Refusal.Kind;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The Open Inference Protocol as it is written over HTTP: JSON, with tensors in it or, by the
 * binary tensor extension, as bytes behind it.
 *
 * @param id what the client calls the request, or empty
 * @param input its one tensor
 * @param outputs the names it wants
 * @param binary the outputs that it wants as bytes
 * @param timeoutMicros how long it waits at most, or 0
 */
record InferenceJson(
    String id, Input input, List<String> outputs, List<String> binary, long timeoutMicros) {
  static final String HEADER_LENGTH = "Inference-Header-Content-Length";
  private static final int MAX_DEPTH = 32;

  /**
   * Reads a request.
   *
   * @param header bytes of JSON at the body's beginning; all of them if empty
   */
  static InferenceJson read(byte[] body, Optional<String> header) {
    int length = body.length;
    if (header.isPresent()) {
      try {
        length = Integer.parseInt(header.get());
      } catch (NumberFormatException _) {
        length = -1;
      }
      if (length < 0 || length > body.length) {
        throw bad(HEADER_LENGTH + " must be a number of bytes of the body");
      }
    }
    Map<?, ?> fields = object("the request", json(body, length));
    List<?> inputs = list("inputs", fields.get("inputs"));
    if (inputs.size() != 1) {
      throw bad("inputs must have one entry, has " + inputs.size());
    }
    var rest = ByteBuffer.wrap(body, length, body.length - length).order(ByteOrder.LITTLE_ENDIAN);
    Input input = input(object("an input", inputs.getFirst()), rest);
    if (rest.hasRemaining()) {
      throw bad("%d bytes belong to no input".formatted(rest.remaining()));
    }
    Map<?, ?> parameters = parameters(fields);
    boolean allBinary = Boolean.TRUE.equals(parameters.get("binary_data_output"));
    var outputs = new ArrayList<String>();
    var binary = new ArrayList<String>();
    if (fields.get("outputs") != null) {
      for (Object each : list("outputs", fields.get("outputs"))) {
        Map<?, ?> output = object("an output", each);
        String name = text("an output's name", output.get("name"));
        outputs.add(name);
        Object own = parameters(output).get("binary_data");
        if (own == null ? allBinary : Boolean.TRUE.equals(own)) {
          binary.add(name);
        }
      }
    }
    if (outputs.isEmpty() && allBinary) {
      binary.add(InferenceProtocol.LOGITS);
    }
    InferenceProtocol.check(outputs);
    String id = fields.get("id") == null ? "" : text("id", fields.get("id"));
    long timeout = parameters.get("timeout") instanceof Number n ? Math.max(0, n.longValue()) : 0;
    return new InferenceJson(id, input, List.copyOf(outputs), List.copyOf(binary), timeout);
  }

  /** Parsed, and not deeper than anything that means something. */
  static Object json(byte[] body, int length) {
    int depth = 0;
    boolean quoted = false;
    for (int i = 0; i < length; i++) {
      switch (body[i]) {
        case '"' -> quoted = !quoted;
        case '\\' -> i += quoted ? 1 : 0;
        case '{', '[' -> depth += quoted ? 0 : 1;
        case '}', ']' -> depth -= quoted ? 0 : 1;
        default -> {}
      }
      if (depth > MAX_DEPTH) {
        throw bad("the JSON is deeper than " + MAX_DEPTH);
      }
    }
    try {
      Object value = JSON.std.anyFrom(new String(body, 0, length, StandardCharsets.UTF_8));
      if (value == null) {
        throw bad("the body is not JSON");
      }
      return value;
    } catch (IOException _) {
      throw bad("the body is not JSON");
    }
  }

  private static Input input(Map<?, ?> fields, ByteBuffer rest) {
    String name = text("an input's name", fields.get("name"));
    String datatype = text("an input's datatype", fields.get("datatype"));
    var shape = new ArrayList<Long>();
    for (Object extent : list("an input's shape", fields.get("shape"))) {
      if (!(extent instanceof Integer number) || number < 0) {
        throw bad("an input's shape must be whole numbers");
      }
      shape.add(number.longValue());
    }
    Object binary = parameters(fields).get("binary_data_size");
    if (binary == null) {
      List<?> data = list("an input's data", fields.get("data"));
      return datatype.equals("BYTES")
          ? new Input(name, datatype, shape, new float[0], files(data))
          : new Input(name, datatype, shape, numbers(data), List.of());
    }
    if (!(binary instanceof Integer size) || size < 0 || size > rest.remaining()) {
      throw bad("binary_data_size must be a number of bytes that follow the JSON");
    }
    ByteBuffer own = rest.slice(rest.position(), size).order(ByteOrder.LITTLE_ENDIAN);
    rest.position(rest.position() + size);
    return datatype.equals("BYTES")
        ? new Input(name, datatype, shape, new float[0], elements(own))
        : new Input(name, datatype, shape, floats(own), List.of());
  }

  /** Elements of BYTES: a length of four bytes before each. */
  static List<byte[]> elements(ByteBuffer bytes) {
    ByteBuffer in = bytes.order(ByteOrder.LITTLE_ENDIAN);
    var elements = new ArrayList<byte[]>();
    while (in.hasRemaining()) {
      int length = in.remaining() < 4 ? -1 : in.getInt();
      if (length < 0 || length > in.remaining()) {
        throw bad("an element of BYTES is longer than what follows");
      }
      byte[] element = new byte[length];
      in.get(element);
      elements.add(element);
    }
    return elements;
  }

  static float[] floats(ByteBuffer bytes) {
    if (bytes.remaining() % 4 != 0) {
      throw bad("FP32 takes 4 bytes a number, there are " + bytes.remaining());
    }
    float[] numbers = new float[bytes.remaining() / 4];
    bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(numbers);
    return numbers;
  }

  /** Numbers of lists in lists, as they come. */
  private static float[] numbers(List<?> data) {
    var numbers = new Floats();
    numbers.addAll(data);
    return numbers.toArray();
  }

  private static final class Floats {
    private float[] values = new float[1024];
    private int size;

    void addAll(List<?> data) {
      for (Object each : data) {
        switch (each) {
          case Number number -> {
            if (size == values.length) {
              values = Arrays.copyOf(values, 2 * size);
            }
            values[size++] = number.floatValue();
          }
          case List<?> inner -> addAll(inner);
          case null, default -> throw bad("an input's data must be numbers");
        }
      }
    }

    float[] toArray() {
      return Arrays.copyOf(values, size);
    }
  }

  private static List<byte[]> files(List<?> data) {
    return data.stream().map(InferenceJson::base64).toList();
  }

  /** Bytes in JSON, with or without {@code data:image/…;base64,} before them. */
  static byte[] base64(@Nullable Object value) {
    String text = text("a picture", value);
    int comma = text.startsWith("data:") ? text.indexOf(',') : -1;
    try {
      return Base64.getMimeDecoder().decode(text.substring(comma + 1));
    } catch (IllegalArgumentException _) {
      throw bad("a picture in JSON must be base64");
    }
  }

  private static Map<?, ?> parameters(Map<?, ?> fields) {
    Object found = fields.get("parameters");
    return found == null ? Map.of() : object("parameters", found);
  }

  static Map<?, ?> object(String what, @Nullable Object value) {
    if (value instanceof Map<?, ?> map) {
      return map;
    }
    throw bad(what + " must be an object");
  }

  static List<?> list(String what, @Nullable Object value) {
    if (value instanceof List<?> list) {
      return list;
    }
    throw bad(what + " must be a list");
  }

  private static String text(String what, @Nullable Object value) {
    if (value instanceof String text) {
      return text;
    }
    throw bad(what + " must be a text");
  }

  private static Refusal bad(String reason) {
    return new Refusal(Kind.BAD_REQUEST, reason);
  }

  /** Answers, as JSON or with bytes behind it. */
  void answer(Exchange exchange, ServedModel model, List<Output> results) throws IOException {
    var fields = new LinkedHashMap<String, Object>();
    fields.put("model_name", model.name());
    fields.put("model_version", model.version());
    if (!id.isEmpty()) {
      fields.put("id", id);
    }
    var bytes = new ByteArrayOutputStream();
    var described = new ArrayList<Map<String, Object>>();
    for (Output output : results) {
      var each = new LinkedHashMap<String, Object>();
      each.put("name", output.name());
      each.put("datatype", "FP32");
      each.put("shape", output.shape());
      if (binary.contains(output.name())) {
        each.put("parameters", Map.of("binary_data_size", 4 * output.numbers().length));
        bytes.write(bytes(output.numbers()));
      } else {
        each.put("data", output.numbers());
      }
      described.add(each);
    }
    fields.put("outputs", described);
    if (binary.isEmpty()) {
      exchange.json(fields);
      return;
    }
    byte[] json = ModelRepository.json(fields).getBytes(StandardCharsets.UTF_8);
    var all = new ByteArrayOutputStream(json.length + bytes.size());
    all.write(json);
    bytes.writeTo(all);
    exchange.header(HEADER_LENGTH, String.valueOf(json.length));
    exchange.send(200, "application/octet-stream", all.toByteArray());
  }

  static byte[] bytes(float[] numbers) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * numbers.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(numbers);
    return bytes.array();
  }
}
