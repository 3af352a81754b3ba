// Scripts with which a shell completes fettle's commands, flags and their values. None needs more
// than its shell: not the package bash-completion, say.
#pragma once

#include <string>

#include "workers/command_line.h"

namespace fettle {

std::string bash_completion(const CommandLine& line);
std::string zsh_completion(const CommandLine& line);
std::string fish_completion(const CommandLine& line);

}  // namespace fettle
