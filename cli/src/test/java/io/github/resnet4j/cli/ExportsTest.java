package io.github.resnet4j.cli;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import io.github.resnet4j.Model;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** On the class path the compiler does not stop the use of packages that are not exported. */
class ExportsTest {
  private static final JavaClasses CLASSES =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages("io.github.resnet4j");

  private static ModuleDescriptor core() throws URISyntaxException {
    Path classes = Path.of(Model.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    return ModuleFinder.of(classes).find("io.github.resnet4j").orElseThrow().descriptor();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "cli",
        "datasets",
        "embeddings",
        "figures",
        "onnx",
        "onnxruntime",
        "server",
        "spark"
      })
  void modulesUseExportedPackagesOnly(String module) throws URISyntaxException {
    String name = "io.github.resnet4j." + module;
    Set<String> exported =
        core().exports().stream()
            .filter(each -> !each.isQualified() || each.targets().contains(name))
            .map(ModuleDescriptor.Exports::source)
            .collect(Collectors.toSet());
    Set<String> inner =
        core().packages().stream()
            .filter(each -> !exported.contains(each))
            .collect(Collectors.toSet());
    classes()
        .that()
        .resideInAPackage(name)
        .should()
        .onlyDependOnClassesThat(
            DescribedPredicate.describe(
                "are in exported packages",
                (JavaClass type) -> !inner.contains(type.getPackageName())))
        .check(CLASSES);
  }

  @Test
  void messagesAreExportedToTheirUsers() throws URISyntaxException {
    Set<String> targets =
        core().exports().stream()
            .filter(each -> each.source().equals("io.github.resnet4j.messages"))
            .findFirst()
            .orElseThrow()
            .targets();
    assertEquals(
        Set.of(
            "io.github.resnet4j.cli", "io.github.resnet4j.datasets", "io.github.resnet4j.server"),
        targets);
  }
}
