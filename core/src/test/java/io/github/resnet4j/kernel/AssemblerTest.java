package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
import io.github.resnet4j.kernel.MatrixAssembler.Matrix;
import io.github.resnet4j.kernel.Vec.Width;
import io.github.resnet4j.kernel.VectorAssembler.Comparison;
import io.github.resnet4j.kernel.VectorAssembler.Mask;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Compares the encoding of every instruction, with random operands, with GNU objdump. Its output is
 * stored in {@code disassembly.txt} for machines without it; {@code -Dgolden.write=true} writes
 * that file.
 */
class AssemblerTest {
  private static final Path GOLDEN = Path.of("src/test/resources/kernel/disassembly.txt");

  private record Instruction(String bytes, String text) {}

  private static final class Writer {
    final List<Instruction> instructions = new ArrayList<>();
    final Random random = new Random(7);
    Width longest = Width.ZMM;

    /** Writes code, and the expected disassembly. */
    void write(Function<VectorAssembler, String> emit) {
      var code = new VectorAssembler(longest);
      String text = emit.apply(code);
      instructions.add(new Instruction(HexFormat.of().formatHex(code.code()), text));
    }

    Vec vector() {
      return new Vec(longest, random.nextInt(longest.registers()));
    }

    Reg reg() {
      return Reg.values()[random.nextInt(16)];
    }

    Mem mem() {
      int displacement =
          switch (random.nextInt(5)) {
            case 0 -> 0;
            case 1 -> 64 * (random.nextInt(40) - 20);
            case 2 -> random.nextInt(256) - 128;
            case 3 -> 4 * (random.nextInt(300) - 150);
            default -> random.nextInt(2_000_000) - 1_000_000;
          };
      Reg index = random.nextBoolean() ? null : reg();
      return new Mem(
          reg(),
          index == Reg.RSP ? null : index,
          index == null || index == Reg.RSP ? 1 : 1 << random.nextInt(4),
          displacement);
    }
  }

  private static String name(Vec vec) {
    return vec.width().name().toLowerCase(Locale.ROOT) + vec.number();
  }

  /** The disassembler's name for the length of a memory operand. */
  private static String pointer(int bytes) {
    return switch (bytes) {
          case 4 -> "DWORD";
          case 8 -> "QWORD";
          case 16 -> "XMMWORD";
          case 32 -> "YMMWORD";
          default -> "ZMMWORD";
        }
        + " PTR ";
  }

  private static String name(Reg reg) {
    return reg.name().toLowerCase(Locale.ROOT);
  }

  private static String text(Mem mem) {
    var text = new StringBuilder("[").append(name(mem.base()));
    if (mem.index() != null) {
      text.append('+').append(name(mem.index())).append('*').append(mem.scale());
    }
    int d = mem.displacement();
    boolean needed = d != 0 || (mem.base().ordinal() & 7) == 5;
    if (needed) {
      text.append(d < 0 ? "-0x" : "+0x").append(Integer.toHexString(Math.abs(d)));
    }
    return text.append(']').toString();
  }

  private interface ThreeVectors {
    void emit(VectorAssembler code, Vec a, Vec b, Vec c);
  }

  private interface VectorsAndMemory {
    void emit(VectorAssembler code, Vec a, Vec b, Mem c);
  }

  private interface TwoVectors {
    void emit(VectorAssembler code, Vec a, Vec b);
  }

  private static Map<String, ThreeVectors> threeVectors() {
    var all = new LinkedHashMap<String, ThreeVectors>();
    all.put("vfmadd231ps", (code, a, b, c) -> code.vfmadd231ps(a, b, c));
    all.put("vfmadd213ps", (code, a, b, c) -> code.vfmadd213ps(a, b, c));
    all.put("vaddps", (code, a, b, c) -> code.vaddps(a, b, c));
    all.put("vmulps", (code, a, b, c) -> code.vmulps(a, b, c));
    all.put("vsubps", VectorAssembler::vsubps);
    all.put("vmaxps", VectorAssembler::vmaxps);
    all.put("vandps", VectorAssembler::vandps);
    all.put("vorps", VectorAssembler::vorps);
    all.put("vpdpbusd", (code, a, b, c) -> code.vpdpbusd(a, b, c));
    all.put("vpaddd", VectorAssembler::vpaddd);
    all.put("vpackssdw", VectorAssembler::vpackssdw);
    all.put("vpacksswb", VectorAssembler::vpacksswb);
    all.put("vpackuswb", VectorAssembler::vpackuswb);
    all.put("vunpcklps", VectorAssembler::vunpcklps);
    all.put("vunpckhps", VectorAssembler::vunpckhps);
    return all;
  }

  private static Map<String, VectorsAndMemory> vectorsAndMemory() {
    var all = new LinkedHashMap<String, VectorsAndMemory>();
    all.put("vfmadd231ps", (code, a, b, c) -> code.vfmadd231ps(a, b, c));
    all.put("vaddps", (code, a, b, c) -> code.vaddps(a, b, c));
    all.put("vmulps", (code, a, b, c) -> code.vmulps(a, b, c));
    all.put("vfmadd213ps", VectorAssembler::vfmadd213ps);
    all.put("vpdpbusd", (code, a, b, c) -> code.vpdpbusd(a, b, c));
    all.put("vpmaddwd", VectorAssembler::vpmaddwd);
    all.put("vpmaxuw", VectorAssembler::vpmaxuw);
    all.put("vpmaxub", VectorAssembler::vpmaxub);
    return all;
  }

  private static Map<String, TwoVectors> twoVectors() {
    var all = new LinkedHashMap<String, TwoVectors>();
    all.put("vmovaps", (code, a, b) -> code.vmovaps(a, b));
    all.put("vcvtdq2ps", VectorAssembler::vcvtdq2ps);
    all.put("vcvtps2dq", VectorAssembler::vcvtps2dq);
    return all;
  }

  private static List<Instruction> instructions() {
    var w = new Writer();
    for (Width longest : new Width[] {Width.ZMM, Width.YMM}) {
      w.longest = longest;
      for (int i = 0; i < 12; i++) {
        Vec a = w.vector();
        Vec b = w.vector();
        Vec c = w.vector();
        Mem m = w.mem();
        ofFullVectors(w, a, b, c, m);
        // The lower parts of registers have the same instructions.
        ofFullVectors(w, a.as(Width.XMM), b.as(Width.XMM), c.as(Width.XMM), m);
        if (longest == Width.ZMM) {
          ofFullVectors(w, a.as(Width.YMM), b.as(Width.YMM), c.as(Width.YMM), m);
          onlyOf512Bits(w, a, b, c, m);
        }
        if (longest == Width.YMM) {
          onlyOf256Bits(w, a, b, c);
        }
        ofSingleLanes(w, w.random.nextInt(16), w.reg(), m);
        macros(w, a, b, c, m);
      }
    }
    general(w);
    matrices(w);
    w.longest = Width.YMM;
    for (int i = 0; i < 6; i++) {
      bytesAndWords(w, w.vector(), w.vector(), w.vector(), w.mem());
    }
    return w.instructions;
  }

  private static void bytesAndWords(Writer w, Vec a, Vec b, Vec c, Mem m) {
    for (var instruction : VectorAssembler.Packed.values()) {
      String name = instruction.name().toLowerCase(Locale.ROOT);
      w.write(code -> {
        code.packed(instruction, a, b, c);
        return "%s %s,%s,%s".formatted(name, name(a), name(b), name(c));
      });
      w.write(code -> {
        code.packed(instruction, a, b, m);
        return "%s %s,%s,YMMWORD PTR %s".formatted(name, name(a), name(b), text(m));
      });
    }
    for (var shift : VectorAssembler.Shift.values()) {
      w.write(code -> {
        code.shift(shift, a, b, 7);
        return "%s %s,%s,0x7".formatted(shift.name().toLowerCase(Locale.ROOT), name(a), name(b));
      });
    }
    w.write(code -> {
      code.vpblendvb(a, b, c, b);
      return "vpblendvb %s,%s,%s,%s".formatted(name(a), name(b), name(c), name(b));
    });
    w.write(code -> {
      code.vpmovsxbw(a, m);
      return "vpmovsxbw %s,XMMWORD PTR %s".formatted(name(a), text(m));
    });
    w.write(code -> {
      code.vbroadcasti128(a, m);
      return "vbroadcasti128 %s,XMMWORD PTR %s".formatted(name(a), text(m));
    });
    w.write(code -> {
      code.vinserti128(a, b, m);
      return "vinserti128 %s,%s,XMMWORD PTR %s,0x1".formatted(name(a), name(b), text(m));
    });
    w.write(code -> {
      code.vextracti128(m, a);
      return "vextracti128 XMMWORD PTR %s,%s,0x1".formatted(text(m), name(a));
    });
    w.write(code -> {
      code.vperm2i128(a, b, 1, c, 0);
      return "vperm2i128 %s,%s,%s,0x21".formatted(name(a), name(b), name(c));
    });
    w.write(code -> {
      code.vpermq(a, b, 0, 2, 1, 3);
      return "vpermq %s,%s,0xd8".formatted(name(a), name(b));
    });
    w.write(code -> {
      code.vptest(a, b);
      return "vptest %s,%s".formatted(name(a), name(b));
    });
    Reg reg = w.reg();
    w.write(code -> {
      var constants = new Label();
      code.lea(reg, constants);
      code.ret();
      code.bind(constants);
      code.words(0x9090);
      return "lea %s,[rip+0x1]; ret; nop".formatted(name(reg));
    });
  }

  private static void ofFullVectors(Writer w, Vec a, Vec b, Vec c, Mem m) {
    int bytes = a.width().bytes();
    threeVectors()
        .forEach((name, three) ->
            w.write(code -> {
              three.emit(code, a, b, c);
              return "%s %s,%s,%s".formatted(name, name(a), name(b), name(c));
            }));
    vectorsAndMemory()
        .forEach((name, three) ->
            w.write(code -> {
              three.emit(code, a, b, m);
              return "%s %s,%s,%s%s".formatted(name, name(a), name(b), pointer(bytes), text(m));
            }));
    twoVectors()
        .forEach((name, two) ->
            w.write(code -> {
              two.emit(code, a, b);
              return "%s %s,%s".formatted(name, name(a), name(b));
            }));
    w.write(code -> {
      code.vmovups(a, m);
      return "vmovups %s,%s%s".formatted(name(a), pointer(bytes), text(m));
    });
    w.write(code -> {
      code.vmovups(m, a);
      return "vmovups %s%s,%s".formatted(pointer(bytes), text(m), name(a));
    });
    w.write(code -> {
      code.vbroadcastss(a, m);
      return "vbroadcastss %s,DWORD PTR %s".formatted(name(a), text(m));
    });
    w.write(code -> {
      code.vbroadcastss(a, b.as(Width.XMM));
      return "vbroadcastss %s,xmm%d".formatted(name(a), b.number());
    });
    w.write(code -> {
      code.vcvtdq2ps(a, m);
      return "vcvtdq2ps %s,%s%s".formatted(name(a), pointer(bytes), text(m));
    });
    w.write(code -> {
      code.vpxor(a, b, c);
      boolean evex = a.width() == Width.ZMM || (a.number() | b.number() | c.number()) > 15;
      return "%s %s,%s,%s".formatted(evex ? "vpxord" : "vpxor", name(a), name(b), name(c));
    });
    w.write(code -> {
      code.vpand(a, b, c);
      boolean evex = a.width() == Width.ZMM || (a.number() | b.number() | c.number()) > 15;
      return "%s %s,%s,%s".formatted(evex ? "vpandd" : "vpand", name(a), name(b), name(c));
    });
    w.write(code -> {
      code.vpsrlw(a, b, 8);
      return "vpsrlw %s,%s,0x8".formatted(name(a), name(b));
    });
    w.write(code -> {
      code.vpsrld(a, b, 31);
      return "vpsrld %s,%s,0x1f".formatted(name(a), name(b));
    });
    w.write(code -> {
      code.vpslld(a, b, 16);
      return "vpslld %s,%s,0x10".formatted(name(a), name(b));
    });
    w.write(code -> {
      code.vpmovzxwd(a, m);
      return "vpmovzxwd %s,%s%s".formatted(name(a), pointer(bytes / 2), text(m));
    });
    w.write(code -> {
      code.vpmovzxbd(a, m);
      return "vpmovzxbd %s,%s%s".formatted(name(a), pointer(bytes / 4), text(m));
    });
    w.write(code -> {
      code.vpmovsxbd(a, m);
      return "vpmovsxbd %s,%s%s".formatted(name(a), pointer(bytes / 4), text(m));
    });
  }

  /** The mnemonic of vcmpps for each comparison. */
  private static String name(Comparison comparison) {
    return switch (comparison) {
      case EQUAL -> "vcmpeqps";
      case UNORDERED -> "vcmpunordps";
      case GREATER -> "vcmpgt_oqps";
    };
  }

  private static void onlyOf512Bits(Writer w, Vec a, Vec b, Vec c, Mem m) {
    w.write(code -> {
      code.vdpbf16ps(a, b, c);
      return "vdpbf16ps %s,%s,%s".formatted(name(a), name(b), name(c));
    });
    w.write(code -> {
      code.vdpbf16ps(a, b, m);
      return "vdpbf16ps %s,%s,ZMMWORD PTR %s".formatted(name(a), name(b), text(m));
    });
    w.write(code -> {
      code.vdpbf16psBroadcast(a, b, m);
      return "vdpbf16ps %s,%s,DWORD BCST %s".formatted(name(a), name(b), text(m));
    });
    w.write(code -> {
      code.vfmadd231psBroadcast(a, b, m);
      return "vfmadd231ps %s,%s,DWORD BCST %s".formatted(name(a), name(b), text(m));
    });
    w.write(code -> {
      code.vcvtne2ps2bf16(a, b, c);
      return "vcvtne2ps2bf16 %s,%s,%s".formatted(name(a), name(b), name(c));
    });
    w.write(code -> {
      code.vshufps(a, b, c, 0xEE);
      return "vshufps %s,%s,%s,0xee".formatted(name(a), name(b), name(c));
    });
    w.write(code -> {
      code.vshuff32x4(a, b, c, 0x88);
      return "vshuff32x4 %s,%s,%s,0x88".formatted(name(a), name(b), name(c));
    });
    w.write(code -> {
      code.vpmovzxwd(a, b.as(Width.YMM));
      return "vpmovzxwd %s,ymm%d".formatted(name(a), b.number());
    });
    w.write(code -> {
      code.vcvtneps2bf16(a.as(Width.YMM), b);
      return "vcvtneps2bf16 ymm%d,%s".formatted(a.number(), name(b));
    });
    w.write(code -> {
      code.vpmovsdb(m, a);
      return "vpmovsdb XMMWORD PTR %s,%s".formatted(text(m), name(a));
    });
    w.write(code -> {
      code.vpmovusdb(m, a);
      return "vpmovusdb XMMWORD PTR %s,%s".formatted(text(m), name(a));
    });
    w.write(code -> {
      code.vmovaps(a, Mask.K1, b);
      return "vmovaps %s{k1},%s".formatted(name(a), name(b));
    });
    for (Comparison comparison : Comparison.values()) {
      w.write(code -> {
        code.vcmpps(Mask.K1, a, comparison, b);
        return "%s k1,%s,%s".formatted(name(comparison), name(a), name(b));
      });
    }
  }

  private static void onlyOf256Bits(Writer w, Vec a, Vec b, Vec c) {
    w.write(code -> {
      code.vextracti128(a.as(Width.XMM), b);
      return "vextracti128 xmm%d,%s,0x1".formatted(a.number(), name(b));
    });
    for (Comparison comparison : Comparison.values()) {
      w.write(code -> {
        code.vcmpps(a, b, comparison, c);
        return "%s %s,%s,%s".formatted(name(comparison), name(a), name(b), name(c));
      });
    }
  }

  private static void ofSingleLanes(Writer w, int number, Reg reg, Mem m) {
    Vec low = Vec.xmm(number);
    Vec other = Vec.xmm(15 - number);
    w.write(code -> {
      code.vmovd(low, reg);
      String name = name(reg);
      String half = reg.ordinal() >= 8 ? name + "d" : "e" + name.substring(1);
      return "vmovd %s,%s".formatted(name(low), half);
    });
    w.write(code -> {
      code.vmovq(m, low);
      return "vmovq QWORD PTR %s,%s".formatted(text(m), name(low));
    });
    w.write(code -> {
      code.vmovss(low, m);
      return "vmovss %s,DWORD PTR %s".formatted(name(low), text(m));
    });
    w.write(code -> {
      code.vmovss(m, low);
      return "vmovss DWORD PTR %s,%s".formatted(text(m), name(low));
    });
    w.write(code -> {
      code.vmulss(low, other, m);
      return "vmulss %s,%s,DWORD PTR %s".formatted(name(low), name(other), text(m));
    });
  }

  private static void macros(Writer w, Vec a, Vec b, Vec c, Mem m) {
    boolean wide = a.width() == Width.ZMM;
    for (Comparison comparison : Comparison.values()) {
      w.write(code -> {
        Macros.select(code, a, b, c, comparison, b);
        String compared = name(comparison);
        return wide
            ? "vpxord %s,%s,%s; %s k1,%s,%s; vmovaps %s{k1},%s"
                .formatted(name(a), name(a), name(a), compared, name(c), name(b), name(a), name(b))
            : "%s %s,%s,%s; vandps %s,%s,%s"
                .formatted(compared, name(a), name(c), name(b), name(a), name(a), name(b));
      });
    }
    w.write(code -> {
      Macros.moveNan(code, a, b, c);
      return wide
          ? "vcmpunordps k1,%s,%s; vmovaps %s{k1},%s".formatted(name(b), name(b), name(a), name(b))
          : "vcmpunordps %s,%s,%s; vorps %s,%s,%s"
              .formatted(name(c), name(b), name(b), name(a), name(a), name(c));
    });
    for (boolean signed : new boolean[] {true, false}) {
      w.write(code -> {
        Macros.storeBytes(code, m, a, signed, b);
        int to = a.number();
        int scratch = b.number();
        return wide
            ? "vpmov%sdb XMMWORD PTR %s,%s".formatted(signed ? "s" : "us", text(m), name(a))
            : ("vextracti128 xmm%d,ymm%d,0x1; vpackssdw xmm%d,xmm%d,xmm%d;"
                    + " vpack%swb xmm%d,xmm%d,xmm%d; vmovq QWORD PTR %s,xmm%d")
                .formatted(
                    scratch, to, to, to, scratch, signed ? "ss" : "us", to, to, to, text(m), to);
      });
    }
  }

  private static void matrices(Writer w) {
    for (int i = 0; i < 8; i++) {
      var a = new Matrix(i);
      var b = new Matrix((i + 1 + w.random.nextInt(3)) % 8);
      var c = new Matrix((i + 4 + w.random.nextInt(4)) % 8);
      Reg stride = w.random.nextBoolean() ? Reg.R13 : Reg.RCX;
      Mem m = new Mem(w.reg(), stride, 1 << w.random.nextInt(4), w.mem().displacement());
      w.write(code -> {
        code.tilezero(a);
        return "tilezero tmm%d".formatted(a.number());
      });
      w.write(code -> {
        code.tileloadd(a, m);
        return "tileloadd tmm%d,%s".formatted(a.number(), text(m));
      });
      w.write(code -> {
        code.tilestored(m, a);
        return "tilestored %s,tmm%d".formatted(text(m), a.number());
      });
      w.write(code -> {
        code.tdpbf16ps(a, b, c);
        return "tdpbf16ps tmm%d,tmm%d,tmm%d".formatted(a.number(), b.number(), c.number());
      });
      w.write(code -> {
        code.tdpbusd(a, b, c);
        return "tdpbusd tmm%d,tmm%d,tmm%d".formatted(a.number(), b.number(), c.number());
      });
      Mem sizes = w.mem();
      w.write(code -> {
        code.ldtilecfg(sizes);
        return "ldtilecfg " + text(sizes);
      });
    }
    w.write(code -> {
      code.tilerelease();
      return "tilerelease";
    });
  }

  private static void general(Writer w) {
    for (int i = 0; i < 20; i++) {
      Reg a = w.reg();
      Reg b = w.reg();
      Mem m = w.mem();
      int value = w.random.nextBoolean() ? w.random.nextInt(256) - 128 : w.random.nextInt();
      // objdump prints immediates as 64 bits
      String hex = "0x" + Long.toHexString(value);
      w.write(code -> {
        code.mov(a, b);
        return "mov %s,%s".formatted(name(a), name(b));
      });
      w.write(code -> {
        code.mov(a, m);
        return "mov %s,QWORD PTR %s".formatted(name(a), text(m));
      });
      w.write(code -> {
        code.mov(m, a);
        return "mov QWORD PTR %s,%s".formatted(text(m), name(a));
      });
      w.write(code -> {
        code.mov(a, value);
        return "mov %s,%s".formatted(name(a), hex);
      });
      w.write(code -> {
        code.movsxd(a, m);
        return "movsxd %s,DWORD PTR %s".formatted(name(a), text(m));
      });
      w.write(code -> {
        code.lea(a, m);
        return "lea %s,%s".formatted(name(a), text(m));
      });
      w.write(code -> {
        code.add(a, b);
        return "add %s,%s".formatted(name(a), name(b));
      });
      w.write(code -> {
        code.add(a, m);
        return "add %s,QWORD PTR %s".formatted(name(a), text(m));
      });
      w.write(code -> {
        code.add(a, value);
        return "add %s,%s".formatted(name(a), hex);
      });
      w.write(code -> {
        code.add(m, a);
        return "add QWORD PTR %s,%s".formatted(text(m), name(a));
      });
      w.write(code -> {
        code.sub(a, value);
        return "sub %s,%s".formatted(name(a), hex);
      });
      w.write(code -> {
        code.sub(m, value);
        return "sub QWORD PTR %s,%s".formatted(text(m), hex);
      });
      w.write(code -> {
        code.and(a, value);
        return "and %s,%s".formatted(name(a), hex);
      });
      w.write(code -> {
        code.cmp(a, b);
        return "cmp %s,%s".formatted(name(a), name(b));
      });
      w.write(code -> {
        code.cmp(a, value);
        return "cmp %s,%s".formatted(name(a), hex);
      });
      w.write(code -> {
        code.push(a);
        return "push " + name(a);
      });
      w.write(code -> {
        code.pop(a);
        return "pop " + name(a);
      });
      w.write(code -> {
        code.prefetcht0(m);
        return "prefetcht0 BYTE PTR " + text(m);
      });
      w.write(code -> {
        code.prefetcht1(m);
        return "prefetcht1 BYTE PTR " + text(m);
      });
      w.write(code -> {
        code.prefetchw(m);
        return "prefetchw BYTE PTR " + text(m);
      });
    }
    w.write(code -> {
      code.endbr64();
      code.cpuid();
      code.xgetbv();
      code.vzeroupper();
      code.ret();
      return "endbr64; cpuid; xgetbv; vzeroupper; ret";
    });
    for (int before = 0; before < 8; before++) {
      int size = before;
      w.write(code -> {
        var text = new StringBuilder();
        var start = new Label();
        var end = new Label();
        code.bind(start);
        for (int i = 0; i < size; i++) {
          code.ret();
          text.append("ret; ");
        }
        code.jump(Condition.EQUAL, end);
        code.jump(Condition.NOT_EQUAL, start);
        code.jump(Condition.LESS, end);
        code.align(8);
        code.bind(end);
        int at = Math.ceilDiv(size + 18, 8) * 8;
        text.append("je 0x%x; jne 0x0; jl 0x%x".formatted(at, at));
        return text.append(at > size + 18 ? "; nop" : "").toString();
      });
    }
    w.write(code -> {
      var function = new Label();
      code.bind(function);
      code.ret();
      code.call(function);
      code.ud2();
      return "ret; call 0x0; ud2";
    });
  }

  /** Normalizes objdump's output to one line per instruction. */
  private static String normal(String disassembly) {
    return disassembly
        .replaceAll("#.*", "")
        .replaceAll("\\b(rep |repz )", "")
        .replaceAll("\\{1to16\\}|\\{e?vex\\} ", "")
        .replaceAll("nop .*", "nop")
        .replaceAll("xchg +ax,ax|data16.*", "nop")
        .replaceAll("\\*1(?=[+\\-\\]])", "*1")
        .replaceAll("\\s+", " ")
        .replaceAll(" ?, ?", ",")
        .strip();
  }

  private static List<String> objdump(List<Instruction> instructions, Path folder)
      throws IOException, InterruptedException {
    // A section per instruction would be slow; blocks of 256 bytes are used.
    byte[] all = new byte[instructions.size() * 256];
    java.util.Arrays.fill(all, (byte) 0x90);
    for (int i = 0; i < instructions.size(); i++) {
      byte[] bytes = HexFormat.of().parseHex(instructions.get(i).bytes);
      System.arraycopy(bytes, 0, all, i * 256, bytes.length);
    }
    Path file = folder.resolve("code.bin");
    Files.write(file, all);
    var process =
        new ProcessBuilder(
                "objdump",
                "-D",
                "-b",
                "binary",
                "-m",
                "i386:x86-64",
                "-M",
                "intel",
                "--no-show-raw-insn",
                file.toString())
            .redirectErrorStream(true)
            .start();
    String output = new String(process.getInputStream().readAllBytes());
    assertEquals(0, process.waitFor(), output);
    var texts = new ArrayList<List<String>>();
    instructions.forEach(_ -> texts.add(new ArrayList<>()));
    for (String line : output.lines().toList()) {
      String[] parts = line.split("\t", 2);
      if (parts.length == 2 && parts[0].strip().matches("[0-9a-f]+:")) {
        int at = Integer.parseInt(parts[0].strip().replace(":", ""), 16);
        int index = at / 256;
        int size = instructions.get(index).bytes.length() / 2;
        if (at % 256 < size) {
          String text = normal(parts[1]);
          // Jumps are relative: count from this block.
          var jump = java.util.regex.Pattern.compile("^(j\\w+|call) 0x([0-9a-f]+)$").matcher(text);
          if (jump.matches()) {
            text =
                "%s 0x%x"
                    .formatted(jump.group(1), Integer.parseInt(jump.group(2), 16) - index * 256);
          }
          texts.get(index).add(text);
        }
      }
    }
    return texts.stream().map(AssemblerTest::joined).toList();
  }

  /** Padding of several instructions counts as one. */
  private static String joined(List<String> texts) {
    return String.join("; ", texts).replaceAll("nop(; nop)+", "nop");
  }

  private static Map<String, String> golden() throws IOException {
    var golden = new LinkedHashMap<String, String>();
    for (String line : Files.readAllLines(GOLDEN)) {
      String[] parts = line.split("\t", 2);
      golden.put(parts[0], parts[1]);
    }
    return golden;
  }

  @Test
  void matricesOfAProductDiffer() {
    var code = new VectorAssembler(Width.ZMM);
    var a = new Matrix(1);
    var b = new Matrix(2);
    assertThrows(IllegalArgumentException.class, () -> code.tdpbusd(a, b, b));
    assertThrows(IllegalArgumentException.class, () -> code.tdpbf16ps(a, b, a));
  }

  @Test
  void instructionsMatchDisassembly() throws IOException {
    Map<String, String> golden = golden();
    for (Instruction instruction : instructions()) {
      assertEquals(
          golden.getOrDefault(instruction.bytes, "not in " + GOLDEN),
          instruction.text,
          instruction.bytes);
    }
  }

  @Test
  void storedDisassemblyMatchesObjdump(@TempDir Path folder)
      throws IOException, InterruptedException {
    assumeTrue(Files.isExecutable(Path.of("/usr/bin/objdump")), "no objdump here");
    List<Instruction> instructions = instructions();
    List<String> texts = objdump(instructions, folder);
    if (Boolean.getBoolean("golden.write")) {
      var lines = new ArrayList<String>();
      for (int i = 0; i < texts.size(); i++) {
        lines.add(instructions.get(i).bytes + "\t" + texts.get(i));
      }
      Files.createDirectories(GOLDEN.getParent());
      Files.write(GOLDEN, lines);
    }
    Map<String, String> golden = golden();
    for (int i = 0; i < texts.size(); i++) {
      assertEquals(texts.get(i), golden.get(instructions.get(i).bytes));
    }
  }

  @Test
  void invalidRegistersAreRejected() {
    var narrow = new VectorAssembler(Width.YMM);
    assertThrows(
        IllegalArgumentException.class, () -> narrow.vaddps(Vec.ymm(16), Vec.ymm(0), Vec.ymm(1)));
    assertThrows(
        IllegalArgumentException.class, () -> narrow.vaddps(Vec.zmm(0), Vec.zmm(0), Vec.zmm(1)));
    assertThrows(IllegalArgumentException.class, () -> Vec.zmm(32));
    assertThrows(
        IllegalArgumentException.class, () -> narrow.vaddps(Vec.ymm(0), Vec.xmm(0), Vec.ymm(1)));
    assertThrows(
        IllegalArgumentException.class, () -> narrow.vmovss(Vec.ymm(0), Assembler.mem(Reg.RAX)));
    assertThrows(IllegalArgumentException.class, () -> new Mem(Reg.RAX, Reg.RSP, 1, 0));
    assertThrows(
        IllegalArgumentException.class,
        () -> narrow.vfmadd231psBroadcast(Vec.ymm(0), Vec.ymm(1), Assembler.mem(Reg.RAX)));
  }
}
