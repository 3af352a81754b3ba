// pcap-filter expressions of the match key `filter`.
#include "rules/packet_filter.h"
#include "rules/toml_reader.h"

namespace fettle {

std::optional<Operand> parse_filter(TomlReader& reader, std::string_view key,
                                    const toml::node& node) {
  constexpr std::string_view kExpected = "a pcap-filter expression, in quotes";
  const auto text = reader.string(key, node, kExpected);
  if (!text) return std::nullopt;
  if (text->find_first_not_of(" \t\r\n") == std::string::npos ||
      text->find('\0') != std::string::npos) {
    reader.refuse_value(key, node, kExpected);
    return std::nullopt;
  }
  std::string why;
  if (auto program = compile_filter(*text, &why)) return FilterMatch{*text, std::move(*program)};
  reader.refuse(node.source(), std::string(key) + ": " + why);
  return std::nullopt;
}

}  // namespace fettle
