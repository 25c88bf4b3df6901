package io.github.resnet4j.train;

import io.github.resnet4j.checkpoint.StoredTensor;
import io.github.resnet4j.engine.ParameterArrays;
import io.github.resnet4j.engine.TrainingSession;
import io.github.resnet4j.nn.StateDict;
import io.github.resnet4j.train.Trainer.Epoch;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The progress of a training, and how it is written to {@code state.safetensors} and read again.
 */
final class TrainingState {
  private static final String MODEL = "model.";
  private static final String AVERAGE = "average.";

  /** The completed epochs. */
  final List<Epoch> history = new ArrayList<>();

  /** The number of steps before each epoch, including the current one. */
  final List<Long> starts = new ArrayList<>();

  /** The number of processed images of the current epoch. */
  int done;

  /** The number of processed images that were read. */
  int read;

  /** The number of processed images that were classified correctly. */
  int correct;

  /** The sum of the losses of the processed images. */
  double loss;

  /** The index of the current epoch, from 0. */
  int epoch() {
    return history.size();
  }

  /** Completes an epoch. */
  void add(Epoch epoch) {
    history.add(epoch);
    done = 0;
    read = 0;
    correct = 0;
    loss = 0;
  }

  /**
   * Writes the state.
   *
   * @param fields the settings of the training, by names for people
   */
  void save(
      RunFolder folder,
      Replica replica,
      @Nullable WeightAverage average,
      int microBatch,
      Map<String, String> fields)
      throws IOException {
    TrainingSession session = replica.session();
    Optimizer optimizer = replica.optimizer();
    var tensors = new LinkedHashMap<String, StoredTensor>();
    put(MODEL, session.state(), tensors);
    if (average != null) {
      average.swap();
      put(AVERAGE, session.state(), tensors);
      average.swap();
    }
    optimizer
        .namedState()
        .forEach(
            (name, values) -> put(name + ".", session.parameters().toTensors(values), tensors));
    var notes = new LinkedHashMap<String, Object>();
    notes.put("epoch", epoch());
    notes.put("done", done);
    notes.put("read", read);
    notes.put("correct", correct);
    notes.put("loss", loss);
    notes.put("steps", optimizer.steps());
    notes.put("micro_batch", microBatch);
    notes.put("starts", starts.stream().map(String::valueOf).toList());
    notes.put("history", history.stream().map(Epoch::exactLine).toList());
    folder.save(tensors, notes, fields);
  }

  private static void put(String prefix, StateDict state, Map<String, StoredTensor> tensors) {
    state.entries().forEach((name, tensor) -> tensors.put(prefix + name, StoredTensor.of(tensor)));
  }

  /** The micro-batch size of the saved training. */
  static int microBatch(RunFolder.Saved saved) throws IOException {
    return saved.number("micro_batch").intValue();
  }

  /**
   * Restores a state written by {@link #save}.
   *
   * @param like the network's weights, which provide names and shapes
   * @param metric the metric of the epochs
   */
  static TrainingState restore(
      RunFolder.Saved saved,
      StateDict like,
      Replica replica,
      @Nullable WeightAverage average,
      Metric metric)
      throws IOException {
    TrainingSession session = replica.session();
    Optimizer optimizer = replica.optimizer();
    if (average != null) {
      session.load(saved.tensors(AVERAGE, like));
      average.reset();
    }
    session.load(saved.tensors(MODEL, like));
    ParameterArrays parameters = session.parameters();
    StateDict trained = parameters.toTensors(parameters.weights());
    for (Map.Entry<String, float[]> memory : optimizer.namedState().entrySet()) {
      parameters.fromTensors(saved.tensors(memory.getKey() + ".", trained), memory.getValue());
    }
    optimizer.setSteps(saved.number("steps").longValue());
    var state = new TrainingState();
    try {
      for (String line : saved.lines("history")) {
        state.history.add(Epoch.of(line, metric));
      }
    } catch (NumberFormatException e) {
      throw saved.invalidState();
    }
    if (saved.number("epoch").intValue() != state.epoch()) {
      throw saved.invalidState();
    }
    for (String steps : saved.lines("starts")) {
      state.starts.add(Long.valueOf(steps));
    }
    state.done = saved.number("done").intValue();
    state.read = saved.number("read").intValue();
    state.correct = saved.number("correct").intValue();
    state.loss = saved.number("loss").doubleValue();
    return state;
  }
}
