package io.github.resnet4j.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads the pickles that {@code torch.save} writes, protocols 2 to 5, as plain data.
 *
 * <p>A pickle is a program for a small stack machine, and Python's reader lets it call any
 * function. This reader never calls anything: a {@link PickleGlobal} is a name in a fixed list, and
 * any other name is an error. Numbers become {@link Long}, {@link BigInteger} or {@link Double};
 * lists, tuples and sets become {@link List}; dicts become {@link Dict}; {@code None} is {@link
 * #NONE}; tensors become {@link PickledTensor}, whose data is elsewhere in the file; bytes become
 * {@link NumpyArray.Bytes}; other objects are {@link #OPAQUE}.
 *
 * <p>A {@link Budget} is charged for every operation, and for what it creates before it is created;
 * this also bounds a program that copies stored values. Nothing here is recursive, so nesting needs
 * no stack. Values may contain themselves, so they must never be printed, compared or hashed by
 * content.
 */
final class Unpickler {
  /** Python's None. */
  static final Object NONE = new Object();

  /** A value that is not needed. */
  static final Object OPAQUE = new Object();

  private static final int MAX_INTEGER_BYTES = 256;
  private static final int MAX_AXES = 64;
  private static final Object MARK = new Object();

  // Bytes on the heap, rounded up; growing arrays exist twice for a short time.
  private static final int OPERATION = 16;
  private static final int NUMBER = 24;
  private static final int LIST = 96;
  private static final int LIST_ITEM = 12;
  private static final int DICT = 176;
  private static final int DICT_ITEM = 64;
  private static final int MEMO_ITEM = 96;
  private static final int TEXT = 64;
  private static final int BYTES = 128;

  /** Longer texts are the values of arrays. */
  private static final int MAX_TEXT = 1 << 16;

  private static final ValueLayout.OfDouble BIG_ENDIAN_DOUBLE =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

  /** A dict, or an object with attributes; an {@code OrderedDict} has both. */
  static final class Dict {
    private final Map<Object, Object> items = new LinkedHashMap<>();
    private Map<Object, Object> attributes = Map.of();

    Map<Object, Object> items() {
      return items;
    }

    Map<Object, Object> attributes() {
      return attributes;
    }
  }

  /** A reference to a tensor's data: the persistent id that torch.save writes. */
  record Storage(StorageType type, String key, long elements) {}

  /** A tensor in a state dict. */
  sealed interface PickledTensor permits DenseTensor, OtherTensor, NumpyArray {}

  /** The arguments of {@code torch._utils._rebuild_tensor_v2}. */
  record DenseTensor(Storage storage, long offset, List<Long> shape, List<Long> strides)
      implements PickledTensor {}

  /**
   * A tensor of an unsupported kind.
   *
   * @param kind for example {@code sparse}
   */
  record OtherTensor(String kind) implements PickledTensor {}

  private final MemorySegment source;
  private final boolean script;
  private long position;
  private final Budget budget;
  private final ArrayList<Object> stack = new ArrayList<>();
  private final Map<Long, Object> memo = new HashMap<>();
  private final Map<String, StorageType> storages = new HashMap<>();

  /** The bytes of the texts of Python 2, which may be the values of an array. */
  private final Map<String, NumpyArray.Bytes> bytesOfTexts = new IdentityHashMap<>();

  private Unpickler(MemorySegment source, long position, boolean script, Budget budget) {
    this.source = source;
    this.script = script;
    this.position = position;
    this.budget = budget;
  }

  /**
   * The value of a pickle.
   *
   * @param end the offset of the next pickle
   * @param storages the types of all referenced storages, by their keys
   */
  record Result(Object value, long end, Map<String, StorageType> storages) {}

  /**
   * Reads one pickle.
   *
   * @throws Malformed if it is not a pickle, has a name that is not in the list, or exceeds the
   *     budget
   */
  static Result read(MemorySegment source, long position, Budget budget) {
    var unpickler = new Unpickler(source, position, false, budget);
    return new Result(unpickler.run(), unpickler.position, unpickler.storages);
  }

  /**
   * Reads the modules of a TorchScript archive. An object of a compiled class is a {@link Dict}
   * with its attributes.
   *
   * @throws Malformed as {@link #read}
   */
  static Object readScript(MemorySegment source, Budget budget) {
    return new Unpickler(source, 0, true, budget).run();
  }

  private Object run() {
    while (true) {
      budget.take(OPERATION);
      int op = readByte();
      switch (op) {
        case 0x80 -> { // PROTO
          int protocol = readByte();
          if (protocol < 2 || protocol > 5) {
            throw new Malformed("pickle protocol " + protocol + " is not one of 2 to 5");
          }
        }
        case 0x95 -> advance(8); // FRAME: a hint for buffered readers
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
        case 'M' -> pushNumber((long) (source.get(LittleEndian.SHORT, advance(2)) & 0xffff));
        case 'J' -> pushNumber((long) source.get(LittleEndian.INT, advance(4))); // BININT
        case 'I' -> pushNumber(readDigits()); // INT, which Python 2 writes for more than 32 bits
        case 0x8a -> pushNumber(readInteger(readByte())); // LONG1
        case 0x8b -> pushNumber(readInteger(source.get(LittleEndian.INT, advance(4)))); // LONG4
        case 'G' -> pushNumber(source.get(BIG_ENDIAN_DOUBLE, advance(8))); // BINFLOAT
        case 'X' -> pushText(readUnsignedInt()); // BINUNICODE
        case 0x8c -> push(readText(readByte())); // SHORT_BINUNICODE
        case 0x8d -> pushText(source.get(LittleEndian.LONG, advance(8))); // BINUNICODE8
        case 'T' -> pushPython2(readUnsignedInt()); // BINSTRING
        case 'U' -> pushPython2(readByte()); // SHORT_BINSTRING
        case 'C' -> pushBytes(readByte()); // SHORT_BINBYTES
        case 'B' -> pushBytes(readUnsignedInt()); // BINBYTES
        case 0x8e, 0x96 -> pushBytes(source.get(LittleEndian.LONG, advance(8))); // BYTEARRAY8
        case ')', ']', 0x8f -> push(newList(List.of())); // EMPTY_TUPLE, EMPTY_LIST, EMPTY_SET
        case '}' -> push(newDict()); // EMPTY_DICT
        case 't', 'l', 0x91 -> push(popToMark()); // TUPLE, LIST, FROZENSET
        case 0x85 -> push(popLast(1)); // TUPLE1
        case 0x86 -> push(popLast(2)); // TUPLE2
        case 0x87 -> push(popLast(3)); // TUPLE3
        case 'd' -> { // DICT
          var items = popToMark();
          push(newDict());
          setItems(items);
        }
        case 'a' -> appendAll(popLast(1)); // APPEND
        case 'e', 0x90 -> appendAll(popToMark()); // APPENDS, ADDITEMS
        case 's' -> setItems(popLast(2)); // SETITEM
        case 'u' -> setItems(popToMark()); // SETITEMS
        case 'q' -> memoize(readByte()); // BINPUT
        case 'r' -> memoize(readUnsignedInt()); // LONG_BINPUT
        case 0x94 -> memoize(memo.size()); // MEMOIZE
        case 'h' -> push(recall(readByte())); // BINGET
        case 'j' -> push(recall(readUnsignedInt())); // LONG_BINGET
        case 'c' -> pushGlobal(readLine(), readLine()); // GLOBAL
        case 0x93 -> { // STACK_GLOBAL
          Object name = pop();
          pushGlobal(text(pop()), text(name));
        }
        case 'R', 0x81 -> { // REDUCE, NEWOBJ
          Object arguments = pop();
          Object callable = pop();
          if (!(arguments instanceof List<?> list) || !(callable instanceof PickleGlobal global)) {
            throw new Malformed("the pickle calls something that is not a known name");
          }
          push(call(global, list));
        }
        case 'b' -> build(pop()); // BUILD
        case 'Q' -> push(storage(pop())); // BINPERSID
        default ->
            throw new Malformed(
                ("the pickle has operation 0x%02x at byte %d, which torch.save does not" + " write")
                    .formatted(op, position - 1));
      }
    }
  }

  // The machine's stack and its input.

  private void push(Object value) {
    stack.add(value);
  }

  private void pushNumber(Object value) {
    budget.take(value instanceof BigInteger ? MAX_INTEGER_BYTES : NUMBER);
    push(value);
  }

  private void pushBytes(long count) {
    budget.take(BYTES);
    long at = advance(count);
    push(new NumpyArray.Bytes(source.asSlice(at, count), false));
  }

  /** A text, or the bytes of an array, which Python 3 writes as a text in protocol 2. */
  private void pushText(long count) {
    if (count <= MAX_TEXT) {
      push(readText(count));
    } else {
      budget.take(BYTES);
      long at = advance(count);
      push(new NumpyArray.Bytes(source.asSlice(at, count), true));
    }
  }

  /** A text of Python 2, or bytes, which are the same there. */
  private void pushPython2(long count) {
    long at = position;
    if (count > Checkpoint.MAX_NAME) {
      pushBytes(count);
      return;
    }
    String text = readText(count);
    budget.take(BYTES + MEMO_ITEM);
    bytesOfTexts.put(text, new NumpyArray.Bytes(source.asSlice(at, count), false));
    push(text);
  }

  private void pushGlobal(String module, String name) {
    budget.take(4 * TEXT + 2L * (module.length() + name.length()));
    if (script && module.startsWith("__torch__")) {
      push(PickleGlobal.compiled(module, name));
      return;
    }
    try {
      push(PickleGlobal.of(module, name));
    } catch (Malformed e) {
      throw isPartOfTensor() ? unknownTensor(module, name) : e;
    }
  }

  /** Whether the value that is being read belongs to a tensor: the last text is a tensor's name. */
  private boolean isPartOfTensor() {
    return lastName().matches(".*\\.(weight|bias|running_mean|running_var|gamma|beta)");
  }

  private String lastName() {
    for (int i = stack.size() - 1; i >= Math.max(0, stack.size() - 8); i--) {
      if (stack.get(i) instanceof String name && name.length() <= Checkpoint.MAX_NAME) {
        return name;
      }
    }
    return "";
  }

  private Malformed unknownTensor(String module, String name) {
    return new Malformed(
        ("tensor %s is of the kind %s.%s, which is not supported; in Python, save it as a dense"
                + " tensor of float32")
            .formatted(lastName(), module, name));
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
    return new Malformed("the pickle pops more values from its stack than there are");
  }

  private List<Object> popLast(int count) {
    budget.take(LIST);
    var values = new ArrayList<Object>(count);
    for (int i = 0; i < count; i++) {
      values.addFirst(pop());
    }
    return values;
  }

  private List<Object> popToMark() {
    int mark = stack.size() - 1;
    while (mark >= 0 && stack.get(mark) != MARK) {
      mark--;
    }
    if (mark < 0) {
      throw underflow();
    }
    var tail = stack.subList(mark, stack.size());
    List<Object> values = newList(tail.subList(1, tail.size()));
    tail.clear();
    return values;
  }

  private void memoize(long index) {
    budget.take(MEMO_ITEM);
    memo.put(index, top());
  }

  private Object recall(long index) {
    Object value = memo.get(index);
    if (value == null) {
      throw new Malformed("the pickle recalls value " + index + ", which was never stored");
    }
    return value;
  }

  private long advance(long bytes) {
    long at = position;
    if (bytes < 0 || bytes > source.byteSize() - at) {
      throw new Malformed(
          "the pickle is truncated: %,d bytes expected at byte %,d of %,d"
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
    budget.take(TEXT + 2 * Math.clamp(count, 0, source.byteSize()));
    // Python also writes lone surrogates; names do not contain them.
    return new String(readBytes(count), StandardCharsets.UTF_8);
  }

  private String readLine() {
    long start = position;
    while (readByte() != '\n') {
      if (position - start > Checkpoint.MAX_NAME) {
        throw new Malformed(
            "the pickle has a name of more than " + Checkpoint.MAX_NAME + " letters");
      }
    }
    return new String(
        source.asSlice(start, position - 1 - start).toArray(ValueLayout.JAVA_BYTE),
        StandardCharsets.UTF_8);
  }

  /** {@code 12345678901}; {@code 01} and {@code 00} are True and False. */
  private Object readDigits() {
    String digits = readLine();
    if (digits.equals("01") || digits.equals("00")) {
      return digits.equals("01");
    }
    if (!digits.matches("-?[0-9]{1,18}")) {
      throw new Malformed("the pickle has something else where digits are expected");
    }
    return Long.valueOf(digits);
  }

  private Object readInteger(int bytes) {
    if (bytes < 0 || bytes > MAX_INTEGER_BYTES) {
      throw new Malformed("the pickle has an integer of " + bytes + " bytes");
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

  private List<Object> newList(List<?> items) {
    budget.take(LIST + (long) LIST_ITEM * items.size());
    return new ArrayList<>(items);
  }

  private Dict newDict() {
    budget.take(DICT);
    return new Dict();
  }

  private void appendAll(List<?> items) {
    if (!(top() instanceof List<?> list)) {
      throw new Malformed("the pickle appends to something that is not a list");
    }
    budget.take((long) LIST_ITEM * items.size());
    @SuppressWarnings("unchecked") // every List on the stack was created here, of Object
    var target = (List<Object>) list;
    target.addAll(items);
  }

  private void setItems(List<Object> items) {
    if (!(top() instanceof Dict dict) || items.size() % 2 != 0) {
      throw new Malformed("the pickle sets items on something that is not a dict");
    }
    budget.take((long) DICT_ITEM * items.size());
    for (int i = 0; i < items.size(); i += 2) {
      dict.items.put(key(items.get(i)), items.get(i + 1));
    }
  }

  /** A key that is compared by content only if it is short: long texts are not names of tensors. */
  private static Object key(Object key) {
    boolean plain =
        switch (key) {
          case String name -> name.length() <= Checkpoint.MAX_NAME;
          case Number _, Boolean _ -> true;
          default -> key == NONE;
        };
    return plain ? key : new Object();
  }

  private void build(Object state) {
    Object target = top();
    if (target instanceof Dict dict && state instanceof Dict attributes) {
      budget.take(DICT + (long) DICT_ITEM * attributes.items.size());
      if (dict.attributes.isEmpty()) {
        dict.attributes = new LinkedHashMap<>();
      }
      dict.attributes.putAll(attributes.items);
    } else if (target instanceof NumpyArray array && state instanceof List<?> fields) {
      setState(array, fields);
    } else if (target instanceof NumpyArray.Type type && state instanceof List<?> fields) {
      type.setState(fields);
    } else if (target != OPAQUE && !(target instanceof PickledTensor)) {
      throw new Malformed("the pickle sets attributes on something that is not an object");
    }
  }

  private static String text(Object value) {
    if (value instanceof String text) {
      return text;
    }
    throw new Malformed("the pickle has something else where a text is expected");
  }

  private static long integer(Object value) {
    if (value instanceof Long number) {
      return number;
    }
    throw new Malformed("the pickle has something else where an integer is expected");
  }

  private static List<Long> integers(Object value) {
    if (value instanceof List<?> list && list.size() <= MAX_AXES) {
      return list.stream().map(Unpickler::integer).toList();
    }
    throw new Malformed(
        ("the pickle has something else where a tuple of up to %d integers is" + " expected")
            .formatted(MAX_AXES));
  }

  // The meanings of calls.

  private Object call(PickleGlobal global, List<?> arguments) {
    try {
      return switch (global.meaning()) {
        case DICT -> dict(arguments);
        case LIST -> newList(arguments.isEmpty() ? List.of() : (List<?>) arguments.getFirst());
        case TENSOR -> tensor(arguments);
        case OTHER_TENSOR -> new OtherTensor(kind(global, arguments));
        case FIRST_ARGUMENT -> (PickledTensor) arguments.getFirst();
        case FROM_TYPE -> fromType((PickleGlobal) arguments.get(0), (List<?>) arguments.get(2));
        case OBJECT -> {
          if (((PickleGlobal) arguments.get(0)).meaning() != PickleGlobal.Meaning.DICT) {
            throw new ClassCastException();
          }
          yield newDict();
        }
        case ARRAY -> {
          budget.take(Budget.TENSOR);
          yield new NumpyArray();
        }
        case ARRAY_OF_BYTES -> {
          budget.take(Budget.TENSOR);
          yield new NumpyArray(
              bytes(arguments.get(0)),
              (NumpyArray.Type) arguments.get(1),
              integers(arguments.get(2)),
              "F".equals(arguments.get(3)));
        }
        case ARRAY_TYPE -> {
          budget.take(BYTES);
          yield new NumpyArray.Type(text(arguments.getFirst()));
        }
        case ENCODE -> encode(arguments);
        case COMPILED -> newDict();
        case OPAQUE -> OPAQUE;
        case STORAGE, CONSTANT -> throw new Malformed("the pickle calls " + global.path());
      };
    } catch (ClassCastException | IndexOutOfBoundsException | java.util.NoSuchElementException e) {
      throw new Malformed("the pickle calls " + global.path() + " with wrong arguments");
    }
  }

  /** {@code (version, shape, type, is_fortran, bytes)}. */
  private void setState(NumpyArray array, List<?> state) {
    if (state.size() != 5 || !(state.get(2) instanceof NumpyArray.Type type)) {
      throw new Malformed("the pickle has a NumPy array without a type");
    }
    Object values = state.get(4);
    boolean objects = values instanceof List<?>;
    array.setState(
        integers(state.get(1)),
        type,
        Boolean.TRUE.equals(state.get(3)) || Long.valueOf(1).equals(state.get(3)),
        objects ? null : bytes(values));
  }

  private NumpyArray.Bytes bytes(Object value) {
    if (value instanceof NumpyArray.Bytes bytes) {
      return bytes;
    }
    NumpyArray.Bytes found = value instanceof String text ? bytesOfTexts.get(text) : null;
    if (found == null) {
      throw new Malformed("the pickle has something else where bytes are expected");
    }
    return found;
  }

  /** {@code _codecs.encode(text, "latin1")}: bytes in protocol 2. */
  private Object encode(List<?> arguments) {
    Object text = arguments.getFirst();
    if (text instanceof NumpyArray.Bytes bytes && bytes.isText()) {
      return bytes;
    }
    if (!(text instanceof String characters)) {
      return OPAQUE;
    }
    budget.take(BYTES + characters.length());
    byte[] bytes = characters.getBytes(StandardCharsets.ISO_8859_1);
    return new NumpyArray.Bytes(MemorySegment.ofArray(bytes), false);
  }

  /** A tensor with attributes or of a subclass; the wrapped tensor is a plain one. */
  private Object fromType(PickleGlobal function, List<?> arguments) {
    if (function.meaning() == PickleGlobal.Meaning.FROM_TYPE) {
      throw new Malformed("the pickle nests calls of " + function.path());
    }
    return call(function, arguments);
  }

  private Dict dict(List<?> arguments) {
    Dict dict = newDict();
    if (arguments.isEmpty()) {
      return dict;
    }
    if (arguments.getFirst() instanceof Dict other) { // Counter({...})
      budget.take((long) DICT_ITEM * other.items.size());
      dict.items.putAll(other.items);
    } else if (arguments.getFirst() instanceof List<?> pairs) { // OrderedDict([(k, v), ...])
      budget.take((long) DICT_ITEM * pairs.size());
      for (Object pair : pairs) {
        List<?> entry = (List<?>) pair;
        dict.items.put(key(entry.get(0)), entry.get(1));
      }
    }
    return dict;
  }

  private DenseTensor tensor(List<?> arguments) {
    budget.take(Budget.TENSOR);
    return new DenseTensor(
        (Storage) arguments.get(0),
        integer(arguments.get(1)),
        integers(arguments.get(2)),
        integers(arguments.get(3)));
  }

  private static String kind(PickleGlobal rebuild, List<?> arguments) {
    return switch (rebuild.name()) {
      case "_rebuild_tensor_v3" -> "of type " + ((PickleGlobal) arguments.get(6)).name();
      case "_rebuild_qtensor" ->
          "quantized (%s)".formatted(((Storage) arguments.getFirst()).type().name());
      case "_rebuild_sparse_tensor" -> "sparse";
      case "_rebuild_nested_tensor" -> "nested";
      default -> "without values, on the meta device";
    };
  }

  private Storage storage(Object persistentId) {
    if (!(persistentId instanceof List<?> id)
        || id.size() < 5
        || !"storage".equals(id.getFirst())
        || !(id.get(1) instanceof PickleGlobal global)
        || global.meaning() != PickleGlobal.Meaning.STORAGE
        || (id.size() > 5 && id.get(5) != NONE)) {
      throw new Malformed("the pickle refers to an external object that is not a storage");
    }
    String key = text(id.get(2));
    if (key.length() > Checkpoint.MAX_NAME) {
      throw new Malformed(
          "the pickle has a storage name of more than " + Checkpoint.MAX_NAME + " letters");
    }
    budget.take(MEMO_ITEM);
    var storage =
        new Storage(StorageType.named(global.name()).orElseThrow(), key, integer(id.get(4)));
    storages.put(key, storage.type());
    return storage;
  }
}
