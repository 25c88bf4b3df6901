package io.github.resnet4j.examples;

import io.github.resnet4j.Model;
import io.github.resnet4j.onnx.OnnxExport;
import io.github.resnet4j.onnx.OnnxExport.Options;
import io.github.resnet4j.onnx.OnnxImport;
import java.io.IOException;
import java.nio.file.Path;

/** Writes a model as ONNX, and reads it again. */
public final class Export {
  private Export() {}

  /**
   * @param args the new file
   */
  public static void main(String[] args) throws IOException {
    Path file = Path.of(args[0]);
    OnnxExport.write(Model.embedded(), file, Options.defaults().withDynamicBatch());
    System.out.println("labels: " + OnnxImport.read(file).labels());
  }
}
