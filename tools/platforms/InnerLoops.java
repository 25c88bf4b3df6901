package io.github.resnet4j.kernel;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.Set;

/** Writes the code of the main tiles for arm64 to a folder: 6 pixels times 16 channels. */
final class InnerLoops {
  private InnerLoops() {}

  /**
   * @param arguments the folder
   */
  public static void main(String[] arguments) throws IOException {
    Path folder = Path.of(arguments[0]);
    Set<Arm64Feature> all = EnumSet.allOf(Arm64Feature.class);
    write(folder.resolve("fp32"), Format.FP32, all);
    write(folder.resolve("bf16"), Format.BF16, all);
    write(folder.resolve("int8"), Format.U8, all);
    write(folder.resolve("int8-sdot"), Format.U8, Set.of(Arm64Feature.DOT_PRODUCT));
  }

  private static void write(Path file, Format format, Set<Arm64Feature> features)
      throws IOException {
    var in = new ConvTile.Input(format, 64, 64);
    var out = new ConvTile.Output(Format.FP32, 64, null, true);
    Files.write(file, new Arm64TileCode(new ConvTile.Shape(6, 16, in, out), features).generate());
  }
}
