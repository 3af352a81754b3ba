// The command line as CLI11 has it, as plain data: what manual pages and shells' completions are
// made of, so that they say what --help says.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace fettle {

struct OptionInfo {
  enum class Takes { kNothing, kFile, kFolder, kUser, kWord, kOther };

  std::vector<std::string> names;  // "-h", "--help"; empty: it stands by itself
  std::string value;               // "FILE", "1-16", "accept|drop"; empty: it takes none
  std::string fallback;            // what holds where it is not given; may be empty
  std::string prose;
  Takes takes = Takes::kNothing;
  std::vector<std::string> words;  // of kWord
  bool required = false;
};

struct CommandInfo {
  std::string name;
  std::string prose;
  std::string footer;  // as --help shows it, in lines
  std::vector<OptionInfo> options;
};

struct CommandLine {
  std::string prose;
  std::vector<OptionInfo> options;
  std::vector<CommandInfo> commands;  // as --help lists them
};

// `app` is the whole application, its commands added.
CommandLine command_line(const CLI::App& app);

// fettle(1) in Markdown, with the headings of a manual page.
std::string commands_markdown(const CommandLine& line);

}  // namespace fettle
