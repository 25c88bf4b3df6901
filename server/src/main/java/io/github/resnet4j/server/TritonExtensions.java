package io.github.resnet4j.server;

import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.github.resnet4j.server.InferenceProtocol.Description;
import io.github.resnet4j.server.Statistics.Total;
import io.github.resnet4j.server.inference.DataType;
import io.github.resnet4j.server.inference.InferBatchStatistics;
import io.github.resnet4j.server.inference.InferStatistics;
import io.github.resnet4j.server.inference.ModelConfig;
import io.github.resnet4j.server.inference.ModelDynamicBatching;
import io.github.resnet4j.server.inference.ModelInput;
import io.github.resnet4j.server.inference.ModelInstanceGroup;
import io.github.resnet4j.server.inference.ModelOutput;
import io.github.resnet4j.server.inference.ModelStatistics;
import io.github.resnet4j.server.inference.StatisticDuration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Triton's extensions of the Open Inference Protocol: the configuration and the statistics of a
 * model, which {@code perf_analyzer} requests. The same messages are sent over gRPC and, as JSON
 * with the fields' names, over HTTP.
 */
final class TritonExtensions {
  private TritonExtensions() {}

  static ModelConfig config(ServedModel model, ServerOptions.Batching batching) {
    var config =
        ModelConfig.newBuilder()
            .setName(model.name())
            .setPlatform(InferenceProtocol.SERVER)
            .setBackend(InferenceProtocol.SERVER)
            .setMaxBatchSize(batching.maxBatchSize())
            .setDynamicBatching(
                ModelDynamicBatching.newBuilder()
                    .setMaxQueueDelayMicroseconds(batching.maxBatchDelay().toNanos() / 1000))
            .addInstanceGroup(
                ModelInstanceGroup.newBuilder()
                    .setName(model.name())
                    .setCount(1)
                    .setKind(ModelInstanceGroup.Kind.KIND_CPU));
    for (Description input : InferenceProtocol.inputs(model)) {
      boolean isImage = input.datatype().equals("FP32");
      config.addInput(
          ModelInput.newBuilder()
              .setName(input.name())
              .setDataType(isImage ? DataType.TYPE_FP32 : DataType.TYPE_STRING)
              .setFormat(isImage ? ModelInput.Format.FORMAT_NCHW : ModelInput.Format.FORMAT_NONE)
              .addAllDims(dims(input))
              .setOptional(true)); // a request has one of the inputs
    }
    for (Description output : InferenceProtocol.outputs(model)) {
      config.addOutput(
          ModelOutput.newBuilder()
              .setName(output.name())
              .setDataType(DataType.TYPE_FP32)
              .addAllDims(dims(output)));
    }
    return config.build();
  }

  /** The dimensions without the batch. */
  private static List<Long> dims(Description tensor) {
    return tensor.shape().subList(1, tensor.shape().size());
  }

  static ModelStatistics statistics(ServedModel model) {
    Statistics.Snapshot found = model.statistics().snapshot();
    var statistics =
        ModelStatistics.newBuilder()
            .setName(model.name())
            .setVersion(model.version())
            .setLastInference(found.lastInference())
            .setInferenceCount(found.images())
            .setExecutionCount(found.batchCount())
            .setInferenceStats(
                InferStatistics.newBuilder()
                    .setSuccess(duration(found.success()))
                    .setFail(duration(found.fail()))
                    .setQueue(duration(found.queue()))
                    .setComputeInput(duration(found.input()))
                    .setComputeInfer(duration(found.inference()))
                    .setComputeOutput(duration(found.output()))
                    .setCacheHit(duration(Total.NONE)) // there is no cache of responses
                    .setCacheMiss(duration(Total.NONE)));
    found
        .batches()
        .forEach((size, total) ->
            statistics.addBatchStats(
                InferBatchStatistics.newBuilder()
                    .setBatchSize(size)
                    .setComputeInput(duration(Total.NONE)) // per request only
                    .setComputeInfer(duration(total))
                    .setComputeOutput(duration(Total.NONE))));
    return statistics.build();
  }

  private static StatisticDuration duration(Total total) {
    return StatisticDuration.newBuilder().setCount(total.count()).setNs(total.nanos()).build();
  }

  /** A message as JSON, with all its fields, also those with the default value. */
  static Map<String, Object> toJson(Message message) {
    var fields = new LinkedHashMap<String, Object>();
    for (FieldDescriptor field : message.getDescriptorForType().getFields()) {
      fields.put(field.getName(), toJson(message.getField(field)));
    }
    return fields;
  }

  private static Object toJson(Object value) {
    return switch (value) {
      case List<?> list -> {
        var elements = new ArrayList<>();
        list.forEach(each -> elements.add(toJson(each)));
        yield elements;
      }
      case Message message -> toJson(message);
      case EnumValueDescriptor constant -> constant.getName();
      default -> value;
    };
  }
}
