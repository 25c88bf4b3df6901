package io.github.resnet4j.image.jpeg;

import java.util.List;

/**
 * The header of a scan.
 *
 * @param number 1 for the file's first scan
 * @param first the first coefficient of a progressive scan's band
 * @param last the last one
 * @param previousBit the lowest bit of an earlier scan; 0 for the first scan of the band
 * @param bit the lowest bit of this scan
 */
record Scan(
    int number, List<Component> components, int first, int last, int previousBit, int bit) {}
