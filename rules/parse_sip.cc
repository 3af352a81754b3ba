// The steps `sip` and `sdp`.
#include "rules/toml_reader.h"

namespace fettle {

std::optional<Step> parse_sip(TomlReader& reader, const StepInfo& info, const toml::table& table,
                              const toml::node& node, Location where) {
  const auto name = reader.string(info.name, node, "the name of a table, in quotes");
  std::optional<bool> reverse = false;
  if (const toml::node* value = table.get("reverse")) reverse = reader.boolean("reverse", *value);
  if (!name || !reverse) return std::nullopt;
  return Step{SipStep{.table = *name,
                      .reverse = *reverse,
                      .sdp_only = info.kind == StepKind::kSdp,
                      .table_where = TomlReader::location(node.source())},
              where};
}

}  // namespace fettle
