#include "workers/completions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fettle {
namespace {

using Takes = OptionInfo::Takes;

constexpr std::string_view kMade = "Made by fettle reference; changes belong into its source.";

std::string with_escapes(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// Inside single quotes, which nothing escapes.
std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out;
}

std::string names_of(const std::vector<CommandInfo>& commands) {
  std::vector<std::string_view> names;
  for (const CommandInfo& command : commands) names.push_back(command.name);
  return fmt::format("{}", fmt::join(names, " "));
}

std::string flags_of(const std::vector<OptionInfo>& options) {
  std::vector<std::string_view> names;
  for (const OptionInfo& option : options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  return fmt::format("{}", fmt::join(names, " "));
}

bool takes_files(const CommandInfo& command) {
  for (const OptionInfo& option : command.options) {
    if (option.names.empty() && option.takes == Takes::kFile) return true;
  }
  return false;
}

// ---- bash -------------------------------------------------------------------------------------

std::string bash_action(const OptionInfo& option) {
  switch (option.takes) {
    case Takes::kFile:
      return "_fettle_files -f";
    case Takes::kFolder:
      return "_fettle_files -d";
    case Takes::kUser:
      return "_fettle_words \"$(compgen -u)\"";
    case Takes::kWord:
      return fmt::format("_fettle_words '{}'", fmt::join(option.words, " "));
    default:
      return ":";
  }
}

std::string bash_values(const CommandInfo& command) {
  std::string out;
  for (const OptionInfo& option : command.options) {
    if (option.takes == Takes::kNothing) continue;
    for (const std::string& name : option.names) {
      out += fmt::format("    '{} {}') {}; return ;;\n", command.name, name, bash_action(option));
    }
  }
  return out;
}

constexpr std::string_view kBashBegin = R"(
_fettle_words() {
  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_fettle_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}

# The word that is completed, and the flag whose value it is, also as --flag=value, which bash cuts
# at the sign.
_fettle() {
  local cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
  COMPREPLY=()
  if [ "$cur" = = ]; then
    cur=""
  elif [ "$flag" = = ]; then
    flag=${COMP_WORDS[COMP_CWORD - 2]}
  fi
)";

// ---- zsh --------------------------------------------------------------------------------------

std::string zsh_action(const OptionInfo& option) {
  switch (option.takes) {
    case Takes::kFile:
      return "_files";
    case Takes::kFolder:
      return "_files -/";
    case Takes::kUser:
      return "_users";
    case Takes::kWord:
      return fmt::format("({})", fmt::join(option.words, " "));
    default:
      return " ";
  }
}

std::string zsh_option(const OptionInfo& option) {
  const std::string value =
      option.takes == Takes::kNothing
          ? ""
          : fmt::format(":{}:{}", with_escapes(option.value, ":"), zsh_action(option));
  if (option.names.empty()) return fmt::format(" \\\n        '*{}'", quoted(value));
  std::string out;
  for (const std::string& name : option.names) {
    out += fmt::format(" \\\n        '{}{}[{}]{}'", name, value.empty() ? "" : "=",
                       quoted(with_escapes(option.prose, "[]:\\")), quoted(value));
  }
  return out;
}

// A command's files stand one behind the other, and are all completed alike.
std::string zsh_options(const std::vector<OptionInfo>& options) {
  std::string out;
  bool files = false;
  for (const OptionInfo& option : options) {
    if (option.names.empty() && files) continue;
    files = files || option.names.empty();
    out += zsh_option(option);
  }
  return out;
}

// ---- fish -------------------------------------------------------------------------------------

std::string fish_value(const OptionInfo& option) {
  switch (option.takes) {
    case Takes::kNothing:
      return "";
    case Takes::kFile:
      return " -r -F";
    case Takes::kFolder:
      return " -x -a '(__fish_complete_directories)'";
    case Takes::kUser:
      return " -x -a '(__fish_complete_users)'";
    case Takes::kWord:
      return fmt::format(" -x -a '{}'", fmt::join(option.words, " "));
    case Takes::kOther:
      return " -x";
  }
  return "";
}

std::string fish_option(const OptionInfo& option) {
  std::string out;
  for (const std::string& name : option.names) {
    const bool is_long = name.starts_with("--");
    out += fmt::format(" -{} {}", is_long ? 'l' : 's', name.substr(is_long ? 2 : 1));
  }
  return fmt::format("{}{} -d '{}'", out, fish_value(option), with_escapes(option.prose, "'\\"));
}

}  // namespace

std::string bash_completion(const CommandLine& line) {
  std::string out = fmt::format("# bash completion for fettle. {}\n{}", kMade, kBashBegin);
  out += fmt::format(
      "  if [ \"$COMP_CWORD\" = 1 ]; then\n    _fettle_words '{} {}'\n    return\n  fi\n",
      names_of(line.commands), flags_of(line.options));
  out += "  case \"$command $flag\" in\n";
  for (const CommandInfo& command : line.commands) out += bash_values(command);
  out += "  esac\n  case $command in\n";
  for (const CommandInfo& command : line.commands) {
    const std::string flags = fmt::format("_fettle_words '{}'", flags_of(command.options));
    out += takes_files(command)
               ? fmt::format("    {}) if [[ $cur == -* ]]; then {}; else _fettle_files -f; fi ;;\n",
                             command.name, flags)
               : fmt::format("    {}) {} ;;\n", command.name, flags);
  }
  return out + "  esac\n}\n\ncomplete -F _fettle fettle\n";
}

std::string zsh_completion(const CommandLine& line) {
  std::string out = fmt::format("#compdef fettle\n# {}\n\n", kMade);
  out +=
      "_fettle() {\n  local context state state_descr line curcontext=$curcontext\n"
      "  typeset -A opt_args\n  local -a commands=(\n";
  for (const CommandInfo& command : line.commands) {
    out += fmt::format("    '{}:{}'\n", command.name, quoted(with_escapes(command.prose, ":\\")));
  }
  out += "  )\n  _arguments -C";
  out += zsh_options(line.options);
  out +=
      " \\\n        '1:command:->command' '*::argument:->argument'\n"
      "  case $state in\n    command) _describe command commands ;;\n    argument)\n"
      "      curcontext=${curcontext%:*:*}:fettle-$line[1]:\n      case $line[1] in\n";
  for (const CommandInfo& command : line.commands) {
    out += fmt::format("      {}) _arguments{} ;;\n", command.name, zsh_options(command.options));
  }
  return out +
         "      esac ;;\n  esac\n}\n\n"
         "if [ \"$funcstack[1]\" = _fettle ]; then _fettle \"$@\"; else compdef _fettle fettle; "
         "fi\n";
}

std::string fish_completion(const CommandLine& line) {
  std::string out = fmt::format("# fish completion for fettle. {}\ncomplete -c fettle -f\n", kMade);
  for (const OptionInfo& option : line.options) {
    out += fmt::format("complete -c fettle -n __fish_use_subcommand{}\n", fish_option(option));
  }
  for (const CommandInfo& command : line.commands) {
    out += fmt::format("complete -c fettle -n __fish_use_subcommand -a {} -d '{}'\n", command.name,
                       with_escapes(command.prose, "'\\"));
    const std::string where =
        fmt::format("complete -c fettle -n '__fish_seen_subcommand_from {}'", command.name);
    for (const OptionInfo& option : command.options) {
      if (!option.names.empty()) out += where + fish_option(option) + "\n";
    }
    if (takes_files(command)) out += where + " -F\n";
  }
  return out;
}

}  // namespace fettle
