package io.github.resnet4j.image.jpeg;

import java.util.HexFormat;

/**
 * The Huffman tables of the standard's annex K.3, for files without tables, such as motion JPEG's.
 */
final class StandardTables {
  private static final String DC = "000102030405060708090a0b";
  private static final String LUMA_AC =
      "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25"
          + "262728292a3435363738393a434445464748494a535455565758595a636465666768696a73747576777879"
          + "7a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8"
          + "c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa";
  private static final String CHROMA_AC =
      "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718"
          + "191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778"
          + "797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6"
          + "c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa";

  private StandardTables() {}

  /** The table for DC coefficients of luma (0) or chroma (1). */
  static HuffmanTable dc(int index) throws JpegException {
    return table(
        index == 0 ? "00010501010101010100000000000000" : "00030101010101010101010000000000",
        DC,
        true);
  }

  /** The table for AC coefficients of luma (0) or chroma (1). */
  static HuffmanTable ac(int index) throws JpegException {
    return index == 0
        ? table("0002010303020403050504040000017d", LUMA_AC, false)
        : table("00020102040403040705040400010277", CHROMA_AC, false);
  }

  private static HuffmanTable table(String counts, String values, boolean dc) throws JpegException {
    byte[] lengths = HexFormat.of().parseHex(counts);
    byte[] symbols = HexFormat.of().parseHex(values);
    int[] perLength = new int[17];
    int[] all = new int[256];
    for (int i = 0; i < 16; i++) {
      perLength[i + 1] = lengths[i];
    }
    for (int i = 0; i < symbols.length; i++) {
      all[i] = symbols[i] & 0xff;
    }
    return new HuffmanTable(perLength, all, dc);
  }
}
