package io.github.resnet4j;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.library.Architectures;
import org.junit.jupiter.api.Test;

/** Package dependencies have one direction: docs/architecture.md shows them. */
class ArchitectureTest {
  private static final JavaClasses CLASSES =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages("io.github.resnet4j");

  @Test
  void packagesDependOnLowerPackagesOnly() {
    Architectures.layeredArchitecture()
        .consideringOnlyDependenciesInLayers()
        .layer("explain")
        .definedBy("io.github.resnet4j.explain")
        .layer("inspect")
        .definedBy("io.github.resnet4j.inspect")
        .layer("root")
        .definedBy("io.github.resnet4j")
        .layer("train")
        .definedBy("io.github.resnet4j.train")
        .layer("engine")
        .definedBy("io.github.resnet4j.engine..")
        .layer("image")
        .definedBy("io.github.resnet4j.image")
        .layer("jpeg")
        .definedBy("io.github.resnet4j.image.jpeg")
        .layer("checkpoint")
        .definedBy("io.github.resnet4j.checkpoint")
        .layer("nn")
        .definedBy("io.github.resnet4j.nn")
        .layer("kernel")
        .definedBy("io.github.resnet4j.kernel")
        .layer("tensor")
        .definedBy("io.github.resnet4j.tensor")
        .whereLayer("train")
        .mayNotBeAccessedByAnyLayer()
        .whereLayer("explain")
        .mayOnlyBeAccessedByLayers("root")
        .whereLayer("inspect")
        .mayNotBeAccessedByAnyLayer()
        .whereLayer("root")
        .mayOnlyBeAccessedByLayers("train", "inspect")
        .whereLayer("engine")
        .mayOnlyBeAccessedByLayers("train", "explain", "inspect", "root")
        .whereLayer("image")
        .mayOnlyBeAccessedByLayers("train", "root")
        .whereLayer("jpeg")
        .mayOnlyBeAccessedByLayers("image")
        .whereLayer("checkpoint")
        .mayOnlyBeAccessedByLayers("train", "inspect", "root")
        .whereLayer("nn")
        .mayOnlyBeAccessedByLayers("train", "explain", "inspect", "root", "engine")
        .whereLayer("kernel")
        .mayOnlyBeAccessedByLayers("explain", "inspect", "root", "engine", "jpeg")
        .check(CLASSES);
  }

  @Test
  void enginePackagesDependOnLowerPackagesOnly() {
    Architectures.layeredArchitecture()
        .consideringOnlyDependenciesInAnyPackage("io.github.resnet4j..")
        .layer("engine")
        .definedBy("io.github.resnet4j.engine")
        .layer("inference")
        .definedBy("io.github.resnet4j.engine.inference")
        .optionalLayer("training")
        .definedBy("io.github.resnet4j.engine.training")
        .layer("reference")
        .definedBy("io.github.resnet4j.engine.reference")
        .layer("conv")
        .definedBy("io.github.resnet4j.engine.conv")
        .layer("step")
        .definedBy("io.github.resnet4j.engine.step")
        .layer("graph")
        .definedBy("io.github.resnet4j.engine.graph")
        .whereLayer("inference")
        .mayOnlyBeAccessedByLayers("engine")
        .whereLayer("training")
        .mayOnlyBeAccessedByLayers("engine")
        .whereLayer("conv")
        .mayOnlyBeAccessedByLayers("engine", "inference", "training")
        .whereLayer("step")
        .mayOnlyBeAccessedByLayers("engine", "reference", "inference", "training", "conv")
        .whereLayer("graph")
        .mayOnlyBeAccessedByLayers("engine", "inference", "training", "conv", "step")
        .check(CLASSES);
    noClasses()
        .that()
        .resideInAPackage("io.github.resnet4j.engine.*..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("io.github.resnet4j.engine")
        .check(CLASSES);
  }

  @Test
  void packagesHaveNoCycles() {
    slices().matching("io.github.resnet4j.(*)..").should().beFreeOfCycles().check(CLASSES);
  }

  @Test
  void classNamesAreSpecific() {
    noClasses()
        .should()
        .haveSimpleNameEndingWith("Util")
        .orShould()
        .haveSimpleNameEndingWith("Utils")
        .orShould()
        .haveSimpleNameEndingWith("Helper")
        .orShould()
        .haveSimpleNameEndingWith("Manager")
        .check(CLASSES);
  }

  @Test
  void onlyCheckpointPackageUsesTheNetwork() {
    classes()
        .that()
        .resideOutsideOfPackage("io.github.resnet4j.checkpoint")
        .should()
        .onlyDependOnClassesThat()
        .resideOutsideOfPackages("java.net.http..")
        .check(CLASSES);
  }

  @Test
  void onlyCheckpointsAndMachineCodeUseNativeMemory() {
    classes()
        .that()
        .resideOutsideOfPackage("io.github.resnet4j.checkpoint")
        .and()
        .haveNameNotMatching(
            "io\\.github\\.resnet4j\\.kernel\\.(Machine.*|Arm64(Conv|Feature)|InstructionCache|Ints|Floats|Guard.*)")
        .should()
        .onlyDependOnClassesThat()
        .resideOutsideOfPackages("java.lang.foreign..")
        .check(CLASSES);
  }

  @Test
  void onlyKernelsUseVectorsAndGenerateCode() {
    classes()
        .that()
        .resideOutsideOfPackage("io.github.resnet4j.kernel")
        .should()
        .onlyDependOnClassesThat()
        .resideOutsideOfPackages("jdk.incubator..", "java.lang.classfile..")
        .check(CLASSES);
  }
}
