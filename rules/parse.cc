#include "rules/parse.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <fmt/format.h>

#include "rules/toml_reader.h"

namespace fettle {
namespace {

void parse_defaults(TomlReader& reader, const toml::node& node, Defaults* out) {
  const toml::table* table = node.as_table();
  if (!table) return reader.refuse_value("defaults", node, "a table: [defaults]");
  reader.check_keys(*table, "defaults", "key of [defaults]");
  if (const toml::node* value = table->get("verdict")) {
    if (const auto verdict = reader.accept_or_drop("verdict", *value)) out->verdict = *verdict;
  }
  if (const toml::node* value = table->get("bypass-mark")) {
    out->bypass_mark = reader.masked("bypass-mark", *value);
    if (out->bypass_mark && out->bypass_mark->value == 0) {
      reader.refuse_value("bypass-mark", *value,
                          "a value with a bit that is set, which other packets do not bear");
    }
  }
  if (const toml::node* value = table->get("malformed")) {
    if (const auto verdict = reader.accept_or_drop("malformed", *value)) out->malformed = *verdict;
  }
  if (const toml::node* value = table->get("overload")) {
    out->overload = reader.accept_or_drop("overload", *value);
  }
}

void parse_tables(TomlReader& reader, const toml::node& node, std::vector<Table>* out) {
  const toml::table* tables = node.as_table();
  if (!tables) return reader.refuse_value("table", node, "tables with names: [table.NAME]");
  for (const auto& [name, value] : in_file_order(*tables)) {
    if (const toml::table* table = value->as_table()) {
      out->push_back(parse_table(reader, *name, *table));
    } else {
      reader.refuse(name->source(), fmt::format("table: found {} = {}, expected tables with names: "
                                                "[table.NAME]",
                                                name->str(), TomlReader::describe(*value)));
    }
  }
}

void parse_rule_match(TomlReader& reader, const toml::table& table, Rule* rule) {
  const toml::node* match = table.get("match");
  if (!match) {
    reader.refuse(
        table.source(),
        fmt::format("\"{}\" has no `match`; write match = {{}} for every packet", rule->name));
  } else if (const toml::table* keys = match->as_table()) {
    rule->match = parse_match(reader, *keys);
  } else {
    reader.refuse_value("match", *match, "a table of match keys, or {} for every packet");
  }
}

void parse_rule_steps(TomlReader& reader, const toml::table& table, Rule* rule) {
  const toml::node* steps = table.get("steps");
  if (!steps) {
    return reader.refuse(table.source(),
                         fmt::format("\"{}\" has no `steps`; write steps = [] for a rule "
                                     "that only counts",
                                     rule->name));
  }
  const toml::array* list = steps->as_array();
  if (!list) {
    return reader.refuse_value("steps", *steps, "a list of steps, like [\"accept\"]");
  }
  for (const toml::node& node : *list) {
    if (auto step = parse_step(reader, node)) rule->steps.push_back(std::move(*step));
  }
}

Rule parse_rule(TomlReader& reader, const toml::table& table, size_t number) {
  Rule rule;
  rule.name = fmt::format("rule {}", number);
  rule.where = TomlReader::location(table.source());
  reader.check_keys(table, "rule", "key of a rule");
  if (const toml::node* name = table.get("name")) {
    if (auto text = reader.string("name", *name, "a name, in quotes")) {
      const bool odd =
          std::ranges::any_of(*text, [](char c) { return static_cast<unsigned char>(c) < ' '; });
      if (text->empty() || odd) {
        reader.refuse_value("name", *name,
                            "a name of at least one character, all of them printable");
      } else {
        rule.name = std::move(*text);
        rule.where = TomlReader::location(name->source());
      }
    }
  }
  parse_rule_match(reader, table, &rule);
  parse_rule_steps(reader, table, &rule);
  if (const toml::node* value = table.get("on-miss")) {
    rule.on_miss = reader.accept_or_drop("on-miss", *value);
  }
  if (const toml::node* value = table.get("must-change")) {
    rule.must_change = reader.boolean("must-change", *value).value_or(false);
  }
  return rule;
}

void refuse_same_names(TomlReader& reader, const std::vector<Rule>& rules) {
  std::vector<const Rule*> sorted;
  for (const Rule& rule : rules) sorted.push_back(&rule);
  std::ranges::stable_sort(sorted, {},
                           [](const Rule* rule) -> std::string_view { return rule->name; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i]->name != sorted[i - 1]->name) continue;
    reader.parsed().diagnostics.push_back(
        {.severity = Severity::kError,
         .where = sorted[i]->where,
         .width = static_cast<uint32_t>(sorted[i]->name.size() + 2),
         .message =
             fmt::format("a second rule is called \"{}\", the first is in line {}; expected names "
                         "that tell the counters apart",
                         sorted[i]->name, sorted[i - 1]->where.line)});
  }
}

void parse_rules_list(TomlReader& reader, const toml::node& node, std::vector<Rule>* out) {
  const toml::array* list = node.as_array();
  if (!list)
    return reader.refuse_value("rule", node, "a list of rules: [[rule]], with two brackets");
  for (const toml::node& each : *list) {
    if (const toml::table* table = each.as_table()) {
      out->push_back(parse_rule(reader, *table, out->size() + 1));
    } else {
      reader.refuse_value("rule", each, "a table: [[rule]]");
    }
  }
  refuse_same_names(reader, *out);
}

void parse_file(TomlReader& reader, const toml::table& file) {
  reader.check_keys(file, "file", "key");
  RuleSet& set = reader.parsed().set;
  if (const toml::node* node = file.get("defaults")) parse_defaults(reader, *node, &set.defaults);
  if (const toml::node* node = file.get("table")) parse_tables(reader, *node, &set.tables);
  if (const toml::node* node = file.get("rule")) parse_rules_list(reader, *node, &set.rules);
  if (const toml::node* node = file.get("test")) parse_tests(reader, *node, &reader.parsed().tests);
}

}  // namespace

bool Parsed::ok() const {
  return std::ranges::none_of(diagnostics,
                              [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

Parsed parse_rules(std::string_view text, const std::string& name) {
  Parsed out;
  out.sources = {.names = {name}, .texts = {std::string(text)}};
  out.set.files = {name};
  TomlReader reader(out);
  const toml::parse_result result = toml::parse(text, name);
  if (!result) {
    reader.refuse(result.error().source(), std::string(result.error().description()));
    return out;
  }
  parse_file(reader, result.table());
  std::ranges::stable_sort(out.diagnostics, [](const Diagnostic& a, const Diagnostic& b) {
    if (a.where.file != b.where.file) return a.where.file < b.where.file;
    if (a.where.line != b.where.line) return a.where.line < b.where.line;
    return a.where.column < b.where.column;
  });
  return out;
}

Result<Parsed> parse_rule_file(const std::string& path) {
  if (path == "-") {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    return parse_rules(text, "standard input");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  std::error_code ignored;
  if (!file.is_open() || file.bad() || std::filesystem::is_directory(path, ignored)) {
    return fail(ErrorCode::kNoInput, fmt::format("cannot read the rule file {}: {}", path,
                                                 std::strerror(errno ? errno : EISDIR)));
  }
  return parse_rules(text, path);
}

}  // namespace fettle
