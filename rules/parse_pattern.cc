// Patterns: regular expressions of match keys. What makes one right, Vectorscan says when the set
// is compiled.
#include <fmt/format.h>

#include "rules/toml_reader.h"

namespace fettle {

std::optional<Operand> parse_pattern(TomlReader& reader, std::string_view key,
                                     const toml::node& node) {
  constexpr std::string_view kExpected =
      "a regular expression in single quotes, or { pattern = '...', case = false }";
  const toml::table* table = node.as_table();
  const toml::node* text_node = &node;
  PatternMatch out;
  if (table) {
    reader.check_keys(*table, key, "key of payload");
    text_node = table->get("pattern");
    if (!text_node) {
      reader.refuse(table->source(), "payload needs `pattern`, a regular expression");
      return std::nullopt;
    }
    if (const toml::node* sensitive = table->get("case")) {
      const auto value = reader.boolean("case", *sensitive);
      if (!value) return std::nullopt;
      out.ignore_case = !*value;
    }
  }
  const auto text = reader.string(table ? "pattern" : key, *text_node, kExpected);
  if (!text) return std::nullopt;
  if (text->empty() || text->find('\0') != std::string::npos) {
    reader.refuse_value(key, *text_node,
                        text->empty() ? "a regular expression of at least one character"
                                      : "a zero byte written as \\x00");
    return std::nullopt;
  }
  out.pattern = *text;
  out.where = TomlReader::location(text_node->source());
  return out;
}

}  // namespace fettle
