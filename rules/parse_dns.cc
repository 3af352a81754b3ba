// The step `dns`.
#include "rules/toml_reader.h"

namespace fettle {

std::optional<Step> parse_dns(TomlReader& reader, const toml::table& table, const toml::node& node,
                              Location where) {
  const auto name = reader.string("dns", node, "the name of a table, in quotes");
  std::optional<bool> reverse = false;
  if (const toml::node* value = table.get("reverse")) reverse = reader.boolean("reverse", *value);
  if (!name || !reverse) return std::nullopt;
  return Step{
      DnsStep{
          .table = *name, .reverse = *reverse, .table_where = TomlReader::location(node.source())},
      where};
}

}  // namespace fettle
