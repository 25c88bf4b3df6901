package io.github.resnet4j.cli;

import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import picocli.AutoComplete;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "completion",
    mixinStandardHelpOptions = true,
    description = {
      "Prints a completion script for bash or zsh.",
      "",
      "To have it in every new shell, add one of the first two examples to ~/.bashrc or"
          + " ~/.zshrc.",
    },
    footerHeading = "%nExamples:%n",
    footer = {
      "  eval \"$(resnet4j completion bash)\"",
      "  eval \"$(resnet4j completion zsh)\"",
      "  resnet4j completion bash > resnet4j_completion",
    })
final class CompletionCommand implements Callable<Integer> {
  private static final Pattern VALUES = Pattern.compile("(?<=_option_args=)\\(.*\\)");

  @Spec private CommandSpec spec = CommandSpec.create();

  @SuppressWarnings("UnusedVariable") // the script works in both shells
  @Parameters(paramLabel = "SHELL", description = "bash or zsh.")
  private Shell shell = Shell.BASH;

  enum Shell {
    BASH,
    ZSH;

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  @Override
  public Integer call() {
    // In zsh the script first loads zsh's support for bash completion.
    String script = AutoComplete.bash(spec.root().name(), spec.root().commandLine());
    // Values are completed in lower case, as in the help, not as Java's constants.
    System.out.println(
        VALUES.matcher(script).replaceAll(found -> found.group().toLowerCase(Locale.ROOT)));
    return Main.OK;
  }
}
