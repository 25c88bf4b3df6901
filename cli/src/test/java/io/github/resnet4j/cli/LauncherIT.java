package io.github.resnet4j.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.resnet4j.cli.Command.Run;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The launcher script: class cache, locale, terminal width, first build. */
@EnabledOnOs({OS.LINUX, OS.MAC})
class LauncherIT {
  @TempDir private static Path home;
  @TempDir private Path folder;

  private Path cache = Path.of("");

  @BeforeAll
  static void unpack() throws IOException {
    Command.unpack(home);
  }

  @BeforeEach
  void useOwnCache() {
    cache = folder.resolve("cache");
  }

  private void classify() throws IOException {
    classify(Map.of("XDG_CACHE_HOME", cache.toString()));
  }

  private void classify(Map<String, String> environment) throws IOException {
    Run run = new Command(home, folder).run(environment, "", "classify", "samples/digit-6.png");
    assertEquals(0, run.code(), run.err());
    assertEquals("", run.err());
    assertTrue(run.out().contains(" %  6 "), run.out());
  }

  private Path classes() throws IOException {
    try (var files = Files.list(cache.resolve("resnet4j"))) {
      List<Path> found = files.filter(file -> file.toString().endsWith(".aot")).toList();
      assertEquals(1, found.size(), found.toString());
      return found.getFirst();
    }
  }

  private static String permissions(Path file) throws IOException {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(file));
  }

  /** The width is that of the terminal or COLUMNS; in a pipe the table is complete. */
  @Test
  void tablesFitTheTerminal() throws IOException {
    assumeTrue(Files.isExecutable(Path.of("/usr/bin/script")));
    var command = new Command(home, folder);
    assertTrue(longest(command.run(Map.of(), "", "models", "*").lines()) > 100);
    for (String terminal :
        List.of("stty cols 80; sh resnet4j models '*'", "COLUMNS=80 sh resnet4j models '*'")) {
      Run narrow =
          command.runProcess(
              Map.of("TERM", "xterm"), "", List.of("script", "-qec", terminal, "/dev/null"));
      List<String> table =
          narrow.lines().stream()
              .filter(line -> line.contains("resnet") && !line.contains(":"))
              .toList();
      assertTrue(table.size() > 40, narrow.out());
      assertTrue(longest(table) <= 80, narrow.out());
    }
  }

  private static int longest(List<String> lines) {
    return lines.stream().mapToInt(line -> line.stripTrailing().length()).max().orElse(0);
  }

  /** Without these checks the JVM crashed, or ran code that another user had written. */
  @Test
  void damagedOrSharedCacheIsRebuilt() throws IOException {
    classify();
    Path made = classes();
    assertEquals("rwx------", permissions(cache.resolve("resnet4j")));
    assertEquals("rw-------", permissions(made));
    Object first = Files.readAttributes(made, "unix:ino").get("ino");
    classify();
    assertEquals(first, Files.readAttributes(classes(), "unix:ino").get("ino"));

    var modified = Files.getLastModifiedTime(made);
    try (var file = new RandomAccessFile(made.toFile(), "rw")) {
      file.seek(file.length() / 4);
      file.write(new byte[1 << 20]);
    }
    byte[] damaged = Files.readAllBytes(made);
    classify();
    assertNotEquals(-1, Files.mismatch(made, Files.write(folder.resolve("damaged"), damaged)));

    // Damage that does not change the file times: the JVM detects it.
    Files.write(made, damaged);
    Files.setLastModifiedTime(made, modified);
    classify();

    Files.setPosixFilePermissions(made, PosixFilePermissions.fromString("rw-rw-rw-"));
    classify();
    assertEquals("rw-------", permissions(classes()));
  }

  @Test
  void noCacheInFolderWritableByOthers() throws IOException {
    Files.createDirectories(cache);
    Files.setPosixFilePermissions(cache, PosixFilePermissions.fromString("rwxrwxrwx"));
    classify();
    try (var files = Files.list(cache.resolve("resnet4j"))) {
      assertEquals(List.of(), files.toList());
    }
  }

  @Test
  void symbolicLinkToCacheIsNotFollowed() throws IOException {
    Path elsewhere = Files.createDirectories(folder.resolve("elsewhere"));
    Files.createDirectories(cache);
    Files.createSymbolicLink(cache.resolve("resnet4j"), elsewhere);
    classify();
    try (var files = Files.list(elsewhere)) {
      assertEquals(List.of(), files.toList());
    }
  }

  @Test
  void noCacheWithoutHome() throws IOException {
    Path temporary = Files.createDirectories(folder.resolve("tmp"));
    classify(Map.of("XDG_CACHE_HOME", "", "HOME", "", "TMPDIR", temporary.toString()));
    try (var files = Files.list(temporary)) {
      assertEquals(List.of(), files.toList());
    }
    assertFalse(Files.exists(Path.of("/tmp/.cache/resnet4j")));
  }

  /** Slim containers set no locale; Java then decodes file names as ASCII. */
  @Test
  void nonAsciiPathsWorkInCLocale() throws IOException {
    // The script creates the files, because this JVM may run in a locale without such names.
    Path script =
        Files.writeString(
            folder.resolve("script"),
            """
            mkdir -p "$1/grüße" && cp samples/digit-6.png "$1/grüße/bär.png" &&
              exec sh ./resnet4j classify "$1/grüße"
            """);
    for (Map<String, String> locale :
        List.of(
            Map.of("LC_ALL", "C"),
            Map.of("LC_ALL", "POSIX"),
            Map.of("LC_ALL", "", "LC_CTYPE", "", "LANG", ""))) {
      Run run =
          new Command(home, folder)
              .runProcess(
                  locale,
                  "",
                  List.of("sh", script.toString(), folder.resolve("images").toString()));
      assertEquals(0, run.code(), run.err());
      assertTrue(run.out().contains("grüße/bär.png"), run.out());
    }
  }

  /** Consoles of Windows have other encodings; files and pipes always get UTF-8. */
  @Test
  void consoleGetsItsOwnEncoding() throws IOException {
    assumeTrue(Files.isExecutable(Path.of("/usr/bin/script")));
    Path script =
        Files.writeString(
            folder.resolve("script"),
            """
            mkdir -p "$1" && cp samples/digit-6.png "$1/bär.png"
            script -qec "sh ./resnet4j classify $1" /dev/null | iconv -f ISO-8859-1 -t UTF-8
            sh ./resnet4j classify "$1"
            """);
    Run run =
        new Command(home, folder)
            .runProcess(
                Map.of("LC_ALL", "C.UTF-8", "RESNET4J_JAVA_OPTS", "-Dstdout.encoding=ISO-8859-1"),
                "",
                List.of("sh", script.toString(), folder.resolve("images").toString()));
    assertEquals(2, run.lines().stream().filter(line -> line.contains("bär.png")).count());
  }

  /** In a checkout, with a script in place of Maven that prints similar lines. */
  @Test
  void firstBuildPrintsProgress() throws IOException {
    Path checkout = Files.createDirectories(folder.resolve("checkout"));
    Files.createDirectories(checkout.resolve("cli/src/main"));
    Files.createFile(checkout.resolve("pom.xml"));
    Files.createFile(checkout.resolve("cli/pom.xml"));
    Path launcher = Files.copy(home.resolve("resnet4j/resnet4j"), checkout.resolve("resnet4j"));
    Path bin = Files.createDirectories(folder.resolve("bin"));
    Path maven = bin.resolve("mvn");
    String output =
        """
        #!/bin/sh
        echo '[INFO] Building resnet4j (all modules) 0.1.0-SNAPSHOT                   [1/7]'
        echo '[INFO] Building jar: /x/resnet4j.jar'
        echo 'Downloaded from central: https://repo.example/a.pom (4 kB at 9 kB/s)'
        echo '[INFO] Building resnet4j-cli 0.1.0-SNAPSHOT                             [7/7]'
        """;
    Files.writeString(maven, output + "echo '[ERROR] no such class'\nexit 1\n");
    assertTrue(maven.toFile().setExecutable(true));
    var path = Map.of("PATH", bin + ":" + System.getenv("PATH"));
    List<String> version = List.of("sh", launcher.toString(), "--version");
    Run failed = new Command(home, folder).runProcess(path, "", version);
    String progress =
        """
        resnet4j: first build; this takes about 2 minutes, longer if Maven has to download libraries
        resnet4j: module 1/7: resnet4j
        resnet4j: module 7/7: resnet4j-cli
        """;
    assertTrue(failed.err().startsWith(progress), failed.err());
    assertTrue(
        failed.err().contains("[ERROR] no such class\nresnet4j: the build failed; the full log"));
    assertEquals(1, failed.code());

    String lib = home.resolve("resnet4j/lib").toString();
    Files.writeString(
        maven,
        output
            + "mkdir -p cli/target/distribution/resnet4j\n"
            + "ln -s '%s' cli/target/distribution/resnet4j/lib\n".formatted(lib));
    Run built = new Command(home, folder).runProcess(path, "", version);
    assertEquals(progress, built.err());
    assertEquals(0, built.code());
    assertTrue(built.out().startsWith("resnet4j "), built.out());
    assertEquals("", new Command(home, folder).runProcess(path, "", version).err());
  }
}
