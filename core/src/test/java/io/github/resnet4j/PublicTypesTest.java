package io.github.resnet4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.io.InputStream;
import java.lang.module.ModuleDescriptor;
import java.lang.reflect.Modifier;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * The public API consists of the types in {@code public-types.txt}. A new type for users must be
 * added there; {@code -Dtypes.write=true} rewrites the list.
 */
class PublicTypesTest {
  private static final Path LIST = Path.of("src/test/resources/public-types.txt");

  @Test
  void publicTypesMatchTheList() throws Exception {
    List<String> found = publicTypes();
    if (Boolean.getBoolean("types.write")) {
      Files.write(LIST, found);
    }
    assertEquals(String.join("\n", Files.readAllLines(LIST)), String.join("\n", found));
  }

  @Test
  void kernelAndMessagesAreNotExportedToUsers() throws Exception {
    for (String inner : List.of("kernel", "messages", "engine.inference", "engine.reference")) {
      assertFalse(exports().contains("io.github.resnet4j." + inner), inner);
    }
  }

  private static Path classes() throws URISyntaxException {
    return Path.of(Model.class.getProtectionDomain().getCodeSource().getLocation().toURI());
  }

  private static List<String> exports() throws IOException, URISyntaxException {
    try (InputStream descriptor = Files.newInputStream(classes().resolve("module-info.class"))) {
      return ModuleDescriptor.read(descriptor).exports().stream()
          .filter(each -> !each.isQualified())
          .map(ModuleDescriptor.Exports::source)
          .sorted()
          .toList();
    }
  }

  private static List<String> publicTypes() throws IOException, URISyntaxException {
    var types = Stream.<String>builder();
    for (String name : exports()) {
      try (Stream<Path> files = Files.list(classes().resolve(name.replace('.', '/')))) {
        files
            .map(file -> String.valueOf(file.getFileName()))
            .filter(file -> file.endsWith(".class") && !file.equals("package-info.class"))
            .map(file -> load(name + "." + file.replace(".class", "")))
            .filter(PublicTypesTest::isVisible)
            .map(type -> String.valueOf(type.getCanonicalName()))
            .forEach(types);
      }
    }
    return types.build().sorted().toList();
  }

  private static Class<?> load(String name) {
    try {
      return Class.forName(name, false, PublicTypesTest.class.getClassLoader());
    } catch (ClassNotFoundException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Nested types are public if all enclosing types are. */
  private static boolean isVisible(Class<?> type) {
    Class<?> outer = type.getDeclaringClass();
    return !type.isAnonymousClass()
        && !type.isLocalClass()
        && Modifier.isPublic(type.getModifiers())
        && (outer == null || isVisible(outer));
  }
}
