// A refusal of a rule file (or a warning about it), with its place, and how a person sees it:
//
//   rules.toml:12:19: error: unknown match key "dst-prot"; did you mean "dst-port"?
//      12 | match = { dst-prot = 1331 }
//         |           ^~~~~~~~
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rules/rule.h"

namespace fettle {

enum class Severity : uint8_t { kWarning, kError };

struct Diagnostic {
  Severity severity = Severity::kError;
  Location where;       // line 0: the file as a whole
  uint32_t width = 1;   // columns to underline
  std::string message;  // what was found, what was expected, no trailing dot
};

// The text of the files that a rule set was read from, by Location::file, for the excerpts.
struct Sources {
  std::vector<std::string> names;
  std::vector<std::string> texts;
};

std::string render(const Diagnostic& diagnostic, const Sources& sources);
std::string render(const std::vector<Diagnostic>& diagnostics, const Sources& sources);

// The candidate nearest to `word` by edit distance, where near enough to be a slip; else "".
std::string_view nearest_word(std::string_view word,
                              const std::vector<std::string_view>& candidates);

}  // namespace fettle
