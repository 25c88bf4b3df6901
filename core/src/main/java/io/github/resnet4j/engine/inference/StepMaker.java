package io.github.resnet4j.engine.inference;

import io.github.resnet4j.engine.conv.DirectConv;
import io.github.resnet4j.engine.conv.Head;
import io.github.resnet4j.engine.conv.PackedWeights;
import io.github.resnet4j.engine.conv.WinogradBands;
import io.github.resnet4j.engine.conv.WinogradConv;
import io.github.resnet4j.engine.graph.Activation;
import io.github.resnet4j.engine.graph.Convolution;
import io.github.resnet4j.engine.graph.Op;
import io.github.resnet4j.engine.graph.Value;
import io.github.resnet4j.engine.step.AttentionStep;
import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.engine.step.GroupNormStep;
import io.github.resnet4j.engine.step.InputStep;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.engine.step.OutputStep;
import io.github.resnet4j.engine.step.PoolSteps;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Makes the step of each operation, now that everything has its place and weights are packed. */
record StepMaker(LaidOut laid, Placed placed, PackedWeights weights, Kernels kernels) {
  /**
   * @param i the operation's index
   * @throws IllegalArgumentException if it stands where the engine cannot run it; names the layer
   */
  Step step(int i) {
    return switch (laid.graph().ops().get(i)) {
      case Op.Input input -> new InputStep(placed.at(input.out()));
      case Op.Output output ->
          new OutputStep(output.name(), placed.at(output.out()), output.index());
      case Op.Conv conv -> convolution(conv);
      case Op.Attention attention -> attention(attention, i);
      case Op.GroupNorm norm -> groupNorm(norm, i);
      case Op.MaxPool pool -> {
        if (!endsWithRelu(laid.graph().producer(pool.in()))) {
          throw new IllegalArgumentException(pool.name() + ": no ReLU before it");
        }
        yield new PoolSteps.MaxPool(pool.layer(), in(pool), out(pool), kernels);
      }
      case Op.AveragePool pool ->
          new PoolSteps.AverageWindows(pool.layer(), in(pool), out(pool), kernels);
      case Op.Blur blur -> new PoolSteps.Blur(blur.layer(), in(blur), out(blur));
      case Op.Subsample pad ->
          new PoolSteps.Subsample(pad.name(), pad.layer().stride(), in(pad), out(pad));
      case Op.GlobalAverage average ->
          new PoolSteps.AveragePool(average.name(), in(average), out(average), kernels);
      case Op.Head head ->
          new Head(
              head.layer(),
              in(head),
              out(head),
              weights.get(
                  Head.packing(head.layer(), in(head).layout(), out(head).layout(), kernels)),
              kernels);
      case Op.Norm norm ->
          throw new IllegalArgumentException(norm.name() + ": no convolution before it");
      case Op.Relu relu -> throw new IllegalArgumentException(relu.name() + ": no norm before it");
      case Op.Add sum ->
          throw new IllegalArgumentException(sum.name() + ": no norm ends its branch");
    };
  }

  private static boolean endsWithRelu(Op op) {
    return op instanceof Op.Conv conv && conv.relu()
        || op instanceof Op.GroupNorm norm && norm.relu();
  }

  private Activation in(Op.OfLayer op) {
    return placed.at(op.in());
  }

  private Activation out(Op op) {
    return placed.at(op.out());
  }

  private Operands operands(Op.OfLayer op, @Nullable Value residual) {
    return new Operands(in(op), out(op), residual == null ? null : placed.at(residual));
  }

  private Step convolution(Op.Conv op) {
    Convolution conv = laid.convolution(op);
    Operands operands = operands(op, op.residual());
    WinogradBands bands = laid.bands().get(op.out());
    return bands == null
        ? new DirectConv(conv, operands, weights.get(DirectConv.packing(conv, kernels)), kernels)
        : new WinogradConv(
            conv,
            bands,
            operands,
            placed.roomOf(op.out()),
            weights.get(WinogradConv.packing(conv, bands.form(), kernels)),
            kernels);
  }

  private Step groupNorm(Op.GroupNorm op, int i) {
    if (op.residual() != null && !op.relu()) {
      throw new IllegalArgumentException(op.name() + ": no ReLU after the sum");
    }
    var numbers =
        new Activation(
            GroupMoments.numbers(laid.layout(op.in()), laid.imagesAtOnce()[i]),
            placed.roomOf(op.out()));
    float[] weight = weights.state().get(op.layer().weight().name()).data();
    float[] bias = weights.state().get(op.layer().bias().name()).data();
    float[] both = Arrays.copyOf(weight, weight.length + bias.length);
    System.arraycopy(bias, 0, both, weight.length, bias.length);
    var moments =
        new GroupMoments(
            op.layer(),
            both,
            name -> name.equals(op.layer().weight().name()) ? 0 : weight.length,
            op.relu(),
            in(op),
            numbers,
            kernels);
    return new GroupNormStep(
        op.name(), moments, operands(op, op.residual()), op.relu(), laid.parts(), kernels);
  }

  private Step attention(Op.Attention op, int i) {
    if (op.residual() == null) {
      throw new IllegalArgumentException(op.name() + ": not at the end of a block");
    }
    var numbers =
        new Activation(
            AttentionStep.numbers(laid.layout(op.in()), laid.imagesAtOnce()[i]),
            placed.roomOf(op.out()));
    return new AttentionStep(
        op.name(),
        Gates.of(op.layer(), weights.state()),
        operands(op, op.residual()),
        numbers,
        laid.parts(),
        kernels);
  }
}
