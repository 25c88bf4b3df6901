package io.github.resnet4j.image.jpeg;

import java.util.List;

/**
 * What a scan header says.
 *
 * @param number 1 for the file's first scan
 * @param first the first coefficient of the band that a progressive scan holds
 * @param last the last one
 * @param previousBit the bit that an earlier scan ended at; 0 where this one is the first
 * @param bit the lowest bit that this scan holds
 */
record Scan(
    int number, List<Component> components, int first, int last, int previousBit, int bit) {}
