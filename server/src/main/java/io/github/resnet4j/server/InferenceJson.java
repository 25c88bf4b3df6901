package io.github.resnet4j.server;

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
  private static final int LONGEST_ID = 1024;

  /**
   * Reads a request.
   *
   * @param header bytes of JSON at the body's beginning; all of them if empty
   * @param most images and numbers of a request
   */
  static InferenceJson read(byte[] body, Optional<String> header, Most most) {
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
    var rest = ByteBuffer.wrap(body, length, body.length - length).order(ByteOrder.LITTLE_ENDIAN);
    try (var json = RequestJson.of(body, length)) {
      var reading = new Reading(json, rest, most);
      json.object("the request", reading::field);
      json.end();
      return reading.end();
    } catch (IOException e) {
      throw RequestJson.refusal(e);
    }
  }

  /**
   * How much a request may have.
   *
   * @param images files of images
   * @param numbers of a tensor of images
   */
  record Most(int images, int numbers) {}

  /** A request that is being read. */
  private static final class Reading {
    private final RequestJson json;
    private final ByteBuffer rest;
    private final Most most;
    private final List<String> outputs = new ArrayList<>();
    private final List<String> binary = new ArrayList<>();
    private final List<String> unsaid = new ArrayList<>();
    private @Nullable Input input;
    private boolean allBinary;
    private String id = "";
    private long timeout;

    Reading(RequestJson json, ByteBuffer rest, Most most) {
      this.json = json;
      this.rest = rest;
      this.most = most;
    }

    void field(String name) throws IOException {
      switch (name) {
        case "id" -> {
          id = json.text("id");
          if (id.length() > LONGEST_ID) {
            throw bad("id must have at most %d characters".formatted(LONGEST_ID));
          }
        }
        case "inputs" ->
            json.list(
                name,
                1,
                Kind.BAD_REQUEST,
                () -> {
                  var tensor = new Tensor();
                  json.object("an input", tensor::field);
                  input = tensor.end();
                });
        case "outputs" ->
            json.list(name, InferenceProtocol.MOST_OUTPUTS, Kind.BAD_REQUEST, this::output);
        case "parameters" -> json.object(name, this::parameter);
        default -> {}
      }
    }

    private void parameter(String name) throws IOException {
      switch (name) {
        case "binary_data_output" -> allBinary = json.flag(name);
        case "timeout" -> timeout = Math.max(0, json.whole(name));
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
              case "name" -> names.add(json.text("an output's name"));
              case "parameters" ->
                  json.object(
                      name,
                      parameter -> {
                        if (parameter.equals("binary_data")) {
                          flags.add(json.flag(parameter));
                        }
                      });
              default -> {}
            }
          });
      if (names.isEmpty()) {
        throw bad("an output's name must be a text");
      }
      String name = names.getFirst();
      outputs.add(name);
      if (flags.isEmpty()) {
        unsaid.add(name);
      } else if (flags.getFirst()) {
        binary.add(name);
      }
    }

    InferenceJson end() {
      if (input == null) {
        throw bad("inputs must have one entry");
      }
      if (rest.hasRemaining()) {
        throw bad("%d bytes belong to no input".formatted(rest.remaining()));
      }
      if (allBinary) {
        binary.addAll(outputs.isEmpty() ? InferenceProtocol.OUTPUTS : unsaid);
      }
      return new InferenceJson(id, input, List.copyOf(outputs), List.copyOf(binary), timeout);
    }

    /** An input that is being read; its fields may come in any order. */
    private final class Tensor {
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
          case "name" -> name = json.text("an input's name");
          case "datatype" -> datatype = json.text("an input's datatype");
          case "shape" ->
              json.list(
                  "an input's shape",
                  InferenceProtocol.MOST_DIMENSIONS,
                  Kind.BAD_REQUEST,
                  () -> shape.add(json.whole("an input's shape")));
          case "data" -> {
            data = true;
            json.flat("an input's data", this::element);
          }
          case "parameters" ->
              json.object(
                  field,
                  parameter -> {
                    if (parameter.equals("binary_data_size")) {
                      binarySize = json.whole(parameter);
                      if (binarySize < 0) {
                        throw bad("binary_data_size must not be negative");
                      }
                    }
                  });
          default -> {}
        }
      }

      private void element() throws IOException {
        if (json.isText()) {
          files.add(json.base64());
          if (files.size() > most.images) {
            throw new Refusal(Kind.TOO_LARGE, "at most %d images".formatted(most.images));
          }
          return;
        }
        if (size == most.numbers) {
          throw new Refusal(Kind.TOO_LARGE, "at most %d numbers".formatted(most.numbers));
        }
        if (size == numbers.length) {
          numbers = Arrays.copyOf(numbers, (int) Math.clamp(2L * size, 1024, most.numbers));
        }
        numbers[size++] = json.number("an input's data");
      }

      Input end() {
        if (binarySize < 0) {
          if (!data || (datatype.equals("BYTES") ? size > 0 : !files.isEmpty())) {
            throw bad("an input's data must be a list of numbers, of base64 texts for BYTES");
          }
          return new Input(name, datatype, shape, Arrays.copyOf(numbers, size), files);
        }
        if (data || binarySize > rest.remaining()) {
          throw bad("binary_data_size must be a number of bytes that follow the JSON");
        }
        ByteBuffer own =
            rest.slice(rest.position(), (int) binarySize).order(ByteOrder.LITTLE_ENDIAN);
        rest.position(rest.position() + (int) binarySize);
        return datatype.equals("BYTES")
            ? new Input(name, datatype, shape, new float[0], elements(own, most.images))
            : new Input(name, datatype, shape, floats(own), List.of());
      }
    }
  }

  /**
   * Elements of BYTES: a length of four bytes before each.
   *
   * @param most elements; more are refused
   */
  static List<byte[]> elements(ByteBuffer bytes, int most) {
    ByteBuffer in = bytes.order(ByteOrder.LITTLE_ENDIAN);
    var elements = new ArrayList<byte[]>();
    while (in.hasRemaining()) {
      int length = in.remaining() < 4 ? -1 : in.getInt();
      if (length < 0 || length > in.remaining()) {
        throw bad("an element of BYTES is longer than what follows");
      }
      if (elements.size() == most) {
        throw new Refusal(Kind.TOO_LARGE, "at most %d images".formatted(most));
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
