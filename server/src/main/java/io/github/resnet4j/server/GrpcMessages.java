package io.github.resnet4j.server;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.DiscardUnknownFieldsParser;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import com.google.protobuf.WireFormat;
import io.github.resnet4j.server.Refusal.Kind;
import io.github.resnet4j.server.inference.InferTensorContents;
import io.github.resnet4j.server.inference.ModelInferRequest;
import io.github.resnet4j.server.inference.ModelInferRequest.InferInputTensor;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;

/**
 * Messages of clients. gRPC's own marshaller builds whatever a message repeats, and what it cannot
 * read ends as UNKNOWN; so bytes are taken from it, counted, and only then parsed.
 */
final class GrpcMessages {
  /** Fields of a message, of each input, output and parameter in it. */
  static final int MOST_FIELDS = 256;

  /** Bytes of a shape: {@link InferenceProtocol#MOST_DIMENSIONS} numbers of up to ten. */
  private static final int MOST_SHAPE_BYTES = 10 * InferenceProtocol.MOST_DIMENSIONS;

  private static final byte[] TOO_LARGE = {};

  private GrpcMessages() {}

  /** The bytes of a message, as they are. */
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
            return TOO_LARGE; // compressed: damaged, or larger than what is allowed
          }
        }
      };

  /**
   * Reads a request for inference.
   *
   * @param images that it may have
   * @throws Refusal if it is none, or repeats something too often
   */
  static ModelInferRequest inference(byte[] bytes, int images) {
    return read(bytes, ModelInferRequest.parser(), in -> countRequest(in, images));
  }

  /**
   * Reads any other message.
   *
   * @throws Refusal if it is none, or has too many fields
   */
  static <A extends Message> A read(byte[] bytes, Parser<A> parser) {
    return read(bytes, parser, in -> count(in, "the message", MOST_FIELDS, (_, _) -> false));
  }

  private interface Count {
    void of(CodedInputStream in) throws IOException;
  }

  private static <A extends Message> A read(byte[] bytes, Parser<A> parser, Count count) {
    if (bytes == TOO_LARGE) {
      throw new Refusal(Kind.TOO_LARGE, "the message is damaged or, decompressed, too large");
    }
    try {
      count.of(CodedInputStream.newInstance(bytes));
      return DiscardUnknownFieldsParser.wrap(parser).parseFrom(bytes);
    } catch (IOException _) { // of protobuf; these bytes are in memory
      throw bad("the message is not what the protocol says");
    }
  }

  private static Refusal bad(String reason) {
    return new Refusal(Kind.BAD_REQUEST, reason);
  }

  // --- counting -------------------------------------------------------------------------------

  /** Reads a field of bytes. */
  private interface Inner {
    /**
     * @param size bytes of the field, at which the stream stands and ends
     * @return whether it was read; otherwise it is passed over
     */
    boolean read(int field, int size) throws IOException;
  }

  /** Counts the fields of a message, numbers of four bytes apart: they are what they take. */
  private static void count(CodedInputStream in, String what, int most, Inner inner)
      throws IOException {
    int count = 0;
    for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
      int type = WireFormat.getTagWireType(tag);
      if (type != WireFormat.WIRETYPE_FIXED32 && ++count > most) {
        throw bad("%s has more than %d fields".formatted(what, most));
      }
      if (type != WireFormat.WIRETYPE_LENGTH_DELIMITED) {
        if (!in.skipField(tag)) {
          throw bad("the message is not what the protocol says");
        }
        continue;
      }
      int size = in.readRawVarint32();
      int outer = in.pushLimit(size);
      if (!inner.read(WireFormat.getTagFieldNumber(tag), size)) {
        in.skipRawBytes(size);
      }
      in.popLimit(outer);
    }
  }

  private static void countRequest(CodedInputStream in, int images) throws IOException {
    count(
        in,
        "the request",
        MOST_FIELDS,
        (field, _) -> {
          if (field == ModelInferRequest.INPUTS_FIELD_NUMBER) {
            countInput(in, images);
            return true;
          }
          if (field == ModelInferRequest.OUTPUTS_FIELD_NUMBER) {
            count(in, "an output", MOST_FIELDS, (_, _) -> false);
            return true;
          }
          return false;
        });
  }

  private static void countInput(CodedInputStream in, int images) throws IOException {
    count(
        in,
        "an input",
        MOST_FIELDS,
        (field, size) -> {
          if (field == InferInputTensor.SHAPE_FIELD_NUMBER && size > MOST_SHAPE_BYTES) {
            throw bad(
                "a shape has more than %d dimensions".formatted(InferenceProtocol.MOST_DIMENSIONS));
          }
          if (field != InferInputTensor.CONTENTS_FIELD_NUMBER) {
            return false;
          }
          count(in, "contents", Math.max(MOST_FIELDS, images), GrpcMessages::isOther);
          return true;
        });
  }

  /** Refuses contents of types that no input has: they would be built, and be larger than sent. */
  private static boolean isOther(int field, int size) {
    if (size > 0
        && field != InferTensorContents.FP32_CONTENTS_FIELD_NUMBER
        && field != InferTensorContents.BYTES_CONTENTS_FIELD_NUMBER) {
      throw bad("contents must be fp32_contents or bytes_contents");
    }
    return false;
  }
}
