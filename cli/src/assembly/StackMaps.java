import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassFile.ClassHierarchyResolverOption;
import java.lang.classfile.ClassFile.StackMapsOption;
import java.lang.classfile.ClassFileVersion;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodTransform;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;

/**
 * Copies a jar and converts its class files from the format of Java 5 to that of Java 17, with
 * stack maps. The JVM's AOT cache does not store class files of Java 5, and the JVM verifies them
 * with a slower algorithm. For picocli this takes a third of the startup time of a command.
 */
final class StackMaps {
  private StackMaps() {}

  /**
   * Converts a jar.
   *
   * @param arguments the jar and the file for the copy
   */
  public static void main(String[] arguments) throws IOException {
    Path from = Path.of(arguments[0]);
    Path to = Path.of(arguments[1]);
    Files.createDirectories(to.toAbsolutePath().getParent());
    try (var jar = new JarFile(from.toFile());
        var loader = new URLClassLoader(new URL[] {from.toUri().toURL()});
        var out = new JarOutputStream(Files.newOutputStream(to))) {
      var format =
          ClassFile.of(
              StackMapsOption.GENERATE_STACK_MAPS,
              ClassHierarchyResolverOption.of(ClassHierarchyResolver.ofResourceParsing(loader)));
      for (JarEntry entry : Collections.list(jar.entries())) {
        byte[] bytes = jar.getInputStream(entry).readAllBytes();
        var copy = new JarEntry(entry.getName());
        copy.setTimeLocal(entry.getTimeLocal()); // the same bytes in every build
        out.putNextEntry(copy);
        out.write(entry.getName().endsWith(".class") ? upgrade(format, bytes) : bytes);
        out.closeEntry();
      }
    }
  }

  private static byte[] upgrade(ClassFile format, byte[] bytes) {
    var old = format.parse(bytes);
    if (old.majorVersion() >= ClassFile.JAVA_6_VERSION) {
      return bytes;
    }
    return format.transformClass(
        old,
        (target, element) -> {
          switch (element) {
            case ClassFileVersion _ -> target.withVersion(ClassFile.JAVA_17_VERSION, 0);
            // Rebuilding the code is what makes the stack maps.
            case MethodModel method ->
                target.transformMethod(
                    method, MethodTransform.transformingCode((code, each) -> code.with(each)));
            default -> target.with(element);
          }
        });
  }
}
