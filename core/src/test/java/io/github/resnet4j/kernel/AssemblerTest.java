package io.github.resnet4j.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.github.resnet4j.kernel.Assembler.Condition;
import io.github.resnet4j.kernel.Assembler.Label;
import io.github.resnet4j.kernel.Assembler.Mem;
import io.github.resnet4j.kernel.Assembler.Reg;
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
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every instruction with random operands, as GNU objdump reads its bytes. What it read is kept in
 * {@code disassembly.txt} for machines without it; {@code -Dgolden.write=true} writes that file.
 */
class AssemblerTest {
  private static final Path GOLDEN = Path.of("src/test/resources/kernel/disassembly.txt");

  private record Instruction(String bytes, String text) {}

  private static final class Writer {
    final List<Instruction> instructions = new ArrayList<>();
    final Random random = new Random(7);
    boolean wide;

    void write(BiConsumer<Assembler, List<String>> emit) {
      var code = new Assembler(wide);
      var text = new ArrayList<String>();
      emit.accept(code, text);
      instructions.add(
          new Instruction(HexFormat.of().formatHex(code.code()), String.join("", text)));
    }

    int vector() {
      return random.nextInt(wide ? 32 : 16);
    }

    String name(int vector) {
      return (wide ? "zmm" : "ymm") + vector;
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
    void emit(Assembler code, int a, int b, int c);
  }

  private interface VectorsAndMemory {
    void emit(Assembler code, int a, int b, Mem c);
  }

  private static List<Instruction> instructions() {
    var w = new Writer();
    var threeVectors = new LinkedHashMap<String, ThreeVectors>();
    threeVectors.put("vfmadd231ps", (code, a, b, c) -> code.vfmadd231ps(a, b, c));
    threeVectors.put("vaddps", (code, a, b, c) -> code.vaddps(a, b, c));
    threeVectors.put("vmulps", Assembler::vmulps);
    threeVectors.put("vsubps", Assembler::vsubps);
    threeVectors.put("vmaxps", Assembler::vmaxps);
    threeVectors.put("vpdpbusd", (code, a, b, c) -> code.vpdpbusd(a, b, c));
    var withMemory = new LinkedHashMap<String, VectorsAndMemory>();
    withMemory.put("vfmadd231ps", (code, a, b, c) -> code.vfmadd231ps(a, b, c));
    withMemory.put("vaddps", (code, a, b, c) -> code.vaddps(a, b, c));
    withMemory.put("vmulps", (code, a, b, c) -> code.vmulps(a, b, c));
    withMemory.put("vfmadd213ps", Assembler::vfmadd213ps);
    withMemory.put("vpdpbusd", (code, a, b, c) -> code.vpdpbusd(a, b, c));
    withMemory.put("vpmaxuw", Assembler::vpmaxuw);
    withMemory.put("vpmaxub", Assembler::vpmaxub);
    for (boolean wide : new boolean[] {true, false}) {
      w.wide = wide;
      String full = wide ? "ZMMWORD PTR " : "YMMWORD PTR ";
      for (int i = 0; i < 12; i++) {
        int a = w.vector();
        int b = w.vector();
        int c = w.vector();
        Mem m = w.mem();
        Reg reg = w.reg();
        int low = w.random.nextInt(16);
        threeVectors.forEach((name, three) ->
            w.write((code, text) -> {
              three.emit(code, a, b, c);
              text.add("%s %s,%s,%s".formatted(name, w.name(a), w.name(b), w.name(c)));
            }));
        withMemory.forEach((name, three) ->
            w.write((code, text) -> {
              three.emit(code, a, b, m);
              text.add("%s %s,%s,%s%s".formatted(name, w.name(a), w.name(b), full, text(m)));
            }));
        w.write((code, text) -> {
          code.vmovups(a, m);
          text.add("vmovups %s,%s%s".formatted(w.name(a), full, text(m)));
        });
        w.write((code, text) -> {
          code.vmovups(m, a);
          text.add("vmovups %s%s,%s".formatted(full, text(m), w.name(a)));
        });
        w.write((code, text) -> {
          code.vmovaps(a, b);
          text.add("vmovaps %s,%s".formatted(w.name(a), w.name(b)));
        });
        w.write((code, text) -> {
          code.vbroadcastss(a, m);
          text.add("vbroadcastss %s,DWORD PTR %s".formatted(w.name(a), text(m)));
        });
        w.write((code, text) -> {
          code.vbroadcastss(a, b);
          text.add("vbroadcastss %s,xmm%d".formatted(w.name(a), b));
        });
        w.write((code, text) -> {
          code.clear(a);
          text.add(
              "%s %s,%s,%s".formatted(wide ? "vpxord" : "vpxor", w.name(a), w.name(a), w.name(a)));
        });
        w.write((code, text) -> {
          code.vmovd(low, reg);
          String name = name(reg);
          String half = reg.ordinal() >= 8 ? name + "d" : "e" + name.substring(1);
          text.add("vmovd xmm%d,%s".formatted(low, half));
        });
        w.write((code, text) -> {
          code.vmovss(low, m);
          text.add("vmovss xmm%d,DWORD PTR %s".formatted(low, text(m)));
        });
        w.write((code, text) -> {
          code.vmovss(m, low);
          text.add("vmovss DWORD PTR %s,xmm%d".formatted(text(m), low));
        });
        w.write((code, text) -> {
          code.vmulss(low, 15 - low, m);
          text.add("vmulss xmm%d,xmm%d,DWORD PTR %s".formatted(low, 15 - low, text(m)));
        });
        w.write((code, text) -> {
          code.vmovupsHalf(m, low);
          text.add("vmovups XMMWORD PTR %s,xmm%d".formatted(text(m), low));
        });
        w.write((code, text) -> {
          code.vmovupsHalf(low, m);
          text.add("vmovups xmm%d,XMMWORD PTR %s".formatted(low, text(m)));
        });
        for (var comparison : Assembler.Comparison.values()) {
          String name = comparison == Assembler.Comparison.EQUAL ? "vcmpeqps" : "vcmpgt_oqps";
          w.write((code, text) -> {
            code.select(a, b, c, comparison, b);
            text.add(
                wide
                    ? "vpxord %s,%s,%s; %s k1,%s,%s; vmovaps %s{k1},%s"
                        .formatted(
                            w.name(a), w.name(a), w.name(a), name, w.name(c), w.name(b), w.name(a),
                            w.name(b))
                    : "%s %s,%s,%s; vandps %s,%s,%s"
                        .formatted(
                            name, w.name(a), w.name(c), w.name(b), w.name(a), w.name(a),
                            w.name(b)));
          });
        }
        w.write((code, text) -> {
          code.moveNan(a, b, c);
          text.add(
              wide
                  ? "vcmpunordps k1,%s,%s; vmovaps %s{k1},%s"
                      .formatted(w.name(b), w.name(b), w.name(a), w.name(b))
                  : "vcmpunordps %s,%s,%s; vorps %s,%s,%s"
                      .formatted(w.name(c), w.name(b), w.name(b), w.name(a), w.name(a), w.name(c)));
        });
        String half = wide ? "YMMWORD PTR " : "XMMWORD PTR ";
        String quarter = wide ? "XMMWORD PTR " : "QWORD PTR ";
        w.write((code, text) -> {
          code.vpmovzxwd(a, m);
          text.add("vpmovzxwd %s,%s%s".formatted(w.name(a), half, text(m)));
        });
        w.write((code, text) -> {
          code.vpsrld(a, b, 31);
          text.add("vpsrld %s,%s,0x1f".formatted(w.name(a), w.name(b)));
        });
        w.write((code, text) -> {
          code.vpaddd(a, b, c);
          text.add("vpaddd %s,%s,%s".formatted(w.name(a), w.name(b), w.name(c)));
        });
        w.write((code, text) -> {
          code.vpmovzxbd(a, m);
          text.add("vpmovzxbd %s,%s%s".formatted(w.name(a), quarter, text(m)));
        });
        w.write((code, text) -> {
          code.vpmovsxbd(a, m);
          text.add("vpmovsxbd %s,%s%s".formatted(w.name(a), quarter, text(m)));
        });
        w.write((code, text) -> {
          code.vpslld(a, b, 16);
          text.add("vpslld %s,%s,0x10".formatted(w.name(a), w.name(b)));
        });
        w.write((code, text) -> {
          code.vcvtdq2ps(a, b);
          text.add("vcvtdq2ps %s,%s".formatted(w.name(a), w.name(b)));
        });
        w.write((code, text) -> {
          code.vcvtps2dq(a, b);
          text.add("vcvtps2dq %s,%s".formatted(w.name(a), w.name(b)));
        });
        for (boolean signed : new boolean[] {true, false}) {
          w.write((code, text) -> {
            code.storeBytes(m, a, signed, b);
            text.add(
                wide
                    ? "vpmov%sdb %s%s,%s"
                        .formatted(signed ? "s" : "us", quarter, text(m), w.name(a))
                    : "vextracti128 xmm%d,ymm%d,0x1; vpackssdw xmm%d,xmm%d,xmm%d; vpack%swb xmm%d,xmm%d,xmm%d; vmovq %s%s,xmm%d"
                        .formatted(
                            b, a, a, a, b, signed ? "ss" : "us", a, a, a, quarter, text(m), a));
          });
        }
        if (wide) {
          w.write((code, text) -> {
            code.vdpbf16ps(a, b, c);
            text.add("vdpbf16ps %s,%s,%s".formatted(w.name(a), w.name(b), w.name(c)));
          });
          w.write((code, text) -> {
            code.vdpbf16ps(a, b, m);
            text.add("vdpbf16ps %s,%s,%s%s".formatted(w.name(a), w.name(b), full, text(m)));
          });
          w.write((code, text) -> {
            code.vdpbf16psBroadcast(a, b, m);
            text.add("vdpbf16ps %s,%s,DWORD BCST %s".formatted(w.name(a), w.name(b), text(m)));
          });
          w.write((code, text) -> {
            code.vcvtneps2bf16(a, b);
            text.add("vcvtneps2bf16 ymm%d,%s".formatted(a, w.name(b)));
          });
          w.write((code, text) -> {
            code.storeLowerHalf(m, a);
            text.add("vmovups YMMWORD PTR %s,ymm%d".formatted(text(m), a));
          });
          w.write((code, text) -> {
            code.vfmadd231psBroadcast(a, b, m);
            text.add("vfmadd231ps %s,%s,DWORD BCST %s".formatted(w.name(a), w.name(b), text(m)));
          });
        }
      }
    }
    general(w);
    return w.instructions;
  }

  private static void general(Writer w) {
    for (int i = 0; i < 20; i++) {
      Reg a = w.reg();
      Reg b = w.reg();
      Mem m = w.mem();
      int value = w.random.nextBoolean() ? w.random.nextInt(256) - 128 : w.random.nextInt();
      // objdump prints immediates as 64 bits
      String hex = "0x" + Long.toHexString(value);
      w.write((code, text) -> {
        code.mov(a, b);
        text.add("mov %s,%s".formatted(name(a), name(b)));
      });
      w.write((code, text) -> {
        code.mov(a, m);
        text.add("mov %s,QWORD PTR %s".formatted(name(a), text(m)));
      });
      w.write((code, text) -> {
        code.mov(m, a);
        text.add("mov QWORD PTR %s,%s".formatted(text(m), name(a)));
      });
      w.write((code, text) -> {
        code.mov(a, value);
        text.add("mov %s,%s".formatted(name(a), hex));
      });
      w.write((code, text) -> {
        code.movsxd(a, m);
        text.add("movsxd %s,DWORD PTR %s".formatted(name(a), text(m)));
      });
      w.write((code, text) -> {
        code.lea(a, m);
        text.add("lea %s,%s".formatted(name(a), text(m)));
      });
      w.write((code, text) -> {
        code.add(a, b);
        text.add("add %s,%s".formatted(name(a), name(b)));
      });
      w.write((code, text) -> {
        code.add(a, m);
        text.add("add %s,QWORD PTR %s".formatted(name(a), text(m)));
      });
      w.write((code, text) -> {
        code.add(a, value);
        text.add("add %s,%s".formatted(name(a), hex));
      });
      w.write((code, text) -> {
        code.add(m, a);
        text.add("add QWORD PTR %s,%s".formatted(text(m), name(a)));
      });
      w.write((code, text) -> {
        code.sub(a, value);
        text.add("sub %s,%s".formatted(name(a), hex));
      });
      w.write((code, text) -> {
        code.sub(m, value);
        text.add("sub QWORD PTR %s,%s".formatted(text(m), hex));
      });
      w.write((code, text) -> {
        code.and(a, value);
        text.add("and %s,%s".formatted(name(a), hex));
      });
      w.write((code, text) -> {
        code.cmp(a, b);
        text.add("cmp %s,%s".formatted(name(a), name(b)));
      });
      w.write((code, text) -> {
        code.cmp(a, value);
        text.add("cmp %s,%s".formatted(name(a), hex));
      });
      w.write((code, text) -> {
        code.push(a);
        text.add("push " + name(a));
      });
      w.write((code, text) -> {
        code.pop(a);
        text.add("pop " + name(a));
      });
      w.write((code, text) -> {
        code.prefetcht1(m);
        text.add("prefetcht1 BYTE PTR " + text(m));
      });
    }
    w.write((code, text) -> {
      code.endbr64();
      code.cpuid();
      code.xgetbv();
      code.vzeroupper();
      code.ret();
      text.add("endbr64; cpuid; xgetbv; vzeroupper; ret");
    });
    for (int before = 0; before < 8; before++) {
      int size = before;
      w.write((code, text) -> {
        var start = new Label();
        var end = new Label();
        code.bind(start);
        for (int i = 0; i < size; i++) {
          code.ret();
          text.add("ret; ");
        }
        code.jump(Condition.EQUAL, end);
        code.jump(Condition.NOT_EQUAL, start);
        code.jump(Condition.LESS, end);
        code.align(8);
        code.bind(end);
        int at = Math.ceilDiv(size + 18, 8) * 8;
        text.add("je 0x%x; jne 0x0; jl 0x%x".formatted(at, at) + (at > size + 18 ? "; nop" : ""));
      });
    }
  }

  /** What objdump prints, one line an instruction, made comparable. */
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
    // Each instruction in a section of its own would be slow; blocks of 256 bytes do.
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
          var jump = java.util.regex.Pattern.compile("^(j\\w+) 0x([0-9a-f]+)$").matcher(text);
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

  /** Fillers of several instructions count as one. */
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
  void everyInstructionIsWhatADisassemblerReads() throws IOException {
    Map<String, String> golden = golden();
    for (Instruction instruction : instructions()) {
      assertEquals(
          golden.getOrDefault(instruction.bytes, "not in " + GOLDEN),
          instruction.text,
          instruction.bytes);
    }
  }

  @Test
  void theDisassemblyOnFileIsObjdumps(@TempDir Path folder)
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
  void refusesRegistersThatDoNotExist() {
    assertThrows(IllegalArgumentException.class, () -> new Assembler(false).vaddps(16, 0, 1));
    assertThrows(IllegalArgumentException.class, () -> new Assembler(true).vaddps(0, 32, 1));
    assertThrows(IllegalArgumentException.class, () -> new Mem(Reg.RAX, Reg.RSP, 1, 0));
    assertThrows(
        IllegalStateException.class,
        () -> new Assembler(false).vfmadd231psBroadcast(0, 1, Assembler.mem(Reg.RAX)));
  }
}
