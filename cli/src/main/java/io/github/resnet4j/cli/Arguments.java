package io.github.resnet4j.cli;

import io.github.resnet4j.messages.Suggestion;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.TypeConversionException;
import picocli.CommandLine.UnmatchedArgumentException;

/**
 * What is refused on a command line before the command runs, in one line that names the option and
 * its legal values.
 */
final class Arguments {
  private Arguments() {}

  /** Makes the commands' errors of usage those of this class. */
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
    registerWords(commands, commands);
    return commands
        .setExecutionStrategy(Arguments::run)
        .setParameterExceptionHandler((e, _) -> refuse(e));
  }

  private static int run(ParseResult parsed) {
    for (CommandLine command : parsed.asCommandLineList()) {
      for (ArgSpec argument : command.getCommandSpec().args()) {
        check(command, argument);
      }
    }
    return new CommandLine.RunLast().execute(parsed);
  }

  /** Prints what is wrong and where help is. */
  private static int refuse(ParameterException e) {
    CommandLine command = e.getCommandLine();
    System.out.flush();
    System.err.println("resnet4j: " + message(e, command));
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
    int colon = message.indexOf(": must be ");
    return e.getArgSpec() == null || colon < 0
        ? message
        : label(e.getArgSpec()) + message.substring(colon + 1);
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

  private static void check(CommandLine command, ArgSpec argument) {
    if (!(argument.userObject() instanceof Field field)) {
      return;
    }
    Range range = field.getAnnotation(Range.class);
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
      // too long even for a long
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

  /** Options of an enumeration take its constants in any case, and say which there are. */
  private static void registerWords(CommandLine command, CommandLine commands) {
    for (ArgSpec argument : command.getCommandSpec().args()) {
      for (Class<?> type : argument.auxiliaryTypes()) {
        register(commands, type);
      }
      register(commands, argument.type());
    }
    command.getSubcommands().values().forEach(each -> registerWords(each, commands));
  }

  private static <T> void register(CommandLine commands, Class<T> type) {
    if (type.isEnum()) {
      commands.registerConverter(type, words(type));
    }
  }

  private static <T> ITypeConverter<T> words(Class<T> type) {
    List<T> constants = Arrays.asList(type.getEnumConstants());
    List<String> words = constants.stream().map(Arguments::word).toList();
    return text -> {
      int found = words.indexOf(text.toLowerCase(Locale.ROOT).replace('-', '_'));
      if (found < 0) {
        String last = words.size() == 1 ? "" : " or " + words.getLast();
        String others = String.join(", ", words.subList(0, Math.max(1, words.size() - 1)));
        throw new TypeConversionException(
            "must be %s%s, was '%s'%s".formatted(others, last, text, Suggestion.of(text, words)));
      }
      return constants.get(found);
    };
  }

  private static String word(Object constant) {
    return ((Enum<?>) constant).name().toLowerCase(Locale.ROOT);
  }
}
