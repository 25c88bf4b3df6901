package io.github.resnet4j.server;

import io.github.resnet4j.server.ApiException.Kind;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.commons.fileupload2.core.MultipartInput;

/** Parses multipart forms, as browsers and {@code curl -F} send them. */
final class Multipart {
  private static final Pattern BOUNDARY =
      Pattern.compile("boundary=(?:\"([^\"]{1,70})\"|([^;\\s\"]{1,70}))", Pattern.CASE_INSENSITIVE);
  private static final int MAX_HEADER_BYTES = 4096;

  private Multipart() {}

  /**
   * Returns the contents of all parts, in order.
   *
   * @param max the maximum number of parts
   */
  static List<byte[]> parts(String contentType, byte[] body, int max) {
    Matcher boundary = BOUNDARY.matcher(contentType);
    if (!boundary.find()) {
      throw new ApiException(Kind.BAD_REQUEST, "the form's Content-Type has no boundary");
    }
    String found = boundary.group(1) == null ? boundary.group(2) : boundary.group(1);
    var parts = new ArrayList<byte[]>();
    try {
      var input =
          MultipartInput.builder()
              .setByteArray(body)
              .setBoundary(found.getBytes(StandardCharsets.ISO_8859_1))
              .setMaxPartHeaderSize(MAX_HEADER_BYTES)
              .get();
      boolean more = input.skipPreamble();
      while (more) {
        input.readHeaders();
        var content = new ByteArrayOutputStream();
        input.readBodyData(content);
        if (parts.size() == max) {
          throw new ApiException(Kind.TOO_LARGE, "at most %d images".formatted(max));
        }
        parts.add(content.toByteArray());
        more = input.readBoundary();
      }
    } catch (IOException | IllegalArgumentException _) {
      throw new ApiException(Kind.BAD_REQUEST, "the form is malformed");
    }
    return parts;
  }
}
