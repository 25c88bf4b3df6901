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
 * How far a training has come, and how that is written into {@code state.safetensors} and read
 * again.
 */
final class TrainingState {
  private static final String MODEL = "model.";
  private static final String AVERAGE = "average.";

  /** The epochs that are complete. */
  final List<Epoch> history = new ArrayList<>();

  /** Images of the current epoch whose steps are done. */
  int done;

  /** Those of them that could be read. */
  int read;

  /** Those of them that were classified correctly. */
  int correct;

  /** The sum of their losses. */
  double loss;

  /** The number of the current epoch, from 0. */
  int epoch() {
    return history.size();
  }

  /** Ends an epoch. */
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
   * @param fields what the training is, by names for people
   */
  void save(
      RunFolder folder,
      Learner learner,
      @Nullable WeightAverage average,
      int microBatch,
      Map<String, String> fields)
      throws IOException {
    TrainingSession session = learner.session();
    Optimizer optimizer = learner.optimizer();
    var tensors = new LinkedHashMap<String, StoredTensor>();
    put(MODEL, session.state(), tensors);
    if (average != null) {
      average.exchange();
      put(AVERAGE, session.state(), tensors);
      average.exchange();
    }
    optimizer
        .namedMemory()
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
    notes.put("history", history.stream().map(Epoch::line).toList());
    folder.save(tensors, notes, fields);
  }

  private static void put(String prefix, StateDict state, Map<String, StoredTensor> tensors) {
    state.entries().forEach((name, tensor) -> tensors.put(prefix + name, StoredTensor.of(tensor)));
  }

  /** The images of a micro-batch of the training that was saved. */
  static int microBatch(RunFolder.Saved saved) throws IOException {
    return saved.number("micro_batch").intValue();
  }

  /**
   * Restores a state that {@link #save} wrote.
   *
   * @param like the network's weights, for their names and shapes
   */
  static TrainingState restore(
      RunFolder.Saved saved, StateDict like, Learner learner, @Nullable WeightAverage average)
      throws IOException {
    TrainingSession session = learner.session();
    Optimizer optimizer = learner.optimizer();
    if (average != null) {
      session.load(saved.tensors(AVERAGE, like));
      average.restart();
    }
    session.load(saved.tensors(MODEL, like));
    ParameterArrays parameters = session.parameters();
    StateDict trained = parameters.toTensors(parameters.weights());
    for (Map.Entry<String, float[]> memory : optimizer.namedMemory().entrySet()) {
      parameters.fromTensors(saved.tensors(memory.getKey() + ".", trained), memory.getValue());
    }
    optimizer.resumeAfter(saved.number("steps").longValue());
    var state = new TrainingState();
    try {
      for (String line : saved.lines("history")) {
        state.history.add(Epoch.of(line));
      }
    } catch (NumberFormatException e) {
      throw saved.notAState();
    }
    if (saved.number("epoch").intValue() != state.epoch()) {
      throw saved.notAState();
    }
    state.done = saved.number("done").intValue();
    state.read = saved.number("read").intValue();
    state.correct = saved.number("correct").intValue();
    state.loss = saved.number("loss").doubleValue();
    return state;
  }
}
