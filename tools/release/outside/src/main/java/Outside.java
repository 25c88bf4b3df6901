import io.github.resnet4j.Classifier;
import io.github.resnet4j.Prediction;
import java.nio.file.Path;

/** Uses resnet4j from another project: classifies an image with the embedded model. */
final class Outside {
  public static void main(String[] arguments) throws Exception {
    try (Classifier classifier = Classifier.embedded()) {
      Prediction best = classifier.classify(Path.of(arguments[0]), 1).getFirst();
      System.out.printf("%s %.3f%n", best.label(), best.probability());
    }
  }
}
