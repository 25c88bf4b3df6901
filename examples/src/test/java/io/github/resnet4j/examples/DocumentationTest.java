package io.github.resnet4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** All Java code in the documentation and in Javadoc compiles. */
class DocumentationTest {
  private static final Pattern MARKDOWN = Pattern.compile("```java\\n(.*?)```", Pattern.DOTALL);
  private static final Pattern JAVADOC =
      Pattern.compile("<pre>\\{@code\\n(.*?)\\}</pre>", Pattern.DOTALL);

  /** What a reader is assumed to import and to have. */
  private static final String BEGIN =
      """
      import io.github.resnet4j.*;
      import io.github.resnet4j.ResNetSpec.Block;
      import io.github.resnet4j.checkpoint.*;
      import io.github.resnet4j.datasets.*;
      import io.github.resnet4j.embeddings.*;
      import io.github.resnet4j.engine.*;
      import io.github.resnet4j.explain.*;
      import io.github.resnet4j.figures.*;
      import io.github.resnet4j.image.*;
      import io.github.resnet4j.inspect.*;
      import io.github.resnet4j.nn.*;
      import io.github.resnet4j.onnx.*;
      import io.github.resnet4j.tensor.*;
      import io.github.resnet4j.train.*;
      import java.io.IOException;
      import java.nio.file.*;
      import java.util.*;
      %s
      class Quoted%d {
        Classifier classifier;
        Model model;
        ResNet network;
        Tensor batch;
        void quoted() throws Exception {
      %s
        }
      }
      """;

  private static final String OTHER_LIBRARIES =
      """
      import dev.langchain4j.data.embedding.Embedding;
      import dev.langchain4j.data.message.ImageContent;
      import dev.langchain4j.model.embedding.request.EmbeddingRequest;
      import dev.langchain4j.store.embedding.EmbeddingSearchRequest;
      import dev.langchain4j.store.embedding.inmemory.InMemoryEmbeddingStore;
      import io.github.resnet4j.langchain4j.*;
      import org.springframework.web.bind.annotation.*;
      """;

  @TempDir Path classes;

  private record Source(String name, String code) {}

  @Test
  void quotedCodeCompiles() throws IOException {
    var sources = new ArrayList<Source>();
    for (String page :
        List.of(
            "README.md",
            "docs/engine.md",
            "docs/neighbours.md",
            "docs/onnx.md",
            "docs/resnets.md",
            "docs/seeing.md",
            "docs/training.md")) {
      add(Path.of("..", page), MARKDOWN, sources);
    }
    int pages = sources.size();
    for (String module : List.of("core", "datasets", "embeddings", "figures", "onnx")) {
      try (Stream<Path> files = Files.walk(Path.of("..", module, "src/main/java"))) {
        for (Path file : files.filter(f -> f.toString().endsWith(".java")).sorted().toList()) {
          // The kernels show pseudocode.
          if (!file.toString().contains("/kernel/") && !file.toString().contains("/engine/")) {
            add(file, JAVADOC, sources);
          }
        }
      }
    }
    assertTrue(pages >= 5 && sources.size() - pages >= 5, sources.toString());
    assertEquals("", errors(sources));
  }

  private static void add(Path file, Pattern pattern, List<Source> sources) throws IOException {
    Matcher matcher = pattern.matcher(Files.readString(file));
    while (matcher.find()) {
      String code =
          matcher
              .group(1)
              .lines()
              .map(l -> l.replaceFirst("^ *\\* ?", ""))
              .collect(Collectors.joining("\n"));
      sources.add(new Source(file.toString(), code));
    }
  }

  private String errors(List<Source> sources) {
    var units = new ArrayList<JavaFileObject>();
    for (int i = 0; i < sources.size(); i++) {
      Source source = sources.get(i);
      String more = source.name().endsWith("neighbours.md") ? OTHER_LIBRARIES : "";
      String text = BEGIN.formatted(more, i, source.code());
      units.add(
          new SimpleJavaFileObject(
              URI.create("string:///Quoted%d.java".formatted(i)), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) {
              return text;
            }
          });
    }
    String classPath =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    var found = new DiagnosticCollector<JavaFileObject>();
    ToolProvider.getSystemJavaCompiler()
        .getTask(
            null,
            null,
            found,
            List.of("-cp", classPath, "-d", classes.toString(), "-proc:none", "-nowarn"),
            null,
            units)
        .call();
    return found.getDiagnostics().stream()
        .filter(each -> each.getKind() == Diagnostic.Kind.ERROR)
        .map(each ->
            sources.get(Integer.parseInt(each.getSource().getName().replaceAll("\\D", ""))).name()
                + ": "
                + each.getMessage(Locale.ROOT)
                + "\n")
        .collect(Collectors.joining());
  }
}
