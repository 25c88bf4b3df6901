package io.github.resnet4j.checkpoint;

import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A class or function that a pickle names. It is never looked up: the name is compared with a fixed
 * list, which defines the meaning of a call.
 *
 * @param name the name without its module
 * @param path the name with its module
 */
record PickleGlobal(Meaning meaning, String name, String path) {
  /** The result of a call. */
  enum Meaning {
    DICT,
    LIST,
    /** {@code _rebuild_tensor_v2(storage, offset, shape, strides, ...)}. */
    TENSOR,
    /** A tensor of an unsupported kind. */
    OTHER_TENSOR,
    /** The first argument: {@code Parameter(tensor)} is its tensor. */
    FIRST_ARGUMENT,
    /** {@code _rebuild_from_type_v2(function, type, arguments, state)}. */
    FROM_TYPE,
    /** {@code _reconstructor(type, base, state)}, an object without attributes. */
    OBJECT,
    /** {@code numpy.core.multiarray._reconstruct}: an array, whose state follows. */
    ARRAY,
    /** {@code numpy._core.numeric._frombuffer(bytes, type, shape, order)}. */
    ARRAY_OF_BYTES,
    /** {@code numpy.dtype('f4')}. */
    ARRAY_TYPE,
    /** {@code _codecs.encode}: bytes from a text. */
    ENCODE,
    /** A class of a TorchScript archive: an object with attributes. */
    COMPILED,
    /** An object that is not needed: a device, a NumPy scalar, a path, a time. */
    OPAQUE,
    /** The type of a storage, which is not called. */
    STORAGE,
    /** Another constant that is not called: {@code torch.float32}. */
    CONSTANT
  }

  private static final Set<String> TORCH_CONSTANTS =
      Set.of(
          "Tensor",
          "float64",
          "float32",
          "float16",
          "bfloat16",
          "float8_e4m3fn",
          "float8_e4m3fnuz",
          "float8_e5m2",
          "float8_e5m2fnuz",
          "float8_e8m0fnu",
          "float4_e2m1fn_x2",
          "int64",
          "int32",
          "int16",
          "int8",
          "uint64",
          "uint32",
          "uint16",
          "uint8",
          "bool",
          "complex32",
          "complex64",
          "complex128",
          "qint8",
          "quint8",
          "qint32",
          "quint4x2",
          "quint2x4",
          "per_tensor_affine",
          "per_tensor_symmetric",
          "per_channel_affine",
          "per_channel_symmetric",
          "per_channel_affine_float_qparams");

  /**
   * Returns the name if a checkpoint may contain it.
   *
   * @throws Malformed if it may not, even if nothing calls it
   */
  static PickleGlobal of(String writtenModule, String name) {
    if (writtenModule.length() > Checkpoint.MAX_NAME || name.length() > Checkpoint.MAX_NAME) {
      throw new Malformed("the pickle has a name of more than " + Checkpoint.MAX_NAME + " letters");
    }
    String module = switch (writtenModule) { // the names in Python 2
          case "__builtin__" -> "builtins";
          case "copy_reg" -> "copyreg";
          default -> writtenModule;
        };
    String path = module + "." + name;
    Meaning meaning = meaning(module, name, path);
    if (meaning == null) {
      throw new Malformed(
          "the pickle names %s.%s, which is not among the types of a checkpoint; if you trust the"
                  .formatted(writtenModule, name)
              + " file, load it in Python and save model.state_dict() alone");
    }
    return new PickleGlobal(meaning, name, path);
  }

  /** A class whose code is in a TorchScript archive; the code is not read. */
  static PickleGlobal compiled(String module, String name) {
    boolean foreign = module.startsWith("__torch__.torch.classes"); // of C++
    return new PickleGlobal(foreign ? Meaning.OPAQUE : Meaning.COMPILED, name, module + "." + name);
  }

  private static @Nullable Meaning meaning(String module, String name, String path) {
    return switch (path) {
      case "collections.OrderedDict",
          "collections.defaultdict",
          "collections.Counter",
          "argparse.Namespace",
          "types.SimpleNamespace",
          "builtins.dict",
          "easydict.EasyDict",
          "addict.addict.Dict",
          "yacs.config.CfgNode",
          "mmengine.config.config.ConfigDict",
          "mmengine.logging.history_buffer.HistoryBuffer",
          "pytorch_lightning.utilities.parsing.AttributeDict",
          "lightning_fabric.utilities.data.AttributeDict",
          "lightning.fabric.utilities.data.AttributeDict",
          "lightning.pytorch.utilities.parsing.AttributeDict" ->
          Meaning.DICT;
      case "builtins.list", "builtins.set", "builtins.frozenset", "builtins.tuple", "torch.Size" ->
          Meaning.LIST;
      case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2" -> Meaning.TENSOR;
      case "torch._utils._rebuild_tensor_v3",
          "torch._utils._rebuild_qtensor",
          "torch._utils._rebuild_sparse_tensor",
          "torch._utils._rebuild_nested_tensor",
          "torch._utils._rebuild_meta_tensor_no_storage" ->
          Meaning.OTHER_TENSOR;
      case "torch._utils._rebuild_parameter",
          "torch._utils._rebuild_parameter_with_state",
          "torch._utils._rebuild_device_tensor_from_cpu_tensor",
          "torch.nn.parameter.Parameter" ->
          Meaning.FIRST_ARGUMENT;
      case "torch._tensor._rebuild_from_type_v2" -> Meaning.FROM_TYPE;
      case "copyreg._reconstructor" -> Meaning.OBJECT;
      case "torch.device",
          "torch.serialization._get_layout",
          "numpy.core.multiarray.scalar",
          "numpy._core.multiarray.scalar",
          "pathlib.Path",
          "pathlib.PosixPath",
          "pathlib.WindowsPath",
          "pathlib.PurePosixPath",
          "pathlib._local.PosixPath",
          "pathlib._local.WindowsPath",
          "datetime.datetime",
          "datetime.date",
          "datetime.timedelta",
          "datetime.timezone",
          "uuid.UUID",
          "builtins.bytearray",
          "builtins.complex",
          "builtins.int",
          "builtins.float" ->
          Meaning.OPAQUE;
      case "numpy.dtype" -> Meaning.ARRAY_TYPE;
      case "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct" ->
          Meaning.ARRAY;
      case "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer" ->
          Meaning.ARRAY_OF_BYTES;
      case "_codecs.encode" -> Meaning.ENCODE;
      case "torch.jit._pickle.build_intlist",
          "torch.jit._pickle.build_boollist",
          "torch.jit._pickle.build_doublelist",
          "torch.jit._pickle.build_tensorlist",
          "torch.jit._pickle.restore_type_tag" ->
          Meaning.OPAQUE;
      case "torch.storage.UntypedStorage" -> Meaning.STORAGE;
      case "builtins.object", "numpy.ndarray" -> Meaning.CONSTANT;
      default -> {
        if (!module.equals("torch")) {
          yield null;
        }
        yield StorageType.named(name).isPresent()
            ? Meaning.STORAGE
            : TORCH_CONSTANTS.contains(name) ? Meaning.CONSTANT : null;
      }
    };
  }
}
