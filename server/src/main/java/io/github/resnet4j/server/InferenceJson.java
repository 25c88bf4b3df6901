package io.github.resnet4j.server;

import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.InferenceProtocol.Input;
import io.github.resnet4j.server.InferenceProtocol.Output;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A request of the Open Inference Protocol over HTTP: JSON that contains the tensors, or, with the
 * binary tensor extension, JSON followed by the tensors' bytes.
 *
 * @param id the client's id of the request, or empty
 * @param input the input tensor
 * @param outputs the names of the requested outputs
 * @param binary the outputs to return as bytes
 * @param timeoutMicros the client's timeout in microseconds, or 0
 */
record InferenceJson(
    String id, Input input, List<String> outputs, List<String> binary, long timeoutMicros) {
  static final String HEADER_LENGTH = "Inference-Header-Content-Length";
  private static final int MAX_ID_LENGTH = 1024;

  /**
   * Parses a request.
   *
   * @param header the number of bytes of JSON at the beginning of the body; if empty, all of it
   * @param limits the maximum sizes
   */
  static InferenceJson read(byte[] body, Optional<String> header, Limits limits) {
    int length = body.length;
    if (header.isPresent()) {
      try {
        length = Integer.parseInt(header.get());
      } catch (NumberFormatException _) {
        length = -1;
      }
      if (length < 0 || length > body.length) {
        throw bad(HEADER_LENGTH + " must be at most the number of bytes of the body");
      }
    }
    var rest = ByteBuffer.wrap(body, length, body.length - length).order(ByteOrder.LITTLE_ENDIAN);
    try (var json = RequestJson.of(body, length)) {
      var parser = new RequestParser(json, rest, limits);
      json.object("the request", parser::field);
      json.end();
      return parser.end();
    } catch (IOException e) {
      throw RequestJson.toApiException(e);
    }
  }

  /**
   * The maximum sizes of a request.
   *
   * @param images encoded images
   * @param numbers the values of a tensor
   */
  record Limits(int images, int numbers) {}

  /** The state of parsing a request. */
  private static final class RequestParser {
    private final RequestJson json;
    private final ByteBuffer rest;
    private final Limits limits;
    private final List<String> outputs = new ArrayList<>();
    private final List<String> binary = new ArrayList<>();
    private final List<String> unspecified = new ArrayList<>();
    private @Nullable Input input;
    private boolean binaryByDefault;
    private String id = "";
    private long timeout;

    RequestParser(RequestJson json, ByteBuffer rest, Limits limits) {
      this.json = json;
      this.rest = rest;
      this.limits = limits;
    }

    void field(String name) throws IOException {
      switch (name) {
        case "id" -> {
          id = json.string("id");
          if (id.length() > MAX_ID_LENGTH) {
            throw bad("id must have at most %d characters".formatted(MAX_ID_LENGTH));
          }
        }
        case "inputs" ->
            json.list(
                name,
                1,
                Kind.BAD_REQUEST,
                () -> {
                  var tensor = new InputTensor();
                  json.object("an input", tensor::field);
                  input = tensor.end();
                });
        case "outputs" ->
            json.list(name, InferenceProtocol.MAX_OUTPUTS, Kind.BAD_REQUEST, this::output);
        case "parameters" -> json.object(name, this::parameter);
        default -> {}
      }
    }

    private void parameter(String name) throws IOException {
      switch (name) {
        case "binary_data_output" -> binaryByDefault = json.bool(name);
        case "timeout" -> timeout = Math.max(0, json.integer(name));
        default -> {}
      }
    }

    private void output() throws IOException {
      var names = new ArrayList<String>();
      var flags = new ArrayList<Boolean>();
      json.object(
          "an output",
          name -> {
            switch (name) {
              case "name" -> names.add(json.string("an output's name"));
              case "parameters" ->
                  json.object(
                      name,
                      parameter -> {
                        if (parameter.equals("binary_data")) {
                          flags.add(json.bool(parameter));
                        }
                      });
              default -> {}
            }
          });
      if (names.isEmpty()) {
        throw bad("an output must have a name");
      }
      String name = names.getFirst();
      outputs.add(name);
      if (flags.isEmpty()) {
        unspecified.add(name);
      } else if (flags.getFirst()) {
        binary.add(name);
      }
    }

    InferenceJson end() {
      if (input == null) {
        throw bad("inputs must have one entry");
      }
      if (rest.hasRemaining()) {
        throw bad("%d bytes after the JSON belong to no input".formatted(rest.remaining()));
      }
      if (binaryByDefault) {
        binary.addAll(outputs.isEmpty() ? InferenceProtocol.OUTPUTS : unspecified);
      }
      return new InferenceJson(id, input, List.copyOf(outputs), List.copyOf(binary), timeout);
    }

    /** The state of parsing an input tensor; its fields may come in any order. */
    private final class InputTensor {
      private String name = "";
      private String datatype = "";
      private final List<Long> shape = new ArrayList<>();
      private final List<byte[]> files = new ArrayList<>();
      private float[] numbers = {};
      private int size;
      private boolean data;
      private long binarySize = -1;

      void field(String field) throws IOException {
        switch (field) {
          case "name" -> name = json.string("an input's name");
          case "datatype" -> datatype = json.string("an input's datatype");
          case "shape" ->
              json.list(
                  "an input's shape",
                  InferenceProtocol.MAX_DIMENSIONS,
                  Kind.BAD_REQUEST,
                  () -> shape.add(json.integer("an input's shape")));
          case "data" -> {
            data = true;
            json.flattened("an input's data", this::element);
          }
          case "parameters" ->
              json.object(
                  field,
                  parameter -> {
                    if (parameter.equals("binary_data_size")) {
                      binarySize = json.integer(parameter);
                      if (binarySize < 0) {
                        throw bad("binary_data_size must not be negative");
                      }
                    }
                  });
          default -> {}
        }
      }

      private void element() throws IOException {
        if (json.isString()) {
          files.add(json.base64());
          if (files.size() > limits.images) {
            throw new ApiException(Kind.TOO_LARGE, "at most %d images".formatted(limits.images));
          }
          return;
        }
        if (size == limits.numbers) {
          throw new ApiException(Kind.TOO_LARGE, "at most %d numbers".formatted(limits.numbers));
        }
        if (size == numbers.length) {
          numbers = Arrays.copyOf(numbers, (int) Math.clamp(2L * size, 1024, limits.numbers));
        }
        numbers[size++] = json.number("an input's data");
      }

      Input end() {
        if (binarySize < 0) {
          if (!data || (datatype.equals("BYTES") ? size > 0 : !files.isEmpty())) {
            throw bad("an input's data must be a list of numbers, or of base64 strings for BYTES");
          }
          return new Input(name, datatype, shape, Arrays.copyOf(numbers, size), files);
        }
        if (data || binarySize > rest.remaining()) {
          throw bad(
              "binary_data_size must be at most the number of bytes after the JSON, and excludes"
                  + " data");
        }
        ByteBuffer own =
            rest.slice(rest.position(), (int) binarySize).order(ByteOrder.LITTLE_ENDIAN);
        rest.position(rest.position() + (int) binarySize);
        return datatype.equals("BYTES")
            ? new Input(name, datatype, shape, new float[0], elements(own, limits.images))
            : new Input(name, datatype, shape, floats(own), List.of());
      }
    }
  }

  /**
   * Splits a tensor of type BYTES into its elements, each preceded by its length in four bytes.
   *
   * @param maxElements the maximum number of elements
   */
  static List<byte[]> elements(ByteBuffer bytes, int maxElements) {
    ByteBuffer in = bytes.order(ByteOrder.LITTLE_ENDIAN);
    var elements = new ArrayList<byte[]>();
    while (in.hasRemaining()) {
      int length = in.remaining() < 4 ? -1 : in.getInt();
      if (length < 0 || length > in.remaining()) {
        throw bad("an element of BYTES is longer than the remaining data");
      }
      if (elements.size() == maxElements) {
        throw new ApiException(Kind.TOO_LARGE, "at most %d images".formatted(maxElements));
      }
      byte[] element = new byte[length];
      in.get(element);
      elements.add(element);
    }
    return elements;
  }

  static float[] floats(ByteBuffer bytes) {
    if (bytes.remaining() % 4 != 0) {
      throw bad(
          "FP32 needs 4 bytes per value, but there are %d bytes".formatted(bytes.remaining()));
    }
    float[] numbers = new float[bytes.remaining() / 4];
    bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(numbers);
    return numbers;
  }

  private static ApiException bad(String reason) {
    return new ApiException(Kind.BAD_REQUEST, reason);
  }

  /** Sends the response, as JSON or as JSON followed by bytes. */
  void respond(Exchange exchange, ServedModel model, List<Output> results) throws IOException {
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
