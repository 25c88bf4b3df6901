package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.resnet4j.kernel.Arm64Assembler.X;
import io.github.resnet4j.kernel.Arm64VectorAssembler.Part;
import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Compares the encoding of every instruction, with every register in every place, with GNU objdump
 * for AArch64. Its output is stored in {@code disassembly-arm64.txt} for machines without it;
 * {@code -Dgolden.write=true} writes that file. The property {@code arm64.objdump} is the path of
 * the program.
 */
class Arm64AssemblerTest {
  private static final Path GOLDEN = Path.of("src/test/resources/kernel/disassembly-arm64.txt");
  private static final Path OBJDUMP =
      Path.of(System.getProperty("arm64.objdump", "/usr/bin/aarch64-linux-gnu-objdump"));

  private final List<String> bytes = new ArrayList<>();
  private final List<String> texts = new ArrayList<>();

  private void write(String text, Consumer<Arm64VectorAssembler> emit) {
    var code = new Arm64VectorAssembler();
    emit.accept(code);
    bytes.add(HexFormat.of().formatHex(code.code()));
    texts.add(text);
  }

  private interface ThreeVectors {
    void emit(Arm64VectorAssembler code, Vec a, Vec b, Vec c);
  }

  private interface TwoVectors {
    void emit(Arm64VectorAssembler code, Vec a, Vec b);
  }

  private interface ByLane {
    void emit(Arm64VectorAssembler code, Vec a, Vec b, Vec c, int lane);
  }

  /** A sequence that visits every register; different factors give different orders. */
  private static Vec vec(int i, int factor) {
    return Vec.xmm((i * factor + factor) & 31);
  }

  private static X reg(int i, int factor) {
    return X.values()[(i * factor + factor) % 31];
  }

  private static X base(int i, int factor) {
    return X.values()[(i * factor + factor) & 31];
  }

  private static String name(X reg) {
    return reg.name().toLowerCase(Locale.ROOT);
  }

  private static String name(Vec vec, String elements) {
    return "v%d.%s".formatted(vec.number(), elements);
  }

  private void three(String name, String to, String of, ThreeVectors emit) {
    for (int i = 0; i < 32; i++) {
      Vec a = vec(i, 1);
      Vec b = vec(i, 5);
      Vec c = vec(i, 11);
      write(
          "%s %s,%s,%s".formatted(name, name(a, to), name(b, of), name(c, of)),
          code -> emit.emit(code, a, b, c));
    }
  }

  private void two(String name, String to, String of, TwoVectors emit) {
    for (int i = 0; i < 32; i++) {
      Vec a = vec(i, 3);
      Vec b = vec(i, 7);
      write("%s %s,%s".formatted(name, name(a, to), name(b, of)), code -> emit.emit(code, a, b));
    }
  }

  private void byLane(String name, String of, String element, int lanes, int last, ByLane emit) {
    for (int i = 0; i < 32; i++) {
      Vec a = vec(i, 9);
      Vec b = vec(i, 13);
      Vec c = Vec.xmm(vec(i, 1).number() % last);
      int lane = i * 5 / 2 % lanes;
      write(
          "%s %s,%s,%s[%d]".formatted(name, name(a, "4s"), name(b, of), name(c, element), lane),
          code -> emit.emit(code, a, b, c, lane));
    }
  }

  private static String at(X base, int offset) {
    return offset == 0 ? "[" + name(base) + "]" : "[%s,#%d]".formatted(name(base), offset);
  }

  private void vectors() {
    three("fmla", "4s", "4s", (code, a, b, c) -> code.fmla(a, b, c));
    three("fadd", "4s", "4s", Arm64VectorAssembler::fadd);
    three("fsub", "4s", "4s", Arm64VectorAssembler::fsub);
    three("fmul", "4s", "4s", Arm64VectorAssembler::fmul);
    three("fmax", "4s", "4s", Arm64VectorAssembler::fmax);
    three("fcmgt", "4s", "4s", Arm64VectorAssembler::fcmgt);
    three("fcmeq", "4s", "4s", Arm64VectorAssembler::fcmeq);
    three("and", "16b", "16b", Arm64VectorAssembler::and);
    three("bic", "16b", "16b", Arm64VectorAssembler::bic);
    three("eor", "16b", "16b", Arm64VectorAssembler::eor);
    three("add", "4s", "4s", Arm64VectorAssembler::add4s);
    three("umax", "8h", "8h", Arm64VectorAssembler::umax8h);
    three("umax", "16b", "16b", Arm64VectorAssembler::umax16b);
    three("sdot", "4s", "16b", (code, a, b, c) -> code.sdot(a, b, c));
    byLane("fmla", "4s", "s", 4, 32, (code, a, b, c, lane) -> code.fmla(a, b, c, lane));
    byLane("sdot", "16b", "4b", 4, 32, (code, a, b, c, lane) -> code.sdot(a, b, c, lane));
    byLane("sudot", "16b", "4b", 4, 32, Arm64VectorAssembler::sudot);
    byLane("bfmlalb", "8h", "h", 8, 16, Arm64VectorAssembler::bfmlalb);
    byLane("bfmlalt", "8h", "h", 8, 16, Arm64VectorAssembler::bfmlalt);
    two("mov", "16b", "16b", Arm64VectorAssembler::mov);
    two("neg", "4s", "4s", Arm64VectorAssembler::neg4s);
    two("scvtf", "4s", "4s", Arm64VectorAssembler::scvtf);
    two("fcvtns", "4s", "4s", Arm64VectorAssembler::fcvtns);
    two("sqxtn", "4h", "4s", Arm64VectorAssembler::sqxtn4h);
    two("sqxtn", "8b", "8h", Arm64VectorAssembler::sqxtn8b);
    two("sqxtun", "8b", "8h", Arm64VectorAssembler::sqxtun8b);
    two("uxtl", "8h", "8b", Arm64VectorAssembler::uxtl8h);
    two("sxtl", "8h", "8b", Arm64VectorAssembler::sxtl8h);
    two("uxtl", "4s", "4h", Arm64VectorAssembler::uxtl4s);
    two("sxtl", "4s", "4h", Arm64VectorAssembler::sxtl4s);
    two("bfcvtn", "4h", "4s", Arm64VectorAssembler::bfcvtn);
    for (int i = 0; i < 32; i++) {
      Vec a = vec(i, 1);
      Vec b = vec(i, 5);
      Vec c = vec(i, 3);
      int bits = i;
      X x = reg(i, 1);
      String ab = name(a, "4s") + "," + name(b, "4s");
      write("ushr %s,#%d".formatted(ab, bits + 1), code -> code.ushr4s(a, b, bits + 1));
      write("shl %s,#%d".formatted(ab, bits), code -> code.shl4s(a, b, bits));
      write("fcmlt %s,#0.0".formatted(ab), code -> code.fcmltZero(a, b));
      write("shll %s,%s,#16".formatted(name(a, "4s"), name(b, "4h")), code -> code.shll4s16(a, b));
      write("movi %s,#0x0".formatted(name(a, "2d")), code -> code.moviZero(a));
      write(
          "movi %s,#0x%x".formatted(name(a, "16b"), 8 * bits + 5),
          code -> code.movi16b(a, 8 * bits + 5));
      write("dup %s,w%d".formatted(name(a, "4s"), x.number()), code -> code.dup4s(a, x));
      write(
          "fmul s%d,s%d,s%d".formatted(a.number(), b.number(), c.number()),
          code -> code.fmulS(a, b, c));
    }
  }

  private void vectorMemory() {
    for (int i = 0; i < 32; i++) {
      Vec v = vec(i, 1);
      Vec other = vec(i, 3);
      X base = base(i, 5);
      X index = reg(i, 7);
      int wide = 16 * (i * 127 % 1024);
      int near = i * 16 - 255;
      int pair = 8 * (i * 3 % 64 - 32) * 2;
      for (Part part : Part.values()) {
        String name = part.name().toLowerCase(Locale.ROOT) + v.number();
        write("ldr %s,%s".formatted(name, at(base, wide)), c -> c.ldr(part, v, base, wide));
        write("str %s,%s".formatted(name, at(base, wide)), c -> c.str(part, v, base, wide));
        write("ldur %s,%s".formatted(name, at(base, near)), c -> c.ldr(part, v, base, near));
        write("stur %s,%s".formatted(name, at(base, near)), c -> c.str(part, v, base, near));
        String sum = "[%s,%s]".formatted(name(base), name(index));
        write("ldr %s,%s".formatted(name, sum), c -> c.ldr(part, v, base, index));
        write("str %s,%s".formatted(name, sum), c -> c.str(part, v, base, index));
      }
      if (v.number() != other.number() && pair / 2 >= -256) {
        String both = "d%d,d%d,%s".formatted(v.number(), other.number(), at(base, pair / 2));
        write("ldp " + both, code -> code.ldpD(v, other, base, pair / 2));
        write("stp " + both, code -> code.stpD(v, other, base, pair / 2));
      }
    }
    Vec v = Vec.xmm(3);
    write(
        "add x16,x2,#0x11,lsl #12; add x16,x16,#0x171; ldr q3,[x16]",
        c -> c.ldr(Part.Q, v, X.X2, 70001));
    write(
        "mov x16,#0x2d00; movk x16,#0x131,lsl #16; add x16,x2,x16; ldr q3,[x16]",
        c -> c.ldr(Part.Q, v, X.X2, 20_000_000));
    write(
        "add x16,x2,#0x1,lsl #12; add x16,x16,#0x1; str d3,[x16]",
        c -> c.str(Part.D, v, X.X2, 4097));
  }

  private void general() {
    for (int i = 0; i < 31; i++) {
      X a = reg(i, 1);
      X b = reg(i, 5);
      X c = reg(i, 11);
      X base = base(i, 3);
      String abc = "%s,%s,%s".formatted(name(a), name(b), name(c));
      String ab = name(a) + "," + name(b);
      int n = i * 131 + 1;
      write("add " + abc, code -> code.add(a, b, c));
      write("sub " + abc, code -> code.sub(a, b, c));
      write("lsl " + abc, code -> code.lsl(a, b, c));
      int shift = i;
      write("add %s,lsl #%d".formatted(abc, shift + 1), code -> code.add(a, b, c, shift + 1));
      write(
          "add %s,%s,w%d,sxtw #2".formatted(name(a), name(b), c.number()),
          code -> code.addSxtw(a, b, c, 2));
      write("mov " + ab, code -> code.mov(a, b));
      write("add %s,#0x%x".formatted(ab, n), code -> code.add(a, b, n));
      write("sub %s,#0x%x".formatted(ab, n), code -> code.add(a, b, -n));
      write("add %s,#0x%x,lsl #12".formatted(ab, n), code -> code.add(a, b, n << 12));
      write("subs %s,#0x%x".formatted(ab, n), code -> code.subs(a, b, n));
      write("cmp " + ab, code -> code.cmp(a, b));
      write("cmp %s,#0x%x".formatted(name(a), n), code -> code.cmp(a, n));
      write(
          "and %s,#0x%x".formatted(ab, -1L << shift + 1),
          code -> code.clearLowest(a, b, shift + 1));
      write("ubfx %s,#%d,#%d".formatted(ab, 3, i + 1), code -> code.ubfx(a, b, 3, shift + 1));
      write("ldr %s,%s".formatted(name(a), at(base, 8 * n)), code -> code.ldr(a, base, 8 * n));
      write("str %s,%s".formatted(name(a), at(base, 8 * n)), code -> code.str(a, base, 8 * n));
      write("ldrsw %s,%s".formatted(name(a), at(base, 4 * n)), code -> code.ldrsw(a, base, 4 * n));
      if (a != base) {
        write(
            "ldrsw %s,[%s],#%d".formatted(name(a), name(base), i - 20),
            code -> code.ldrswPost(a, base, shift - 20));
      }
      int pair = 8 * (i - 16);
      String both = name(a) + "," + name(c) + "," + at(base, pair);
      if (a != c) {
        write("ldp " + both, code -> code.ldp(a, c, base, pair));
        write("stp " + both, code -> code.stp(a, c, base, pair));
      }
      write("prfm pldl2keep,%s".formatted(at(base, 8 * n)), code -> code.prfmL2(base, 8 * n));
      write(
          "prfm pstl2keep,%s".formatted(at(base, 8 * n)),
          code -> code.prfmL2ForWriting(base, 8 * n));
      write("mrs %s,ctr_el0".formatted(name(a)), code -> code.mrsCtr(a));
      write("dc cvau,%s".formatted(name(a)), code -> code.dcCvau(a));
      write("ic ivau,%s".formatted(name(a)), code -> code.icIvau(a));
    }
    write(
        "dsb ish; isb; ret; bti c; nop",
        code -> {
          code.dsbIsh();
          code.isb();
          code.ret();
          code.btiC();
          code.nop();
        });
    numbers();
    jumps();
  }

  private void numbers() {
    write("mov x3,#0x0", code -> code.mov(X.X3, 0));
    write("mov x3,#0xffff", code -> code.mov(X.X3, 0xFFFF));
    write("mov x3,#0xffffffffffffffff", code -> code.mov(X.X3, -1));
    write("mov x3,#0x10000", code -> code.mov(X.X3, 0x10000));
    write("mov x3,#0x5678; movk x3,#0x1234,lsl #16", code -> code.mov(X.X3, 0x12345678));
    write(
        "mov x3,#0x1; movk x3,#0x2,lsl #16; movk x3,#0x3,lsl #32; movk x3,#0x4,lsl #48",
        code -> code.mov(X.X3, 0x0004000300020001L));
    write("mov x3,#0xffffffffffff0000", code -> code.mov(X.X3, -65536));
    write(
        "mov x3,#0xffffffffffffedcb; movk x3,#0xffee,lsl #16",
        code -> code.mov(X.X3, 0xFFFFFFFFFFEEEDCBL));
  }

  private void jumps() {
    write(
        "ret; bl 0x0; udf #0",
        code -> {
          var function = new Label();
          code.bind(function);
          code.ret();
          code.bl(function);
          code.udf();
        });
    for (Condition condition : Condition.values()) {
      String name =
          switch (condition) {
            case EQUAL -> "eq";
            case NOT_EQUAL -> "ne";
            case LESS -> "lt";
            case NOT_LESS -> "ge";
          };
      write(
          "nop; b.%s 0x0; b.%s 0xc; nop".formatted(name, name),
          code -> {
            var back = new Label();
            code.bind(back);
            code.nop();
            code.b(condition, back);
            var ahead = new Label();
            code.b(condition, ahead);
            code.bind(ahead);
            code.nop();
          });
    }
    for (X x : X.values()) {
      if (x != X.SP) {
        write(
            "cbz %s,0x8; cbnz %s,0x0; b 0x4".formatted(name(x), name(x)),
            code -> {
              var start = new Label();
              var ahead = new Label();
              var here = new Label();
              code.bind(start);
              code.cbz(x, ahead);
              code.bind(here);
              code.cbnz(x, start);
              code.bind(ahead);
              code.b(here);
            });
      }
    }
  }

  private void writeAll() {
    vectors();
    vectorMemory();
    general();
  }

  /** The text without addresses, comments and superfluous spaces. */
  private static String normal(String text) {
    return text.replaceAll("//.*", "")
        .replaceAll("\\s+<.*>", "")
        .replaceAll("\\s+", " ")
        .replaceAll(", ", ",")
        .strip();
  }

  private static final int BLOCK = 32;

  private List<String> objdump(Path folder) throws IOException, InterruptedException {
    byte[] all = new byte[bytes.size() * BLOCK];
    for (int i = 0; i < bytes.size(); i++) {
      byte[] one = HexFormat.of().parseHex(bytes.get(i));
      System.arraycopy(one, 0, all, i * BLOCK, one.length);
    }
    Path file = folder.resolve("code.bin");
    Files.write(file, all);
    var process =
        new ProcessBuilder(
                OBJDUMP.toString(),
                "-D",
                "-z",
                "-b",
                "binary",
                "-m",
                "aarch64",
                "--no-show-raw-insn",
                file.toString())
            .redirectErrorStream(true)
            .start();
    String output = new String(process.getInputStream().readAllBytes());
    assertEquals(0, process.waitFor(), output);
    var found = new ArrayList<List<String>>();
    bytes.forEach(_ -> found.add(new ArrayList<>()));
    for (String line : output.lines().toList()) {
      String[] parts = line.split(":\t", 2);
      if (parts.length == 2 && parts[0].strip().matches("[0-9a-f]+")) {
        int at = Integer.parseInt(parts[0].strip(), 16);
        int index = at / BLOCK;
        if (at % BLOCK < bytes.get(index).length() / 2) {
          String text = normal(parts[1]);
          var jump = java.util.regex.Pattern.compile("^(c?b\\S* .*)0x([0-9a-f]+)$").matcher(text);
          if (jump.matches()) {
            // Jumps are relative: count from this block.
            int target = Integer.parseInt(jump.group(2), 16) - index * BLOCK;
            text = "%s0x%x".formatted(jump.group(1), target);
          }
          found.get(index).add(text);
        }
      }
    }
    return found.stream().map(list -> String.join("; ", list)).toList();
  }

  @Test
  void instructionsMatchDisassembly() throws IOException {
    writeAll();
    List<String> golden = Files.readAllLines(GOLDEN);
    assertEquals(golden.size(), texts.size());
    for (int i = 0; i < texts.size(); i++) {
      assertEquals(golden.get(i), bytes.get(i) + "\t" + texts.get(i));
    }
  }

  @Test
  void storedDisassemblyMatchesObjdump(@TempDir Path folder) throws Exception {
    assumeTrue(Files.isExecutable(OBJDUMP), "no objdump for AArch64 here");
    writeAll();
    List<String> found = objdump(folder);
    var lines = new ArrayList<String>();
    for (int i = 0; i < found.size(); i++) {
      lines.add(bytes.get(i) + "\t" + found.get(i));
    }
    if (Boolean.getBoolean("golden.write")) {
      Files.write(GOLDEN, lines);
    }
    assertEquals(Files.readAllLines(GOLDEN), lines);
  }

  @Test
  void operandsThatDoNotFitAreRejected() {
    var code = new Arm64VectorAssembler();
    Vec v = Vec.xmm(0);
    assertThrows(IllegalArgumentException.class, () -> code.subs(X.X0, X.X0, 4096));
    assertThrows(IllegalArgumentException.class, () -> code.add(X.X0, X.X0, 4097));
    assertThrows(IllegalArgumentException.class, () -> code.ldr(X.X0, X.X0, 4));
    assertThrows(IllegalArgumentException.class, () -> code.ldr(X.X0, X.X0, 8 * 4096));
    assertThrows(IllegalArgumentException.class, () -> code.ldrswPost(X.X0, X.X1, 256));
    assertThrows(IllegalArgumentException.class, () -> code.bfmlalb(v, v, Vec.xmm(16), 0));
    assertThrows(IllegalArgumentException.class, () -> code.bfmlalb(v, v, v, 8));
    assertThrows(IllegalArgumentException.class, () -> code.fmla(v, v, v, 4));
  }
}
