package io.github.resnet4j.cli;

import io.github.resnet4j.checkpoint.AtomicFile;
import io.github.resnet4j.messages.Reason;
import io.github.resnet4j.messages.Suggestion;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ExecutionException;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.TypeConversionException;
import picocli.CommandLine.UnmatchedArgumentException;

/**
 * Checks the command line before the command runs. An error is one line that names the option and
 * its legal values.
 */
final class Arguments {
  private Arguments() {}

  /** Installs the checks and error messages of this class. */
  static CommandLine checked(CommandLine commands) {
    commands
        .registerConverter(int.class, text -> integer(text, Integer.MAX_VALUE).intValue())
        .registerConverter(Integer.class, text -> integer(text, Integer.MAX_VALUE).intValue())
        .registerConverter(long.class, text -> integer(text, Long.MAX_VALUE))
        .registerConverter(Long.class, text -> integer(text, Long.MAX_VALUE))
        .registerConverter(float.class, text -> (float) number(text))
        .registerConverter(Float.class, text -> (float) number(text))
        .registerConverter(double.class, Arguments::number)
        .registerConverter(Double.class, Arguments::number);
    registerEnums(commands, commands);
    return commands
        .setExecutionStrategy(Arguments::run)
        .setParameterExceptionHandler(
            (e, _) -> refuse(message(e, e.getCommandLine()), e.getCommandLine()));
  }

  private static int run(ParseResult parsed) {
    check(parsed);
    return new CommandLine.RunLast().execute(parsed);
  }

  /** Checks ranges and outputs. */
  static void check(ParseResult parsed) {
    for (CommandLine command : parsed.asCommandLineList()) {
      if (command.isUsageHelpRequested() || command.isVersionHelpRequested()) {
        break; // other arguments do not matter
      }
      for (ArgSpec argument : command.getCommandSpec().args()) {
        if (argument.userObject() instanceof Field field) {
          checkRange(command, argument, field.getAnnotation(Range.class));
          checkOutput(command, argument, field.getAnnotation(Output.class));
        }
      }
    }
  }

  /** Prints an error and how to get help; returns the exit code. */
  static int refuse(String message, CommandLine command) {
    System.out.flush();
    System.err.println("resnet4j: " + message);
    System.err.println("Try '" + command.getCommandSpec().qualifiedName() + " --help'.");
    return CommandLine.ExitCode.USAGE;
  }

  private static String message(ParameterException e, CommandLine command) {
    String message = String.valueOf(e.getMessage());
    if (e instanceof UnmatchedArgumentException unmatched && !unmatched.getUnmatched().isEmpty()) {
      return unmatched(unmatched.getUnmatched().getFirst(), command);
    }
    if (e.getArgSpec() == null && e.getValue() != null) { // of the command 'help'
      return unmatched(e.getValue(), command);
    }
    if (message.startsWith("Missing required parameter")) {
      return message + consumedBy(command);
    }
    if (e.getArgSpec() != null && message.contains("should be in KEY=VALUE")) {
      return "%s must be %s, was '%s'"
          .formatted(
              label(e.getArgSpec()),
              e.getArgSpec().paramLabel(),
              message.substring(message.lastIndexOf(" but was ") + " but was ".length()));
    }
    int colon = message.indexOf(": must be ");
    return e.getArgSpec() == null || colon < 0
        ? message
        : label(e.getArgSpec()) + message.substring(colon + 1);
  }

  /** Explains a missing parameter that an option with several values may have consumed. */
  private static String consumedBy(CommandLine command) {
    return command.getCommandSpec().options().stream()
        .filter(option -> option.arity().max() > 1 && !values(option.getValue()).isEmpty())
        .map(option ->
            "; name it before %s, which takes all following arguments"
                .formatted(option.longestName()))
        .findFirst()
        .orElse("");
  }

  private static String unmatched(String word, CommandLine command) {
    if (word.startsWith("-")) {
      String name = word.split("=", 2)[0];
      var names = new ArrayList<String>();
      for (OptionSpec option : command.getCommandSpec().options()) {
        names.addAll(List.of(option.names()));
      }
      return "Unknown option: '%s'%s".formatted(name, Suggestion.of(name, names));
    }
    var commands = command.getSubcommands().keySet();
    return commands.isEmpty()
        ? "Unexpected argument: '%s'".formatted(word)
        : "Unknown command: '%s'%s".formatted(word, Suggestion.of(word, commands));
  }

  private static String label(ArgSpec argument) {
    return argument instanceof OptionSpec option ? option.longestName() : argument.paramLabel();
  }

  /** Checks that an output can be written, before the command starts its work. */
  private static void checkOutput(CommandLine command, ArgSpec argument, @Nullable Output output) {
    if (output == null || !(argument.getValue() instanceof Path path)) {
      return;
    }
    List<String> endings = List.of(output.endings());
    if (!endings.isEmpty() && endings.stream().noneMatch(path.toString()::endsWith)) {
      throw new ParameterException(
          command,
          "%s must end in %s, was '%s'".formatted(label(argument), or(endings), path),
          argument,
          path.toString());
    }
    try {
      if (output.folder()) {
        AtomicFile.requireWritableFolder(path);
      } else {
        AtomicFile.requireWritable(path);
      }
    } catch (IOException e) {
      String reason = label(argument) + " " + Reason.of(e);
      throw new ExecutionException(command, reason, new IOException(reason, e));
    }
  }

  /** Joins words with commas and "or". */
  static String or(List<String> words) {
    return words.size() == 1
        ? words.getFirst()
        : String.join(", ", words.subList(0, words.size() - 1)) + " or " + words.getLast();
  }

  private static void checkRange(CommandLine command, ArgSpec argument, @Nullable Range range) {
    if (range == null) {
      return;
    }
    for (Object each : values(argument.getValue())) {
      double value = ((Number) each).doubleValue();
      boolean legal =
          value >= range.min()
              && value > range.above()
              && value <= range.max()
              && value < range.below()
              && Math.abs(value) < Double.POSITIVE_INFINITY;
      if (!legal) {
        throw new ParameterException(
            command,
            "%s must be %s, was %s".formatted(label(argument), describe(range), each),
            argument,
            String.valueOf(each));
      }
    }
  }

  private static Collection<?> values(@Nullable Object value) {
    return switch (value) {
      case null -> List.of();
      case Collection<?> several -> several;
      case Map<?, ?> several -> several.values();
      default -> List.of(value);
    };
  }

  private static String describe(Range range) {
    if (range.min() > Double.NEGATIVE_INFINITY && range.max() < Double.POSITIVE_INFINITY) {
      return text(range.min()) + " to " + text(range.max());
    }
    var limits = new ArrayList<String>();
    if (range.min() > Double.NEGATIVE_INFINITY) {
      limits.add("at least " + text(range.min()));
    }
    if (range.above() > Double.NEGATIVE_INFINITY) {
      limits.add("above " + text(range.above()));
    }
    if (range.max() < Double.POSITIVE_INFINITY) {
      limits.add("at most " + text(range.max()));
    }
    if (range.below() < Double.POSITIVE_INFINITY) {
      limits.add("below " + text(range.below()));
    }
    return limits.isEmpty() ? "a finite number" : String.join(" and ", limits);
  }

  private static String text(double limit) {
    return limit == Math.rint(limit) ? String.valueOf((long) limit) : String.valueOf(limit);
  }

  private static Long integer(String text, long max) {
    if (!text.matches("[+-]?\\d+")) {
      throw new TypeConversionException("must be a whole number, was '" + text + "'");
    }
    try {
      long value = Long.parseLong(text);
      if (Math.abs(value) <= max) {
        return value;
      }
    } catch (NumberFormatException _) {
      // does not fit into a long
    }
    throw new TypeConversionException("must be at most " + max + ", was " + text);
  }

  private static double number(String text) {
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException _) {
      throw new TypeConversionException("must be a number, was '" + text + "'");
    }
  }

  /** Enum options accept their constants in any case; an error lists them. */
  private static void registerEnums(CommandLine command, CommandLine commands) {
    for (ArgSpec argument : command.getCommandSpec().args()) {
      for (Class<?> type : argument.auxiliaryTypes()) {
        register(commands, type);
      }
      register(commands, argument.type());
    }
    command.getSubcommands().values().forEach(each -> registerEnums(each, commands));
  }

  private static <T> void register(CommandLine commands, Class<T> type) {
    if (type.isEnum()) {
      commands.registerConverter(type, enumConverter(type));
    }
  }

  private static <T> ITypeConverter<T> enumConverter(Class<T> type) {
    List<T> constants = Arrays.asList(type.getEnumConstants());
    List<String> names = constants.stream().map(Arguments::lowerCase).toList();
    return text -> {
      int found = names.indexOf(text.toLowerCase(Locale.ROOT).replace('-', '_'));
      if (found < 0) {
        throw new TypeConversionException(
            "must be %s, was '%s'%s".formatted(or(names), text, Suggestion.of(text, names)));
      }
      return constants.get(found);
    };
  }

  private static String lowerCase(Object constant) {
    return ((Enum<?>) constant).name().toLowerCase(Locale.ROOT);
  }
}
