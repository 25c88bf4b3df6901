package io.github.resnet4j;

import io.github.resnet4j.ResNetSpec.StageWidths;
import java.util.Arrays;
import java.util.List;

/**
 * The numbers of channels of timm's pruned networks (Knapsack Pruning with Inner Distillation,
 * arXiv 2002.08258). A line is a stage: the number of output channels of its blocks, then for each
 * block those of its first two convolutions.
 */
final class PrunedWidths {
  private PrunedWidths() {}

  static final List<StageWidths> ECARESNET50D =
      parse(
          """
          19: 47-18 52-22 64-35
          171: 85-37 107-80 120-85 125-87
          818: 198-126 255-232 256-233 253-235 256-225 256-239
          2022: 492-237 512-500 512-490
          """);

  static final List<StageWidths> ECARESNET101D =
      parse(
          """
          26: 45-25 53-20 60-27
          142: 81-24 93-49 102-54 122-78
          278: 101-25 239-160 234-156 250-176 253-191 251-175 230-128 244-154 244-159 \
             238-97 244-149 253-181 245-119 255-216 256-201 253-149 254-141 256-190 256-217 \
             255-156 256-155 256-232 256-214
          2042: 499-289 512-512 512-502
          """);

  private static List<StageWidths> parse(String text) {
    return text.lines().map(PrunedWidths::stage).toList();
  }

  private static StageWidths stage(String line) {
    String[] parts = line.split(": +", -1);
    return new StageWidths(
        Integer.parseInt(parts[0]),
        Arrays.stream(parts[1].split(" +", -1))
            .map(block -> Arrays.stream(block.split("-", -1)).map(Integer::valueOf).toList())
            .toList());
  }
}
