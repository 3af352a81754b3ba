// A rule set to a program. What needs the whole set is refused here: tables that are not there or
// cannot be reversed, steps that can never be applied.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "rules/diagnostic.h"
#include "rules/parse.h"
#include "rules/program.h"

namespace fettle {

// Adds errors and warnings; nothing where there was an error.
std::optional<Program> compile(const RuleSet& set, std::vector<Diagnostic>* diagnostics);

struct LoadedRules {
  Parsed parsed;
  Program program;
};
// Reads, parses and compiles a file ("-": standard input). On refusal the error's message is the
// rendered diagnostics; on success *warnings (may be null) holds rendered warnings, or is empty.
Result<LoadedRules> load_rules(const std::string& path, std::string* warnings = nullptr);
// The same for those who need the program only.
Result<Program> load_program(const std::string& path, std::string* warnings = nullptr);

}  // namespace fettle
