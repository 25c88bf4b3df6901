package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.nn.Parameter;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every network of timm's {@code resnet.py} by name: parameter names, their order and shapes. */
class CatalogueTest {
  static Stream<Map.Entry<String, Map<String, Object>>> networks() {
    return Golden.json("catalogue.json").entrySet().stream();
  }

  @ParameterizedTest
  @MethodSource("networks")
  void parametersAreThoseOfTimm(Map.Entry<String, Map<String, Object>> golden)
      throws NoSuchAlgorithmException {
    assertTrue(Architecture.catalogue().containsKey(golden.getKey()), golden.getKey());
    ResNetSpec spec = Architecture.named(golden.getKey());
    List<Parameter> parameters = spec.layers().parameters();
    String entries =
        parameters.stream()
            .map(parameter -> "%s %s\n".formatted(parameter.name(), parameter.shape()))
            .collect(Collectors.joining());
    assertEquals(((Number) golden.getValue().get("parameters")).longValue(), spec.parameterCount());
    assertEquals(golden.getValue().get("state_dict"), parameters.size());
    byte[] digest =
        MessageDigest.getInstance("SHA-256").digest(entries.getBytes(StandardCharsets.UTF_8));
    assertEquals(golden.getValue().get("sha256"), HexFormat.of().formatHex(digest));
  }
}
