package io.github.resnet4j.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Reads the pickles that {@code torch.save} writes, protocols 2 to 5, as plain data.
 *
 * <p>A pickle is a program for a small stack machine, and Python's own reader lets it call any
 * function there is. This one never calls anything: a name is looked up in a fixed list ({@link
 * #call}), and what is not on it ends the reading. Numbers become {@link Long}, {@link BigInteger}
 * or {@link Double}; lists, tuples and sets become {@link List}; dicts become {@link Dict}; {@code
 * None} is {@link #NONE}; tensors become {@link PickledTensor}, whose bytes lie elsewhere in the
 * file.
 *
 * <p>Memory is bounded by the limits below; there is no recursion, so depth costs nothing.
 */
final class Unpickler {
  /** Python's None. */
  static final Object NONE = new Object();

  private static final int MAX_OPERATIONS = 4_000_000;
  private static final int MAX_INTEGER_BYTES = 256;
  private static final Object MARK = new Object();

  private static final ValueLayout.OfDouble BIG_ENDIAN_DOUBLE =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

  /** A dict, or an object with attributes: {@code OrderedDict} has both. */
  record Dict(Map<Object, Object> items, Map<Object, Object> attributes) {
    Dict() {
      this(new LinkedHashMap<>(), new LinkedHashMap<>());
    }

    /** A graph of dicts may contain itself: never print or compare it by content. */
    @Override
    public String toString() {
      return "dict of " + items.size();
    }

    @Override
    public boolean equals(Object other) {
      return this == other;
    }

    @Override
    public int hashCode() {
      return System.identityHashCode(this);
    }
  }

  /** Where a tensor's bytes lie: the persistent id that torch.save writes. */
  record Storage(DType dtype, String key, long elements) {}

  /** The arguments of {@code torch._utils._rebuild_tensor_v2}. */
  record PickledTensor(Storage storage, long offset, List<Long> shape, List<Long> strides) {}

  /** A class or function by name; data until {@link #call} knows it. */
  private record Global(String module, String name) {
    String path() {
      return module + "." + name;
    }
  }

  private final MemorySegment source;
  private long position;
  private int operations;
  private final ArrayList<Object> stack = new ArrayList<>();
  private final Map<Long, Object> memo = new HashMap<>();

  private Unpickler(MemorySegment source, long position) {
    this.source = source;
    this.position = position;
  }

  /** What a pickle holds, and where the next one begins. */
  record Result(Object value, long end) {}

  /**
   * Reads one pickle.
   *
   * @throws Malformed if it is not one, or names something that is not on the list
   */
  static Result read(MemorySegment source, long position) {
    var unpickler = new Unpickler(source, position);
    try {
      return new Result(unpickler.run(), unpickler.position);
    } catch (IndexOutOfBoundsException e) {
      throw new Malformed("the pickle ends in the middle, at byte " + unpickler.position);
    }
  }

  private Object run() {
    while (true) {
      if (++operations > MAX_OPERATIONS) {
        throw new Malformed("the pickle has more than " + MAX_OPERATIONS + " operations");
      }
      int op = readByte();
      switch (op) {
        case 0x80 -> { // PROTO
          int protocol = readByte();
          if (protocol < 2 || protocol > 5) {
            throw new Malformed("pickle protocol " + protocol + " is not one of 2 to 5");
          }
        }
        case 0x95 -> position += 8; // FRAME: a hint for buffered readers
        case '.' -> { // STOP
          return pop();
        }
        case '(' -> push(MARK);
        case '0' -> { // POP
          if (stack.isEmpty()) {
            throw underflow();
          }
          stack.removeLast();
        }
        case '1' -> popToMark(); // POP_MARK
        case '2' -> push(top()); // DUP
        case 'N' -> push(NONE);
        case 0x88 -> push(true);
        case 0x89 -> push(false);
        case 'K' -> push((long) readByte()); // BININT1
        case 'M' -> push((long) (source.get(LittleEndian.SHORT, advance(2)) & 0xffff)); // BININT2
        case 'J' -> push((long) source.get(LittleEndian.INT, advance(4))); // BININT
        case 0x8a -> push(readInteger(readByte())); // LONG1
        case 0x8b -> push(readInteger(source.get(LittleEndian.INT, advance(4)))); // LONG4
        case 'G' -> push(source.get(BIG_ENDIAN_DOUBLE, advance(8))); // BINFLOAT
        case 'X' -> push(readText(readUnsignedInt())); // BINUNICODE
        case 0x8c -> push(readText(readByte())); // SHORT_BINUNICODE
        case 0x8d -> push(readText(source.get(LittleEndian.LONG, advance(8)))); // BINUNICODE8
        case 'U', 'C' -> push(readBytes(readByte())); // SHORT_BINSTRING, SHORT_BINBYTES
        case 'T', 'B' -> push(readBytes(readUnsignedInt())); // BINSTRING, BINBYTES
        case 0x8e, 0x96 ->
            push(readBytes(source.get(LittleEndian.LONG, advance(8)))); // BINBYTES8, BYTEARRAY8
        case ')', ']', 0x8f -> push(new ArrayList<>()); // EMPTY_TUPLE, EMPTY_LIST, EMPTY_SET
        case '}' -> push(new Dict()); // EMPTY_DICT
        case 't', 'l', 0x91 -> push(popToMark()); // TUPLE, LIST, FROZENSET
        case 0x85 -> push(popLast(1)); // TUPLE1
        case 0x86 -> push(popLast(2)); // TUPLE2
        case 0x87 -> push(popLast(3)); // TUPLE3
        case 'd' -> { // DICT
          var items = popToMark();
          push(new Dict());
          setItems(items);
        }
        case 'a' -> { // APPEND
          Object item = pop();
          appendAll(List.of(item));
        }
        case 'e', 0x90 -> appendAll(popToMark()); // APPENDS, ADDITEMS
        case 's' -> setItems(popLast(2)); // SETITEM
        case 'u' -> setItems(popToMark()); // SETITEMS
        case 'q' -> memo.put((long) readByte(), top()); // BINPUT
        case 'r' -> memo.put(readUnsignedInt(), top()); // LONG_BINPUT
        case 0x94 -> memo.put((long) memo.size(), top()); // MEMOIZE
        case 'h' -> push(recall(readByte())); // BINGET
        case 'j' -> push(recall(readUnsignedInt())); // LONG_BINGET
        case 'c' -> push(allowed(new Global(readLine(), readLine()))); // GLOBAL
        case 0x93 -> { // STACK_GLOBAL
          Object name = pop();
          Object module = pop();
          push(allowed(new Global(text(module), text(name))));
        }
        case 'R', 0x81 -> { // REDUCE, NEWOBJ
          Object arguments = pop();
          Object callable = pop();
          if (!(arguments instanceof List<?> list) || !(callable instanceof Global global)) {
            throw new Malformed("the pickle calls something that is not a known name");
          }
          push(call(global, list));
        }
        case 'b' -> build(pop()); // BUILD
        case 'Q' -> push(storage(pop())); // BINPERSID
        default ->
            throw new Malformed(
                "the pickle holds operation 0x%02x at byte %d, which torch.save does not write"
                    .formatted(op, position - 1));
      }
    }
  }

  // The machine's stack and its source.

  private void push(Object value) {
    stack.add(value);
  }

  private Object pop() {
    Object value = top();
    stack.removeLast();
    return value;
  }

  private Object top() {
    if (stack.isEmpty() || stack.getLast() == MARK) {
      throw underflow();
    }
    return stack.getLast();
  }

  private static Malformed underflow() {
    return new Malformed("the pickle takes more from its stack than there is");
  }

  private List<Object> popLast(int count) {
    var values = new ArrayList<Object>(count);
    for (int i = 0; i < count; i++) {
      values.addFirst(pop());
    }
    return values;
  }

  private List<Object> popToMark() {
    int mark = stack.lastIndexOf(MARK);
    if (mark < 0) {
      throw underflow();
    }
    var tail = stack.subList(mark, stack.size());
    var values = new ArrayList<>(tail.subList(1, tail.size()));
    tail.clear();
    return values;
  }

  private Object recall(long index) {
    Object value = memo.get(index);
    if (value == null) {
      throw new Malformed("the pickle recalls value " + index + ", which it never stored");
    }
    return value;
  }

  private long advance(long bytes) {
    long at = position;
    if (bytes < 0 || bytes > source.byteSize() - at) {
      throw new Malformed(
          "the pickle ends in the middle, %,d bytes wanted at byte %,d of %,d"
              .formatted(bytes, at, source.byteSize()));
    }
    position += bytes;
    return at;
  }

  private int readByte() {
    return source.get(ValueLayout.JAVA_BYTE, advance(1)) & 0xff;
  }

  private long readUnsignedInt() {
    return source.get(LittleEndian.INT, advance(4)) & 0xffffffffL;
  }

  private byte[] readBytes(long count) {
    long at = advance(count);
    return source.asSlice(at, count).toArray(ValueLayout.JAVA_BYTE);
  }

  private String readText(long count) {
    // Python writes lone surrogates, too; they never matter to a name.
    return new String(readBytes(count), StandardCharsets.UTF_8);
  }

  private String readLine() {
    long start = position;
    while (readByte() != '\n') {
      if (position - start > 1024) {
        throw new Malformed("the pickle names something of more than 1024 letters");
      }
    }
    return new String(
        source.asSlice(start, position - 1 - start).toArray(ValueLayout.JAVA_BYTE),
        StandardCharsets.UTF_8);
  }

  private Object readInteger(int bytes) {
    if (bytes < 0 || bytes > MAX_INTEGER_BYTES) {
      throw new Malformed("the pickle holds an integer of " + bytes + " bytes");
    }
    byte[] value = readBytes(bytes);
    for (int i = 0; i < bytes / 2; i++) {
      byte swap = value[i];
      value[i] = value[bytes - 1 - i];
      value[bytes - 1 - i] = swap;
    }
    BigInteger integer = bytes == 0 ? BigInteger.ZERO : new BigInteger(value);
    return integer.bitLength() < 64 ? (Object) integer.longValue() : integer;
  }

  // Collections.

  private void appendAll(List<?> items) {
    if (!(top() instanceof List<?> list)) {
      throw new Malformed("the pickle appends to something that is not a list");
    }
    @SuppressWarnings("unchecked") // every List on the stack was made here, of Object
    var target = (List<Object>) list;
    target.addAll(items);
  }

  private void setItems(List<Object> items) {
    if (!(top() instanceof Dict dict) || items.size() % 2 != 0) {
      throw new Malformed("the pickle sets items on something that is not a dict");
    }
    for (int i = 0; i < items.size(); i += 2) {
      Object key = items.get(i);
      // Lists as keys would be hashed by content, and content may contain itself.
      boolean plain =
          key instanceof String || key instanceof Number || key instanceof Boolean || key == NONE;
      dict.items.put(plain ? key : new Object(), items.get(i + 1));
    }
  }

  private void build(Object state) {
    if (top() instanceof Dict dict && state instanceof Dict attributes) {
      dict.attributes.putAll(attributes.items);
    } else if (!(top() instanceof NumpyType)) {
      throw new Malformed("the pickle sets attributes on something that is not an object");
    }
  }

  private static String text(Object value) {
    if (value instanceof String text) {
      return text;
    }
    throw new Malformed("the pickle has something else where a text belongs");
  }

  private static long integer(Object value) {
    if (value instanceof Long number) {
      return number;
    }
    throw new Malformed("the pickle has something else where an integer belongs");
  }

  private static List<Long> integers(Object value) {
    if (value instanceof List<?> list) {
      var integers = new ArrayList<Long>();
      for (Object item : list) {
        integers.add(integer(item));
      }
      return integers;
    }
    throw new Malformed("the pickle has something else where a tuple of integers belongs");
  }

  // The names that a checkpoint may use, and what each means. Nothing else is ever looked up.

  /** Refuses a name that is not on the list, as soon as it is mentioned. */
  private static Global allowed(Global global) {
    boolean known =
        switch (global.path()) {
          case "collections.OrderedDict",
              "collections.defaultdict",
              "collections.Counter",
              "argparse.Namespace",
              "torch._utils._rebuild_tensor",
              "torch._utils._rebuild_tensor_v2",
              "torch._utils._rebuild_parameter",
              "torch._utils._rebuild_parameter_with_state",
              "torch._tensor._rebuild_from_type_v2",
              "torch.nn.parameter.Parameter",
              "torch.Tensor",
              "torch.Size",
              "torch.device",
              "numpy.core.multiarray.scalar",
              "numpy._core.multiarray.scalar",
              "numpy.dtype",
              "_codecs.encode",
              "builtins.list",
              "builtins.dict",
              "builtins.int",
              "builtins.float",
              "builtins.set",
              "__builtin__.list",
              "__builtin__.dict",
              "__builtin__.int",
              "__builtin__.float",
              "__builtin__.set" ->
              true;
          default -> storageType(global).isPresent() || isTorchDtype(global);
        };
    if (!known) {
      throw new Malformed(
          "the pickle names %s, which is not among the types of a checkpoint; if you trust the"
                  .formatted(global.path())
              + " file, load it in Python and save model.state_dict() alone");
    }
    return global;
  }

  private static Optional<DType> storageType(Global global) {
    return global.module.equals("torch") ? DType.ofTorchStorage(global.name) : Optional.empty();
  }

  private static boolean isTorchDtype(Global global) {
    return global.module.equals("torch")
        && switch (global.name) {
          case "float64",
              "float32",
              "float16",
              "bfloat16",
              "int64",
              "int32",
              "int16",
              "int8",
              "uint8",
              "bool" ->
              true;
          default -> false;
        };
  }

  /** A numpy.dtype, of which only plain numbers matter. */
  private record NumpyType(String code) {}

  private static Object call(Global global, List<?> arguments) {
    try {
      return switch (global.path()) {
        case "collections.OrderedDict",
            "collections.defaultdict",
            "collections.Counter",
            "argparse.Namespace",
            "builtins.dict",
            "__builtin__.dict" ->
            dict(arguments);
        case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2" ->
            new PickledTensor(
                (Storage) arguments.get(0),
                integer(arguments.get(1)),
                integers(arguments.get(2)),
                integers(arguments.get(3)));
        case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state" ->
            (PickledTensor) arguments.get(0);
        case "torch._tensor._rebuild_from_type_v2" ->
            call((Global) arguments.get(0), (List<?>) arguments.get(2));
        case "torch.Size", "builtins.set", "__builtin__.set", "builtins.list", "__builtin__.list" ->
            arguments.isEmpty() ? new ArrayList<>() : new ArrayList<>((List<?>) arguments.get(0));
        case "torch.device" -> text(arguments.get(0));
        case "numpy.dtype" -> new NumpyType(text(arguments.get(0)));
        case "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar" ->
            numpyScalar((NumpyType) arguments.get(0), (byte[]) arguments.get(1));
        case "_codecs.encode" -> text(arguments.get(0)).getBytes(StandardCharsets.ISO_8859_1);
        default -> throw new Malformed("the pickle calls " + global.path());
      };
    } catch (ClassCastException | IndexOutOfBoundsException e) {
      throw new Malformed(
          "the pickle calls " + global.path() + " with other arguments than it has");
    }
  }

  private static Dict dict(List<?> arguments) {
    var dict = new Dict();
    if (!arguments.isEmpty() && arguments.getFirst() instanceof Dict items) {
      dict.items.putAll(items.items); // Counter({...})
    } else if (!arguments.isEmpty() && arguments.getFirst() instanceof List<?> pairs) {
      for (Object pair : pairs) { // OrderedDict([(k, v), ...]), as Python 2 wrote it
        List<?> entry = (List<?>) pair;
        if (entry.get(0) instanceof String key) {
          dict.items.put(key, entry.get(1));
        }
      }
    }
    return dict;
  }

  private static Object numpyScalar(NumpyType type, byte[] bytes) {
    DType dtype =
        switch (type.code) {
          case "f8" -> DType.F64;
          case "f4" -> DType.F32;
          case "f2" -> DType.F16;
          case "i8" -> DType.I64;
          case "i4" -> DType.I32;
          case "b1" -> DType.BOOL;
          default -> throw new Malformed("the pickle holds a numpy scalar of type " + type.code);
        };
    double value = dtype.get(MemorySegment.ofArray(Arrays.copyOf(bytes, dtype.bytes)), 0);
    return dtype.isFloatingPoint() ? (Object) value : (long) value;
  }

  private static Storage storage(Object persistentId) {
    if (!(persistentId instanceof List<?> id)
        || id.size() < 5
        || !"storage".equals(id.getFirst())
        || !(id.get(1) instanceof Global global)
        || (id.size() > 5 && id.get(5) != NONE)) {
      throw new Malformed("the pickle refers to something outside it that is not a storage");
    }
    DType dtype =
        storageType(global)
            .orElseThrow(() -> new Malformed("storages of type " + global.path() + " are unknown"));
    return new Storage(dtype, text(id.get(2)), integer(id.get(4)));
  }
}
