// The steps `length-field` and `content-length`.
#include <algorithm>
#include <initializer_list>

#include "rules/toml_reader.h"

namespace fettle {
namespace {

// One of few numbers; `otherwise` where the key is not there. Nothing where it is another.
std::optional<uint8_t> one_of(TomlReader& reader, const toml::table& table, std::string_view key,
                              std::initializer_list<int64_t> numbers, std::string_view expected,
                              uint8_t otherwise) {
  const toml::node* node = table.get(key);
  if (!node) return otherwise;
  const auto* number = node->as_integer();
  if (number && std::ranges::find(numbers, **number) != numbers.end()) {
    return static_cast<uint8_t>(**number);
  }
  reader.refuse_value(key, *node, expected);
  return std::nullopt;
}

}  // namespace

std::optional<Step> parse_length_field(TomlReader& reader, const toml::node& node, Location where) {
  const toml::table* table = node.as_table();
  if (!table) {
    reader.refuse_value("length-field", node, "a table like { at = 2, size = 2 }");
    return std::nullopt;
  }
  reader.check_keys(*table, "length-field", "key of length-field");
  const auto at = reader.offset(*table, "length-field");
  if (!table->get("size")) {
    reader.refuse(table->source(), "length-field needs `size`, the bytes of the field: 1, 2 or 4");
    return std::nullopt;
  }
  const auto size = one_of(reader, *table, "size", {1, 2, 4}, "1, 2 or 4 bytes", 1);
  const auto unit = one_of(reader, *table, "unit", {1, 2, 4, 8}, "1, 2, 4 or 8 bytes", 1);
  bool little = false;
  if (const toml::node* endian = table->get("endian")) {
    const auto word = reader.word("endian", *endian, WordGroup::kEndian);
    if (!word) return std::nullopt;
    little = (*word)->number == 1;
  }
  if (!at || !size || !unit) return std::nullopt;
  return Step{LengthFieldStep{.at = *at, .size = *size, .unit = *unit, .little_endian = little},
              where};
}

std::optional<Step> parse_content_length(TomlReader& reader, const toml::node& node,
                                         Location where) {
  const auto* wanted = node.as_boolean();
  if (wanted && **wanted) return Step{ContentLengthStep{}, where};
  reader.refuse_value("content-length", node, "true");
  return std::nullopt;
}

}  // namespace fettle
