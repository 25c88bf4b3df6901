package io.github.resnet4j.server;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.DiscardUnknownFieldsParser;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import com.google.protobuf.WireFormat;
import io.github.resnet4j.server.ApiException.Kind;
import io.github.resnet4j.server.inference.InferTensorContents;
import io.github.resnet4j.server.inference.ModelInferRequest;
import io.github.resnet4j.server.inference.ModelInferRequest.InferInputTensor;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;

/**
 * Parses the messages of clients within limits. gRPC's own marshaller allocates whatever a message
 * contains and reports unreadable messages as UNKNOWN; so this class takes the raw bytes, counts
 * their fields, and then parses them.
 */
final class GrpcMessages {
  /** The maximum number of fields of a message, and of each input, output and parameter in it. */
  static final int MAX_FIELDS = 256;

  /**
   * The maximum size of a shape: {@link InferenceProtocol#MAX_DIMENSIONS} varints of up to ten
   * bytes.
   */
  private static final int MAX_SHAPE_BYTES = 10 * InferenceProtocol.MAX_DIMENSIONS;

  private static final byte[] TOO_LARGE = {};

  private GrpcMessages() {}

  /** Passes the bytes of a message through. */
  static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException | StatusRuntimeException _) {
            return TOO_LARGE; // compressed: corrupt, or larger than allowed
          }
        }
      };

  /** The maximum size of a message to the services for health and reflection: it has one name. */
  private static final int MAX_SMALL_MESSAGE = 4096;

  /**
   * Limits the messages to the services for health and reflection, whose own marshallers have no
   * limits.
   */
  static <A> MethodDescriptor.Marshaller<A> small(MethodDescriptor.Marshaller<A> marshaller) {
    return new MethodDescriptor.Marshaller<>() {
      @Override
      public InputStream stream(A value) {
        return marshaller.stream(value);
      }

      @Override
      public A parse(InputStream stream) {
        byte[] bytes;
        try {
          bytes = stream.readNBytes(MAX_SMALL_MESSAGE + 1);
        } catch (IOException e) {
          throw Status.INVALID_ARGUMENT.withCause(e).asRuntimeException();
        }
        if (bytes.length > MAX_SMALL_MESSAGE) {
          throw Status.RESOURCE_EXHAUSTED
              .withDescription("the message has more than %d bytes".formatted(MAX_SMALL_MESSAGE))
              .asRuntimeException();
        }
        return marshaller.parse(new ByteArrayInputStream(bytes));
      }
    };
  }

  /**
   * Parses an inference request.
   *
   * @param images the maximum number of images
   * @throws ApiException if it is malformed or exceeds a limit
   */
  static ModelInferRequest inference(byte[] bytes, int images) {
    return read(bytes, ModelInferRequest.parser(), in -> countRequest(in, images));
  }

  /**
   * Parses any other message.
   *
   * @throws ApiException if it is malformed or has too many fields
   */
  static <A extends Message> A read(byte[] bytes, Parser<A> parser) {
    return read(bytes, parser, in -> countFields(in, "the message", MAX_FIELDS, (_, _) -> false));
  }

  private interface Counter {
    void count(CodedInputStream in) throws IOException;
  }

  private static <A extends Message> A read(byte[] bytes, Parser<A> parser, Counter counter) {
    if (bytes == TOO_LARGE) {
      throw new ApiException(
          Kind.TOO_LARGE, "the message is corrupt, or too large when decompressed");
    }
    try {
      counter.count(CodedInputStream.newInstance(bytes));
      return DiscardUnknownFieldsParser.wrap(parser).parseFrom(bytes);
    } catch (IOException _) { // protobuf's; reading from memory does not fail
      throw bad("the message is not valid protobuf of this type");
    }
  }

  private static ApiException bad(String reason) {
    return new ApiException(Kind.BAD_REQUEST, reason);
  }

  // --- counting -------------------------------------------------------------------------------

  /** Handles a length-delimited field. */
  private interface NestedField {
    /**
     * @param size the size of the field in bytes; the stream is limited to it
     * @return whether the field was read; otherwise it is skipped
     */
    boolean read(int field, int size) throws IOException;
  }

  /**
   * Counts the fields of a message, except for fixed 32-bit values, which need no more memory
   * parsed than encoded.
   */
  private static void countFields(CodedInputStream in, String what, int max, NestedField nested)
      throws IOException {
    int count = 0;
    for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
      int type = WireFormat.getTagWireType(tag);
      if (type != WireFormat.WIRETYPE_FIXED32 && ++count > max) {
        throw bad("%s has more than %d fields".formatted(what, max));
      }
      if (type != WireFormat.WIRETYPE_LENGTH_DELIMITED) {
        if (!in.skipField(tag)) {
          throw bad("the message is not valid protobuf of this type");
        }
        continue;
      }
      int size = in.readRawVarint32();
      int outer = in.pushLimit(size);
      if (!nested.read(WireFormat.getTagFieldNumber(tag), size)) {
        in.skipRawBytes(size);
      }
      in.popLimit(outer);
    }
  }

  private static void countRequest(CodedInputStream in, int images) throws IOException {
    countFields(
        in,
        "the request",
        MAX_FIELDS,
        (field, _) -> {
          if (field == ModelInferRequest.INPUTS_FIELD_NUMBER) {
            countInput(in, images);
            return true;
          }
          if (field == ModelInferRequest.OUTPUTS_FIELD_NUMBER) {
            countFields(in, "an output", MAX_FIELDS, (_, _) -> false);
            return true;
          }
          return false;
        });
  }

  private static void countInput(CodedInputStream in, int images) throws IOException {
    countFields(
        in,
        "an input",
        MAX_FIELDS,
        (field, size) -> {
          if (field == InferInputTensor.SHAPE_FIELD_NUMBER && size > MAX_SHAPE_BYTES) {
            throw bad(
                "a shape has more than %d dimensions".formatted(InferenceProtocol.MAX_DIMENSIONS));
          }
          if (field != InferInputTensor.CONTENTS_FIELD_NUMBER) {
            return false;
          }
          countFields(in, "contents", Math.max(MAX_FIELDS, images), GrpcMessages::rejectOtherTypes);
          return true;
        });
  }

  /**
   * Rejects contents of types that no input has: parsed, they would need more memory than encoded.
   */
  private static boolean rejectOtherTypes(int field, int size) {
    if (size > 0
        && field != InferTensorContents.FP32_CONTENTS_FIELD_NUMBER
        && field != InferTensorContents.BYTES_CONTENTS_FIELD_NUMBER) {
      throw bad("contents must be fp32_contents or bytes_contents");
    }
    return false;
  }
}
