// Words of a command line: those of iptables-save apart, and any together for a shell.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fettle {

// As iptables-save writes them (libxtables: xtables_save_string): blanks between words, a word with
// odd characters in double quotes, in which a backslash stands before a quote or backslash.
std::vector<std::string> split_words(std::string_view line);

// For a POSIX shell: as it is where that is safe, in single quotes otherwise.
std::string shell_word(std::string_view word);
std::string shell_words(const std::vector<std::string>& words);

}  // namespace fettle
