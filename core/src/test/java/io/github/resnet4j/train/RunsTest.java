package io.github.resnet4j.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.resnet4j.Golden;
import io.github.resnet4j.image.Pixels;
import io.github.resnet4j.train.Dataset.Example;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Range tests compared with pandas and NumPy, folds compared with scikit-learn. */
class RunsTest {
  private static final Map<String, Map<String, Object>> GOLDEN = Golden.json("runs.json");

  private static List<Double> numbers(Object list) {
    return Golden.list(list).stream().map(Golden::number).toList();
  }

  @Test
  void rangeTestIsSmoothedAndJudgedAsByPandasAndNumpy() {
    Map<String, Object> expected = GOLDEN.get("range test");
    List<Double> rates = numbers(expected.get("rates"));
    var found = LearningRateRange.of(rates, numbers(expected.get("losses")));
    List<Double> smoothed = numbers(expected.get("smoothed"));
    assertEquals(60, found.points().size());
    for (int i = 0; i < 60; i++) {
      // Both sum up to 60 terms in float64, in another order.
      assertEquals(smoothed.get(i), found.points().get(i).smoothed(), 1e-12 * smoothed.get(i));
    }
    assertEquals(Golden.number(expected.get("suggestion")), found.suggestion().orElseThrow(), 0);
    assertTrue(
        LearningRateRange.of(rates.subList(0, 12), numbers(expected.get("losses")).subList(0, 12))
            .suggestion()
            .isEmpty());
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 7})
  void foldsAreThoseOfScikitLearn(long seed) {
    Map<String, Object> expected = GOLDEN.get("folds");
    List<Integer> labels = numbers(expected.get("labels")).stream().map(Double::intValue).toList();
    assertEquals(
        expected.get("stratified " + seed), held(CrossValidation.stratified(labels, 3, seed), 3));
    assertEquals(
        expected.get("plain " + seed), held(CrossValidation.plain(labels.size(), 5, seed), 5));
  }

  private static List<List<Integer>> held(int[] fold, int count) {
    return IntStream.range(0, count)
        .mapToObj(
            each -> IntStream.range(0, fold.length).filter(i -> fold[i] == each).boxed().toList())
        .toList();
  }

  @Test
  void eachImageIsHeldOutOnce() {
    List<Example> images =
        IntStream.range(0, 11)
            .mapToObj(i -> new Example("i" + i, i % 2, () -> new Pixels(1, 1, 3, new byte[3])))
            .toList();
    var data = new Dataset(List.of("a", "b"), images, List.of());
    List<Dataset> folds = CrossValidation.folds(data, 5, 0);
    assertEquals(5, folds.size());
    var held = folds.stream().flatMap(fold -> fold.val().stream()).map(Example::name).toList();
    assertEquals(11, held.size());
    assertEquals(11, held.stream().distinct().count());
    for (Dataset fold : folds) {
      assertEquals(11, fold.train().size() + fold.val().size());
      assertTrue(fold.train().stream().noneMatch(fold.val()::contains));
    }
    var e = assertThrows(IllegalArgumentException.class, () -> CrossValidation.folds(data, 6, 0));
    assertEquals("class 'b' has 5 images, fewer than the 6 folds", e.getMessage());
  }
}
