package io.github.resnet4j.cli;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.zip.ZipInputStream;

/**
 * The command as users run it, from the unpacked distribution, each call a process.
 *
 * @param home where {@link #unpack} unpacked the distribution
 * @param folder for what a process reads and writes
 */
record Command(Path home, Path folder) {
  /** The result of a process. */
  record Run(int code, String out, String err) {
    List<String> lines() {
      return out.lines().toList();
    }
  }

  /** Unpacks the distribution that the build created. */
  static void unpack(Path home) throws IOException {
    try (var zip =
        new ZipInputStream(Files.newInputStream(Path.of(System.getProperty("distribution"))))) {
      for (var entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
        Path file = home.resolve(entry.getName());
        if (entry.isDirectory()) {
          Files.createDirectories(file);
        } else {
          Files.createDirectories(file.getParent());
          Files.copy(zip, file);
        }
      }
    }
  }

  /** Runs the command in the distribution's folder. */
  Run run(Map<String, String> environment, String input, String... arguments) throws IOException {
    var command = new ArrayList<>(List.of("sh", home.resolve("resnet4j/resnet4j").toString()));
    command.addAll(List.of(arguments));
    return runProcess(environment, input, command);
  }

  /** Runs a program in the distribution's folder. */
  Run runProcess(Map<String, String> environment, String input, List<String> command)
      throws IOException {
    File out = folder.resolve("out").toFile();
    File err = folder.resolve("err").toFile();
    Path in = Files.writeString(folder.resolve("in"), input);
    var builder =
        new ProcessBuilder(command)
            .directory(home.resolve("resnet4j").toFile())
            .redirectInput(in.toFile())
            .redirectOutput(out)
            .redirectError(err);
    builder.environment().put("XDG_CACHE_HOME", home.resolve("cache").toString());
    builder.environment().keySet().removeAll(List.of("TORCH_HOME", "HF_HOME"));
    builder.environment().putAll(environment);
    Process process = builder.start();
    try {
      if (!process.waitFor(5, TimeUnit.MINUTES)) {
        process.destroyForcibly();
        throw new AssertionError("still running after five minutes: " + command);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException(e);
    }
    return new Run(
        process.exitValue(),
        Files.readString(out.toPath(), StandardCharsets.UTF_8),
        Files.readString(err.toPath(), StandardCharsets.UTF_8));
  }
}
