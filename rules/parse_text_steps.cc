// Steps that may search for what they change: translate, replace.
#include <fmt/format.h>

#include "rules/toml_reader.h"

namespace fettle {
namespace {

// at = N or "anywhere"
bool parse_place(TomlReader& reader, const toml::table& table, TranslateStep* out) {
  const toml::node* node = table.get("at");
  if (node && node->is_string()) {
    out->anywhere = **node->as_string() == "anywhere";
    if (!out->anywhere) reader.refuse_value("at", *node, "a number 0-65535, or \"anywhere\"");
    return out->anywhere;
  }
  const auto at = reader.offset(table, "translate");
  out->at = at.value_or(0);
  return at.has_value();
}

// What is searched for, or is text, is in the payload and has no other place to count from.
bool check_origin(TomlReader& reader, const toml::table& table, const TranslateStep& step) {
  if (step.from == Origin::kPayload) return true;
  if (!step.anywhere && step.form == AddressForm::kBinary) return true;
  reader.refuse_value("from", *table.get("from"),
                      step.anywhere ? "\"payload\": at = \"anywhere\" searches nothing else"
                                    : "\"payload\": an address as text stands nowhere else");
  return false;
}

}  // namespace

std::optional<Step> parse_translate(TomlReader& reader, const toml::table& table,
                                    const toml::node& node, Location where) {
  TranslateStep step;
  step.table_where = TomlReader::location(node.source());
  const auto name = reader.string("translate", node, "the name of a table, in quotes");
  const bool placed = parse_place(reader, table, &step);
  const auto from = reader.origin(table);
  std::optional<bool> reverse = false;
  if (const toml::node* value = table.get("reverse")) reverse = reader.boolean("reverse", *value);
  bool form = true;
  if (const toml::node* value = table.get("as")) {
    const auto word = reader.word("as", *value, WordGroup::kForm);
    form = word.has_value();
    if (form) step.form = static_cast<AddressForm>((*word)->number);
  }
  if (!name || !placed || !from || !reverse || !form) return std::nullopt;
  step.table = *name;
  step.from = *from;
  step.reverse = *reverse;
  if (!check_origin(reader, table, step)) return std::nullopt;
  std::optional<Step> out;
  out.emplace(Step{std::move(step), where});
  return out;
}

std::optional<Step> parse_replace(TomlReader& reader, const toml::table& table,
                                  const toml::node& node, Location where) {
  std::optional<Operand> pattern;
  if (node.is_string()) {
    pattern = parse_pattern(reader, "replace", node);
  } else {
    reader.refuse_value("replace", node, "a regular expression in single quotes");
  }
  const toml::node* with_node = table.get("with");
  if (!with_node) {
    reader.refuse(table.source(), "replace needs `with`, the text to stand there instead");
    return std::nullopt;
  }
  const auto with = reader.string("with", *with_node, "text, in quotes");
  std::optional<bool> sensitive = true;
  if (const toml::node* value = table.get("case")) sensitive = reader.boolean("case", *value);
  if (!pattern || !with || !sensitive) return std::nullopt;
  std::optional<Step> out;
  ReplaceStep step{.pattern = std::get<PatternMatch>(*pattern),
                   .with = *with,
                   .with_where = TomlReader::location(with_node->source())};
  step.pattern.ignore_case = !*sensitive;
  step.pattern.only_sifts = true;
  out.emplace(Step{std::move(step), where});
  return out;
}

}  // namespace fettle
