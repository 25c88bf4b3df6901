package io.github.resnet4j.spark;

import io.github.resnet4j.Model;
import io.github.resnet4j.train.Distillation;
import io.github.resnet4j.train.Machine;
import io.github.resnet4j.train.Machines.Contribution;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.apache.spark.TaskContext;

/**
 * The {@link Machine}s that an executor's JVM keeps between rounds of a training; a task borrows
 * one.
 */
final class MachinePool {
  private static final Map<Key, ArrayDeque<Machine>> IDLE = new HashMap<>();

  private record Key(String training, int threads) {}

  /** The computation of a task. */
  interface Computation {
    Contribution run(Machine machine) throws InterruptedException;
  }

  private MachinePool() {}

  static Contribution run(SparkExecutors.Training training, Computation computation)
      throws IOException, InterruptedException {
    var key = new Key(training.start().id(), TaskContext.get().cpus());
    Machine machine = take(key, training);
    boolean succeeded = false;
    try {
      Contribution done = computation.run(machine);
      succeeded = true;
      return done;
    } finally {
      if (succeeded) {
        synchronized (IDLE) {
          IDLE.computeIfAbsent(key, _ -> new ArrayDeque<>()).push(machine);
        }
      } else {
        machine.close(); // its state is undefined
      }
    }
  }

  private static Machine take(Key key, SparkExecutors.Training training) throws IOException {
    synchronized (IDLE) {
      // An application runs one training at a time: machines of another training are not needed.
      IDLE.entrySet().removeIf(other -> !other.getKey().equals(key) && close(other.getValue()));
      Machine idle = IDLE.computeIfAbsent(key, _ -> new ArrayDeque<>()).poll();
      if (idle != null) {
        return idle;
      }
    }
    Model start = Model.read("the broadcast model", training.start().file());
    Optional<Distillation> teacher = Optional.empty();
    if (training.teacher() instanceof SparkExecutors.Teacher sent) {
      Model model = Model.read("the broadcast teacher", sent.model().file());
      teacher = Optional.of(new Distillation(model, sent.temperature(), sent.weight()));
    }
    return new Machine(start, training.recipe(), teacher, training.microBatch(), key.threads);
  }

  private static boolean close(ArrayDeque<Machine> machines) {
    machines.forEach(Machine::close);
    return true;
  }
}
