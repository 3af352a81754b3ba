// The step `strip`.
#include "rules/toml_reader.h"

namespace fettle {

std::optional<Step> parse_strip(TomlReader& reader, const toml::node& node, Location where) {
  if (node.is_integer()) {
    const auto count = reader.integer("strip", node, 1, 65535);
    if (!count) return std::nullopt;
    return Step{StripStep{StripStep::What::kTrailing, static_cast<uint32_t>(*count)}, where};
  }
  const auto* text = node.as_string();
  if (const Word* word = text ? find_word(WordGroup::kStripped, **text) : nullptr) {
    return Step{StripStep{static_cast<StripStep::What>(word->number), 0}, where};
  }
  reader.refuse_value("strip", node,
                      "\"tcp-timestamps\", \"ip-options\", or a number of bytes from 1 to 65535");
  return std::nullopt;
}

}  // namespace fettle
