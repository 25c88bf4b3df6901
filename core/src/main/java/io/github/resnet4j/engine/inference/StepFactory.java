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
import io.github.resnet4j.engine.step.AddStep;
import io.github.resnet4j.engine.step.AttentionStep;
import io.github.resnet4j.engine.step.Gates;
import io.github.resnet4j.engine.step.GroupMoments;
import io.github.resnet4j.engine.step.GroupNormStep;
import io.github.resnet4j.engine.step.InputStep;
import io.github.resnet4j.engine.step.NormStep;
import io.github.resnet4j.engine.step.Operands;
import io.github.resnet4j.engine.step.OutputStep;
import io.github.resnet4j.engine.step.PoolSteps;
import io.github.resnet4j.engine.step.Step;
import io.github.resnet4j.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Creates the step of each operation, after memory is planned and weights are packed. */
record StepFactory(
    GraphLayout graphLayout, GraphPlacement placement, PackedWeights weights, Kernels kernels) {
  /**
   * @param i the operation's index
   * @throws IllegalArgumentException if the engine does not support the operation at this position;
   *     the message names the layer
   */
  Step step(int i) {
    return switch (graphLayout.graph().ops().get(i)) {
      case Op.Input input -> new InputStep(placement.at(input.out()));
      case Op.Output output ->
          new OutputStep(output.name(), placement.at(output.out()), output.index());
      case Op.Conv conv -> convolution(conv);
      case Op.Attention attention -> attention(attention, i);
      case Op.GroupNorm norm -> groupNorm(norm, i);
      case Op.MaxPool pool -> {
        boolean zeros =
            pool.layer().zeros() || endsWithRelu(graphLayout.graph().producer(pool.in()));
        yield new PoolSteps.MaxPool(pool.layer(), !zeros, in(pool), out(pool), kernels);
      }
      case Op.AveragePool pool -> PoolSteps.Windows.of(pool.layer(), in(pool), out(pool), kernels);
      case Op.Blur blur -> PoolSteps.Windows.of(blur.layer(), in(blur), out(blur), kernels);
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
      case Op.Norm norm -> {
        if (!norm.relu()) {
          throw new IllegalArgumentException(
              norm.name() + ": is only supported after a convolution or with a ReLU after it");
        }
        yield new NormStep(
            norm.layer(),
            weights.state(),
            in(norm),
            out(norm),
            new Activation(
                NormStep.workspace(in(norm).layout()), placement.workspaceOf(norm.out())),
            graphLayout.parts(),
            kernels);
      }
      case Op.Relu relu ->
          throw new IllegalArgumentException(relu.name() + ": is only supported after a norm");
      case Op.Add sum -> {
        if (!(graphLayout.graph().producer(sum.main()) instanceof Op.Conv)) {
          throw new IllegalArgumentException(
              sum.name() + ": is only supported after a norm at the end of its branch");
        }
        yield AddStep.of(
            sum.name(), placement.at(sum.main()), placement.at(sum.shortcut()), out(sum), kernels);
      }
    };
  }

  private static boolean endsWithRelu(Op op) {
    return op instanceof Op.Conv conv && conv.relu()
        || op instanceof Op.GroupNorm norm && norm.relu();
  }

  private Activation in(Op.OfLayer op) {
    return placement.at(op.in());
  }

  private Activation out(Op op) {
    return placement.at(op.out());
  }

  private Operands operands(Op.OfLayer op, @Nullable Value residual) {
    return new Operands(in(op), out(op), residual == null ? null : placement.at(residual));
  }

  private Step convolution(Op.Conv op) {
    Convolution conv = graphLayout.convolution(op);
    Operands operands = operands(op, op.residual());
    WinogradBands bands = graphLayout.bands().get(op.out());
    return bands == null
        ? new DirectConv(conv, operands, weights.get(DirectConv.packing(conv, kernels)), kernels)
        : new WinogradConv(
            conv,
            bands,
            operands,
            placement.workspaceOf(op.out()),
            weights.get(WinogradConv.packing(conv, bands.form(), kernels)),
            kernels);
  }

  private Step groupNorm(Op.GroupNorm op, int i) {
    if (op.residual() != null && !op.relu()) {
      throw new IllegalArgumentException(
          op.name() + ": is only supported with a ReLU after the sum");
    }
    var workspace =
        new Activation(
            GroupMoments.workspace(graphLayout.layout(op.in()), graphLayout.chunkSizes()[i]),
            placement.workspaceOf(op.out()));
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
            workspace,
            kernels);
    return new GroupNormStep(
        op.name(), moments, operands(op, op.residual()), op.relu(), graphLayout.parts(), kernels);
  }

  private Step attention(Op.Attention op, int i) {
    if (op.residual() == null) {
      throw new IllegalArgumentException(op.name() + ": is only supported at the end of a block");
    }
    var workspace =
        new Activation(
            AttentionStep.workspace(graphLayout.layout(op.in()), graphLayout.chunkSizes()[i]),
            placement.workspaceOf(op.out()));
    return new AttentionStep(
        op.name(),
        Gates.of(op.layer(), weights.state()),
        operands(op, op.residual()),
        workspace,
        graphLayout.parts(),
        kernels);
  }
}
