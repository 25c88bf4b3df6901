package io.github.resnet4j.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Help;
import picocli.CommandLine.Help.Ansi.Text;
import picocli.CommandLine.Help.IOptionRenderer;
import picocli.CommandLine.Help.IParameterRenderer;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;

/** The help of the commands; picocli's own has long synopses and breaks lines within words. */
final class HelpText {
  /**
   * Punctuation is replaced by private-use characters while lines are broken, so none ends there.
   */
  private static final int PRIVATE = 0xE000;

  private HelpText() {}

  /** Installs this help in all commands. */
  static void install(CommandLine commands) {
    commands.setHelpFactory(Unbroken::new);
    restorePunctuation(commands);
    commands.getSubcommands().values().forEach(HelpText::restorePunctuation);
    commands.getSubcommands().values().forEach(HelpText::shortenSynopsis);
  }

  /** Sets a synopsis with the required options and parameters only. */
  private static void shortenSynopsis(CommandLine command) {
    CommandSpec spec = command.getCommandSpec();
    var parts = new ArrayList<String>();
    parts.add(spec.qualifiedName());
    for (OptionSpec option : spec.options()) {
      if (option.required()) {
        parts.add(option.shortestName() + "=" + option.paramLabel());
      }
    }
    parts.add("[OPTIONS]");
    var parameters = new ArrayList<String>();
    for (PositionalParamSpec parameter : spec.positionalParameters()) {
      String label = parameter.paramLabel() + (parameter.arity().max() > 1 ? "..." : "");
      parameters.add(parameter.required() ? label : "[" + label + "]");
    }
    // Parameters come first if an option takes all following arguments.
    boolean first = spec.options().stream().anyMatch(option -> option.arity().max() > 1);
    parts.addAll(first ? 1 : parts.size(), parameters);
    spec.usageMessage().customSynopsis(String.join(" ", parts));
  }

  private static void restorePunctuation(CommandLine command) {
    var sections = command.getHelpSectionMap();
    sections.replaceAll((_, renderer) ->
        help ->
            renderer
                .render(help)
                .codePoints()
                .map(c -> c >= PRIVATE && c < PRIVATE + 128 ? c - PRIVATE : c)
                .mapToObj(Character::toString)
                .collect(Collectors.joining()));
    command.setHelpSectionMap(sections);
  }

  private static String unbroken(String text) {
    return text.codePoints()
        .map(c -> c > ' ' && c < 127 && !Character.isLetterOrDigit(c) ? PRIVATE + c : c)
        .mapToObj(Character::toString)
        .collect(Collectors.joining());
  }

  /** Returns a default value as users type it: lower case, without brackets, 30 and not 30.0. */
  private static String asTyped(Object value) {
    return switch (value) {
      case Enum<?> constant -> constant.toString().toLowerCase(Locale.ROOT);
      case Double number when number == Math.rint(number) -> String.valueOf(number.longValue());
      case List<?> list -> list.stream().map(HelpText::asTyped).collect(Collectors.joining(","));
      default -> value.toString();
    };
  }

  /** Help whose lines break at spaces only. */
  private static final class Unbroken extends Help {
    Unbroken(CommandSpec spec, ColorScheme colors) {
      super(spec, colors);
    }

    @Override
    public String description(Object... parameters) {
      var text = new StringBuilder();
      for (String paragraph : commandSpec().usageMessage().description()) {
        int column = 0;
        for (String word : String.format(paragraph).split(" ", -1)) {
          boolean fits = column + 1 + word.length() <= commandSpec().usageMessage().width() - 1;
          if (column > 0) {
            text.append(fits ? ' ' : '\n');
          }
          column = column > 0 && fits ? column + 1 + word.length() : word.length();
          text.append(word);
        }
        text.append(System.lineSeparator());
      }
      return text.toString();
    }

    @Override
    public IOptionRenderer createDefaultOptionRenderer() {
      IOptionRenderer usual = super.createDefaultOptionRenderer();
      return (option, labels, scheme) -> unbroken(usual.render(option, labels, scheme), option);
    }

    @Override
    public IParameterRenderer createDefaultParameterRenderer() {
      IParameterRenderer usual = super.createDefaultParameterRenderer();
      return (parameter, labels, scheme) ->
          unbroken(usual.render(parameter, labels, scheme), parameter);
    }

    /** Protects punctuation in the last column, the description. */
    private Text[][] unbroken(Text[][] rows, ArgSpec argument) {
      Object value = argument.initialValue();
      for (Text[] row : rows) {
        String text = row[row.length - 1].plainString();
        if (value != null) {
          text = text.replace("default " + value, "default " + asTyped(value));
        }
        row[row.length - 1] = colorScheme().text(HelpText.unbroken(text));
      }
      return rows;
    }
  }
}
