package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Architecture;
import io.github.resnet4j.Golden;
import io.github.resnet4j.Model;
import io.github.resnet4j.Task;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.nn.Loss;
import io.github.resnet4j.train.Dataset.Example;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Compares metrics with scikit-learn's and timm's on the same predictions. */
class MetricsTest {
  /** Both sides compute in float64, in another order. */
  private static final double TOLERANCE = 1e-12;

  private static final Map<String, Map<String, Object>> GOLDEN = Golden.json("metrics.json");

  private static Example example(Target target) {
    return new Example("image", target, () -> new Pixels(1, 1, 3, new byte[3]));
  }

  private static float[] floats(Object row) {
    List<?> list = Golden.list(row);
    float[] values = new float[list.size()];
    for (int k = 0; k < values.length; k++) {
      values[k] = (float) Golden.number(list.get(k));
    }
    return values;
  }

  private static List<Float> list(float[] values) {
    return IntStream.range(0, values.length).mapToObj(k -> values[k]).toList();
  }

  private static void assertEach(Map<String, Object> golden, String name, List<Double> found) {
    List<?> expected = Golden.list(golden.get(name));
    assertEquals(expected.size(), found.size());
    for (int k = 0; k < found.size(); k++) {
      assertEquals(Golden.number(expected.get(k)), found.get(k), TOLERANCE, name + " " + k);
    }
  }

  private static void assertCounts(Map<String, Object> golden, List<Counts> counts) {
    assertEach(golden, "precision each", counts.stream().map(Counts::precision).toList());
    assertEach(golden, "recall each", counts.stream().map(Counts::recall).toList());
    assertEach(golden, "f1 each", counts.stream().map(Counts::f1).toList());
    double macro = counts.stream().mapToDouble(Counts::f1).average().orElseThrow();
    assertEquals(Golden.number(golden.get("f1 macro")), macro, TOLERANCE);
  }

  private static MultiLabelEvaluation severalLabels(List<Float> thresholds) {
    Map<String, Object> golden = GOLDEN.get("labels");
    var outcomes = new ArrayList<MultiLabelEvaluation.Outcome>();
    List<?> truths = Golden.list(golden.get("truths"));
    List<?> scores = Golden.list(golden.get("scores"));
    for (int i = 0; i < truths.size(); i++) {
      float[] truth = floats(truths.get(i));
      var target =
          new Target.Labels(
              IntStream.range(0, truth.length).filter(k -> truth[k] == 1).boxed().toList());
      outcomes.add(new MultiLabelEvaluation.Outcome(example(target), floats(scores.get(i))));
    }
    return new MultiLabelEvaluation(List.of("a", "b", "c", "d"), thresholds, outcomes);
  }

  @Test
  void metricsOfSeveralLabelsEqualScikitLearn() {
    Map<String, Object> golden = GOLDEN.get("labels");
    var found = severalLabels(list(floats(golden.get("thresholds"))));
    var classes = IntStream.range(0, 4).boxed().toList();
    assertEach(golden, "average_precision", classes.stream().map(found::averagePrecision).toList());
    assertEach(golden, "roc_auc", classes.stream().map(found::rocAuc).toList());
    assertEquals(Golden.number(golden.get("map")), found.score(), TOLERANCE);
    List<Counts> counts = classes.stream().map(found::counts).toList();
    assertCounts(golden, counts);
    Counts all = Counts.sum(counts);
    assertEquals(Golden.number(golden.get("precision micro")), all.precision(), TOLERANCE);
    assertEquals(Golden.number(golden.get("recall micro")), all.recall(), TOLERANCE);
    assertEquals(Golden.number(golden.get("f1 micro")), all.f1(), TOLERANCE);
  }

  /** The thresholds reach the largest F1 of scikit-learn's precision-recall curve. */
  @Test
  void thresholdsHaveTheHighestF1() {
    var best = severalLabels(severalLabels(Collections.nCopies(4, 0.5f)).bestThresholds());
    assertEach(
        GOLDEN.get("labels"),
        "best_f1",
        IntStream.range(0, 4).mapToObj(k -> best.counts(k).f1()).toList());
  }

  @Test
  void classWithoutImagesHasNoAveragePrecision() {
    double[] scores = {0.1, 0.9};
    boolean[] none = new boolean[2];
    assertTrue(Double.isNaN(Metrics.averagePrecision(scores, none)));
    assertTrue(Double.isNaN(Metrics.rocAuc(scores, none)));
    assertEquals(0.5, Metrics.bestThreshold(scores, none));
  }

  @Test
  void metricsOfClassesEqualScikitLearn() {
    Map<String, Object> golden = GOLDEN.get("classes");
    Model model =
        Model.initialize(Architecture.named("resnet8"), List.of("a", "b", "c", "d", "e"), 0);
    var found = SingleLabelEvaluation.empty(model, List.of());
    List<?> truths = Golden.list(golden.get("truths"));
    List<?> predicted = Golden.list(golden.get("predicted"));
    var examples = new ArrayList<Example>();
    for (int i = 0; i < truths.size(); i++) {
      float[] probabilities = new float[5];
      probabilities[(int) Golden.number(predicted.get(i))] = 1;
      int truth = (int) Golden.number(truths.get(i));
      examples.add(example(new Target.Label(truth)));
      found.add(i, truth, probabilities);
    }
    assertEquals(Golden.number(golden.get("accuracy")), found.score(), TOLERANCE);
    // SciPy's has other random numbers; accuracies are multiples of 1/60.
    var interval = Bootstrap.interval(found, 20_000, 0);
    List<?> expectedInterval = Golden.list(golden.get("interval"));
    assertEquals(Golden.number(expectedInterval.getFirst()), interval.low(), 1.01 / 60);
    assertEquals(Golden.number(expectedInterval.getLast()), interval.high(), 1.01 / 60);
    assertCounts(golden, IntStream.range(0, 5).mapToObj(found::counts).toList());
    var data = new Dataset(model.labels(), examples, List.of());
    float[] expected = floats(golden.get("balanced_weights"));
    assertEquals(list(expected), ClassWeights.BALANCED.of(data));
    var some = new ClassWeights(true, Map.of("b", 3.0)).of(data);
    assertEquals(List.of(expected[0], 3f, expected[2]), some.subList(0, 3));
  }

  private static SingleLabelEvaluation evaluation(List<float[]> logits, Task task) {
    Model model =
        Model.initialize(Architecture.named("resnet8"), List.of("a", "b", "c", "d", "e"), 0)
            .withTask(task);
    var found = SingleLabelEvaluation.empty(model, List.of());
    List<?> truths = Golden.list(GOLDEN.get("calibration").get("truths"));
    for (int i = 0; i < logits.size(); i++) {
      int truth = (int) Golden.number(truths.get(i));
      found.add(i, truth, model.probabilities(logits.get(i)));
    }
    return found;
  }

  /** An image of a model with one class may have several right ones. */
  @Test
  void severalRightClassesEqualTimm() {
    Map<String, Object> golden = GOLDEN.get("real");
    Model model = Model.initialize(Architecture.named("resnet8"), Model.numbered(12), 0);
    var found = SingleLabelEvaluation.empty(model, List.of());
    List<?> right = Golden.list(golden.get("right"));
    List<?> logits = Golden.list(golden.get("logits"));
    for (int i = 0; i < right.size(); i++) {
      List<Integer> classes =
          Golden.list(right.get(i)).stream().map(each -> (int) Golden.number(each)).toList();
      float[] probabilities = model.probabilities(floats(logits.get(i)));
      found.add(i, classes, probabilities);
      assertTrue(classes.contains(found.outcomes().getLast().truth()));
    }
    assertEquals(Golden.number(golden.get("top1")), 100 * found.accuracy(), TOLERANCE);
    assertEquals(Golden.number(golden.get("top5")), 100 * found.top5Accuracy(), TOLERANCE);
  }

  @Test
  void calibrationErrorEqualsTorchmetrics() {
    Map<String, Object> golden = GOLDEN.get("calibration");
    List<float[]> logits =
        Golden.list(golden.get("logits")).stream().map(MetricsTest::floats).toList();
    var found = evaluation(logits, Task.SINGLE_LABEL);
    // Both have float32 probabilities.
    assertEquals(Golden.number(golden.get("ece")), found.calibrationError(15), 1e-6);
  }

  /** Points and areas of scikit-learn's curves, and its calibration curve. */
  @Test
  void curvesEqualScikitLearn() {
    List<?> curves = Golden.list(GOLDEN.get("labels").get("roc_curves"));
    var labels = severalLabels(list(floats(GOLDEN.get("labels").get("thresholds"))));
    for (int k = 0; k < 4; k++) {
      Metrics.RocCurve curve = labels.rocCurve(k);
      List<?> axes = Golden.list(curves.get(k));
      assertEach(Map.of("x", axes.getFirst()), "x", curve.falsePositiveRates());
      assertEach(Map.of("y", axes.getLast()), "y", curve.truePositiveRates());
    }
    Map<String, Object> golden = GOLDEN.get("calibration");
    List<float[]> logits =
        Golden.list(golden.get("logits")).stream().map(MetricsTest::floats).toList();
    var found = evaluation(logits, Task.SINGLE_LABEL);
    // The order of scores, and so the areas, is the same in float32.
    assertEach(golden, "roc_auc", IntStream.range(0, 5).mapToObj(found::rocAuc).toList());
    var bins = found.reliability(15);
    var expected = (Map<?, ?>) golden.get("reliability");
    float[] accuracy = floats(expected.get("accuracy"));
    float[] confidence = floats(expected.get("confidence"));
    assertEquals(accuracy.length, bins.size());
    for (int i = 0; i < accuracy.length; i++) {
      assertEquals(accuracy[i], bins.get(i).accuracy(), 1e-6);
      assertEquals(confidence[i], bins.get(i).confidence(), 1e-6);
    }
    assertEquals(60, bins.stream().mapToInt(SingleLabelEvaluation.ReliabilityBin::count).sum());
  }

  /** The temperature of SciPy's minimizer, and it lowers the calibration error. */
  @Test
  void temperatureEqualsScipy() {
    Map<String, Object> golden = GOLDEN.get("calibration");
    List<float[]> logits =
        Golden.list(golden.get("logits")).stream().map(MetricsTest::floats).toList();
    List<Integer> labels =
        Golden.list(golden.get("truths")).stream()
            .map(label -> (int) Golden.number(label))
            .toList();
    double temperature = TemperatureScaling.fit(logits, labels);
    // Near a minimum the value is flat: half of float64's digits are left; logits are float32.
    assertEquals(Golden.number(golden.get("temperature")), temperature, 1e-5);
    double before = evaluation(logits, Task.SINGLE_LABEL).calibrationError(15);
    double after = evaluation(logits, new Task.SingleLabel(temperature)).calibrationError(15);
    assertTrue(after < before / 2, before + ", " + after);
  }

  @Test
  void metricsOfNumbersEqualScikitLearn() {
    Map<String, Object> golden = GOLDEN.get("numbers");
    var outcomes = new ArrayList<RegressionEvaluation.Outcome>();
    List<?> truths = Golden.list(golden.get("truths"));
    List<?> predicted = Golden.list(golden.get("predicted"));
    for (int i = 0; i < truths.size(); i++) {
      var target = new Target.Values(list(floats(truths.get(i))));
      outcomes.add(new RegressionEvaluation.Outcome(example(target), floats(predicted.get(i))));
    }
    var found = new RegressionEvaluation(List.of("a", "b"), outcomes);
    List<Integer> numbers = List.of(0, 1);
    assertEach(golden, "mae", numbers.stream().map(found::meanAbsoluteError).toList());
    assertEach(golden, "rmse", numbers.stream().map(found::rootMeanSquaredError).toList());
    assertEach(golden, "r2", numbers.stream().map(found::r2).toList());
  }

  /** PyTorch smooths labels in cross_entropy; here the targets are smoothed. */
  @Test
  void labelSmoothingEqualsPytorch() {
    Map<String, Object> golden = Golden.json("losses.json").get("cross_entropy label smoothing");
    List<?> outputs = Golden.list(Golden.json("losses.json").get("data").get("outputs"));
    List<?> labels = Golden.list(golden.get("labels"));
    Model model = Model.initialize(Architecture.named("resnet8"), List.of("a", "b", "c", "d"), 0);
    var loss = new Loss.CrossEntropy(List.of());
    double sum = 0;
    for (int n = 0; n < labels.size(); n++) {
      var target = new Target.Label((int) Golden.number(labels.get(n)));
      float[] row = Replica.targets(target, model, 0.1);
      sum += loss.apply(floats(outputs.get(n)), row, new double[4]);
    }
    // The targets are floats, and one logit is 120 below the largest.
    assertEquals(Golden.number(golden.get("loss")), sum / labels.size(), 120 * Math.ulp(1f));
  }

  @Test
  void smoothedLabelsAreBetweenHavingAndNotHavingTheClass() {
    Model model =
        Model.initialize(Architecture.named("resnet8"), List.of("a", "b"), 0)
            .withTask(Task.MultiLabel.of(2));
    float[] row = Replica.targets(new Target.Labels(List.of(1)), model, 0.2);
    assertEquals(0.1f, row[0]);
    assertEquals(0.9f, row[1]);
  }
}
