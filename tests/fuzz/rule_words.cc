#include "tests/fuzz/rule_words.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <string_view>

#include "rules/vocabulary.h"

namespace fettle::fuzz {
namespace {

void add_keys(const Match& match, std::set<Key>* found) {
  for (const Condition& condition : match.all_of) found->insert(condition.key);
  for (const Match& none : match.none_of) add_keys(none, found);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with('#')) out.push_back(line);
  }
  return out;
}

// A word of its own, set to something, from there on.
size_t find_assigned(std::string_view line, std::string_view name, size_t from = 0) {
  const std::string assigned = std::string(name) + " = ";
  for (size_t at = line.find(assigned, from); at != line.npos; at = line.find(assigned, at + 1)) {
    if (at == 0 || std::string_view(" {[").find(line[at - 1]) != std::string_view::npos) return at;
  }
  return line.npos;
}

bool uses_step(const std::vector<std::string>& lines, const StepInfo& step) {
  const std::string quoted = '"' + std::string(step.name) + '"';
  const bool is_word = step.form.starts_with('"');
  return std::ranges::any_of(lines, [&](const std::string& line) {
    if (!is_word) return find_assigned(line, step.name) != line.npos;
    return line.starts_with("steps") && line.find(quoted) != line.npos;
  });
}

bool uses_parameter(const std::vector<std::string>& lines, const ParameterInfo& parameter) {
  return std::ranges::any_of(lines, [&](const std::string& line) {
    const size_t owner = find_assigned(line, parameter.owner);
    return owner != line.npos && find_assigned(line, parameter.name, owner + 1) != line.npos;
  });
}

}  // namespace

std::vector<std::string> missing_words(const RuleSet& set, const std::string& text) {
  std::vector<std::string> out;
  std::set<Key> keys;
  for (const Rule& rule : set.rules) add_keys(rule.match, &keys);
  for (const KeyInfo& key : match_keys()) {
    if (!keys.contains(key.key)) out.push_back("match key " + std::string(key.name));
  }
  const std::vector<std::string> lines = lines_of(text);
  for (const StepInfo& step : steps()) {
    if (!uses_step(lines, step)) out.push_back("step " + std::string(step.name));
  }
  for (const ParameterInfo& parameter : parameters()) {
    const bool of_rules = find_step(parameter.owner) != nullptr || find_key(parameter.owner);
    if (of_rules && !uses_parameter(lines, parameter)) {
      out.push_back("parameter " + std::string(parameter.owner) + '.' +
                    std::string(parameter.name));
    }
  }
  return out;
}

}  // namespace fettle::fuzz
