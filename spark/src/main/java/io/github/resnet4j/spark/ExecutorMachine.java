package io.github.resnet4j.spark;

import io.github.resnet4j.Model;
import io.github.resnet4j.train.Machine;
import io.github.resnet4j.train.Machines.Contribution;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import org.apache.spark.TaskContext;

/** Machines that this JVM has made for trainings; a task takes one, and gives it back. */
final class ExecutorMachine {
  private static final Map<Use, ArrayDeque<Machine>> IDLE = new HashMap<>();

  private record Use(String training, int threads) {}

  /** What a task does with it. */
  interface Work {
    Contribution with(Machine machine) throws InterruptedException;
  }

  private ExecutorMachine() {}

  static Contribution use(SparkMachines.Training training, Work work)
      throws IOException, InterruptedException {
    var use = new Use(training.start().id(), TaskContext.get().cpus());
    Machine machine = take(use, training);
    boolean well = false;
    try {
      Contribution done = work.with(machine);
      well = true;
      return done;
    } finally {
      if (well) {
        synchronized (IDLE) {
          IDLE.computeIfAbsent(use, _ -> new ArrayDeque<>()).push(machine);
        }
      } else {
        machine.close(); // its state is not known
      }
    }
  }

  private static Machine take(Use use, SparkMachines.Training training) throws IOException {
    synchronized (IDLE) {
      // An application trains one network after the other: what is of another is done.
      IDLE.entrySet().removeIf(other -> !other.getKey().equals(use) && close(other.getValue()));
      Machine idle = IDLE.computeIfAbsent(use, _ -> new ArrayDeque<>()).poll();
      if (idle != null) {
        return idle;
      }
    }
    Model start = Model.read("the broadcast model", training.start().file());
    return new Machine(start, training.recipe(), training.part(), use.threads);
  }

  private static boolean close(ArrayDeque<Machine> machines) {
    machines.forEach(Machine::close);
    return true;
  }
}
