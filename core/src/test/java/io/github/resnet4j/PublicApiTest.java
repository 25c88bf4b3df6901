package io.github.resnet4j;

import static java.util.Comparator.comparing;
import static java.util.stream.Collectors.joining;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.io.InputStream;
import java.lang.module.ModuleDescriptor;
import java.lang.reflect.Constructor;
import java.lang.reflect.Executable;
import java.lang.reflect.Field;
import java.lang.reflect.Member;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * The public API is {@code public-api.txt}: all types that users can reach, with their members.
 * What changes there is for the release notes; {@code -Dapi.write=true} rewrites the file.
 */
class PublicApiTest {
  private static final Path LIST = Path.of("src/test/resources/public-api.txt");

  /** The names of packages, which would make lines long. */
  private static final Pattern PACKAGES = Pattern.compile("\\b(?:[a-z]\\w*\\.)+(?=[A-Z])");

  @Test
  void publicApiMatchesTheList() throws Exception {
    List<String> found = publicTypes().stream().flatMap(PublicApiTest::describe).toList();
    if (Boolean.getBoolean("api.write")) {
      Files.write(LIST, found);
    }
    assertEquals(String.join("\n", Files.readAllLines(LIST)), String.join("\n", found));
  }

  /** The line of a type, then those of its members. */
  private static Stream<String> describe(Class<?> type) {
    String parents =
        Stream.concat(
                Stream.ofNullable(type.getSuperclass()).filter(each -> !isImplied(each)),
                Arrays.stream(type.getInterfaces()))
            .map(Class::getSimpleName)
            .collect(joining(", "));
    String line =
        "%s %s%s"
            .formatted(
                kind(type), type.getCanonicalName(), parents.isEmpty() ? "" : " : " + parents);
    Stream<Executable> executables =
        Stream.concat(
            Arrays.stream(type.getDeclaredConstructors()),
            Arrays.stream(type.getDeclaredMethods()).filter(each -> !isImplied(type, each)));
    Stream<Member> members = Stream.concat(executables, Arrays.stream(type.getDeclaredFields()));
    return Stream.concat(
        Stream.of(line),
        members
            .filter(each -> !each.isSynthetic() && isForUsers(each))
            .map(each -> "  " + signature(each))
            .sorted());
  }

  private static String kind(Class<?> type) {
    String modifiers = type.isSealed() ? "sealed " : "";
    if (type.isRecord()) {
      return "record";
    }
    if (type.isEnum()) {
      return "enum";
    }
    if (type.isInterface()) {
      return modifiers + "interface";
    }
    return modifiers
        + Modifier.toString(type.getModifiers() & ~Modifier.PUBLIC & ~Modifier.STATIC)
        + " class";
  }

  private static boolean isImplied(Class<?> parent) {
    return parent == Object.class || parent == Record.class || parent == Enum.class;
  }

  /** What every record and every enum has. */
  private static boolean isImplied(Class<?> type, Method method) {
    return switch (method.getName()) {
      case "equals", "hashCode", "toString" -> type.isRecord();
      case "values", "valueOf" -> type.isEnum();
      default -> false;
    };
  }

  private static boolean isForUsers(Member member) {
    return Modifier.isPublic(member.getModifiers())
        || (Modifier.isProtected(member.getModifiers())
            && !Modifier.isFinal(member.getDeclaringClass().getModifiers()));
  }

  private static String signature(Member member) {
    String all =
        switch (member) {
          case Method method -> method.toGenericString();
          case Constructor<?> constructor -> constructor.toGenericString();
          case Field field -> field.toGenericString();
          default -> throw new IllegalArgumentException(member.toString());
        };
    String own = Pattern.quote(member.getDeclaringClass().getTypeName()) + "\\.";
    return PACKAGES
        .matcher(all.replaceAll(own + "(?=\\w+(\\(|$))", ""))
        .replaceAll("")
        .replace("public ", "")
        .replace("abstract ", "");
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

  private static List<Class<?>> publicTypes() throws IOException, URISyntaxException {
    var types = Stream.<Class<?>>builder();
    for (String name : exports()) {
      try (Stream<Path> files = Files.list(classes().resolve(name.replace('.', '/')))) {
        files
            .map(file -> String.valueOf(file.getFileName()))
            .filter(file -> file.endsWith(".class") && !file.equals("package-info.class"))
            .map(file -> load(name + "." + file.replace(".class", "")))
            .filter(PublicApiTest::isVisible)
            .forEach(types);
      }
    }
    return types.build().sorted(comparing(Class::getCanonicalName)).toList();
  }

  private static Class<?> load(String name) {
    try {
      return Class.forName(name, false, PublicApiTest.class.getClassLoader());
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
