// The `match` table of a rule.
#include <algorithm>

#include <fmt/format.h>

#include "rules/toml_reader.h"

namespace fettle {
namespace {

std::optional<Operand> parse_prefix(TomlReader& reader, std::string_view key,
                                    const toml::node& node) {
  const auto text = reader.string(key, node, "an address or a prefix, in quotes");
  if (!text) return std::nullopt;
  std::string expected;
  if (const auto prefix = Prefix::parse(*text, &expected)) return *prefix;
  reader.refuse_value(key, node, expected);
  return std::nullopt;
}

std::optional<Operand> parse_interface(TomlReader& reader, std::string_view key,
                                       const toml::node& node) {
  constexpr size_t kLongestName = sizeof(InterfaceName) - 1;
  const auto text = reader.string(key, node, "an interface's name, in quotes");
  if (!text) return std::nullopt;
  std::string_view name = *text;
  const bool any_ending = name.ends_with('+') || name.ends_with('*');
  if (any_ending) name.remove_suffix(1);
  const bool odd =
      std::ranges::any_of(name, [](char c) { return c == '/' || c <= ' ' || c > '~'; });
  if (name.size() > kLongestName || (name.empty() && !any_ending) || odd) {
    reader.refuse_value(key, node,
                        "an interface's name of 1 to 15 characters, or the beginning of one "
                        "and + or *");
    return std::nullopt;
  }
  InterfacePattern out{.name = interface_name(name), .mask = {}};
  const size_t counts = any_ending ? name.size() : out.mask.size();
  std::fill_n(out.mask.begin(), counts, static_cast<char>(0xff));
  return out;
}

std::optional<Operand> parse_tcp_flags(TomlReader& reader, std::string_view key,
                                       const toml::node& node) {
  constexpr std::string_view kExpected =
      "flags of fin, syn, rst, psh, ack, urg, ece, cwr, none, all with commas between, and behind "
      "a slash "
      "those that are looked at, like \"syn/syn,ack\"";
  const auto text = reader.string(key, node, kExpected);
  if (!text) return std::nullopt;
  const std::string_view words = *text;
  const size_t slash = words.find('/');
  const auto set = parse_flags(words.substr(0, slash));
  const auto looked_at =
      slash == std::string_view::npos ? set : parse_flags(words.substr(slash + 1));
  if (set && looked_at && (*set & ~*looked_at) == 0) return MaskedValue{*set, *looked_at};
  reader.refuse_value(
      key, node,
      set && looked_at ? "only flags before the slash that stand behind it, too" : kExpected);
  return std::nullopt;
}

std::optional<Operand> parse_fragment(TomlReader& reader, std::string_view key,
                                      const toml::node& node) {
  if (const auto* value = node.as_boolean())
    return **value ? FragmentKind::kAny : FragmentKind::kNone;
  const auto* text = node.as_string();
  const Word* word = text ? find_word(WordGroup::kFragment, **text) : nullptr;
  if (word) return static_cast<FragmentKind>(word->number);
  reader.refuse_value(key, node, "true, false, \"first\" or \"later\"");
  return std::nullopt;
}

std::optional<Operand> parse_icmp_type(TomlReader& reader, std::string_view key,
                                       const toml::node& node) {
  IcmpMatch out;
  if (const auto* text = node.as_string()) {
    if (const Word* word = find_word(WordGroup::kIcmpType, **text)) {
      const auto exactly = [](int number) {
        return Range{static_cast<uint32_t>(number), static_cast<uint32_t>(number)};
      };
      if (word->number >= 0) out.icmp = exactly(word->number);
      if (word->number6 >= 0) out.icmpv6 = exactly(word->number6);
      return out;
    }
    const std::string_view words = **text;
    const size_t slash = words.find('/');
    if (slash != std::string_view::npos) {
      const auto type = parse_number(words.substr(0, slash));
      const auto code = parse_number(words.substr(slash + 1));
      if (!type || !code || *type > 255 || *code > 255) {
        reader.refuse_value(key, node, "\"type/code\" with numbers from 0 to 255");
        return std::nullopt;
      }
      out.icmp = out.icmpv6 = Range{*type, *type};
      out.code = {*code, *code};
      return out;
    }
  }
  const auto types = reader.range(key, node, 255, WordGroup::kIcmpType);
  if (!types) return std::nullopt;
  out.icmp = out.icmpv6 = *types;
  return out;
}

std::optional<Operand> parse_bytes(TomlReader& reader, std::string_view key,
                                   const toml::node& node) {
  const toml::table* table = node.as_table();
  if (!table) {
    reader.refuse_value(key, node, "a table like { at = 0, hex = \"4b41\" }");
    return std::nullopt;
  }
  reader.check_keys(*table, "bytes", "key of bytes");
  const auto from = reader.origin(*table);
  const auto at = reader.offset(*table, "bytes");
  const toml::node* hex = table->get("hex");
  if (!hex) reader.refuse(table->source(), "bytes needs `hex`, the bytes that are to stand there");
  auto value = hex ? reader.hex("hex", *hex) : std::nullopt;
  const toml::node* mask_node = table->get("mask");
  auto mask = mask_node ? reader.hex("mask", *mask_node) : std::vector<std::byte>();
  if (!from || !at || !value || !mask) return std::nullopt;
  if (!mask_node) mask->assign(value->size(), std::byte{0xff});
  if (mask->size() != value->size()) {
    reader.refuse_value("mask", *mask_node,
                        fmt::format("as many bytes as hex has, {}", value->size()));
    return std::nullopt;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    if (((*value)[i] & ~(*mask)[i]) == std::byte{0}) continue;
    reader.refuse_value("hex", *hex,
                        fmt::format("no bits outside of the mask; byte {} has some", i));
    return std::nullopt;
  }
  return BytesMatch{*from, *at, std::move(*value), std::move(*mask)};
}

std::optional<Operand> parse_family(TomlReader& reader, std::string_view key,
                                    const toml::node& node) {
  const auto word = reader.word(key, node, WordGroup::kFamily);
  if (!word) return std::nullopt;
  return static_cast<Family>((*word)->number);
}

std::optional<Operand> parse_operand(TomlReader& reader, Key key, const toml::node& node) {
  const std::string_view name = name_of(key);
  switch (key) {
    case Key::kFamily:
      return parse_family(reader, name, node);
    case Key::kProtocol:
      return reader.range(name, node, 255, WordGroup::kProtocol);
    case Key::kSrc:
    case Key::kDst:
      return parse_prefix(reader, name, node);
    case Key::kSrcPort:
    case Key::kDstPort:
    case Key::kPort:
    case Key::kLength:
      return reader.range(name, node, 65535);
    case Key::kHook: {
      const auto word = reader.word(name, node, WordGroup::kHook);
      if (!word) return std::nullopt;
      return Range{static_cast<uint32_t>((*word)->number), static_cast<uint32_t>((*word)->number)};
    }
    case Key::kIn:
    case Key::kOut:
      return parse_interface(reader, name, node);
    case Key::kMark:
      return reader.masked(name, node);
    case Key::kTtl:
      return reader.range(name, node, 255);
    case Key::kDscp:
      return reader.range(name, node, 63, WordGroup::kDscp);
    case Key::kTcpFlags:
      return parse_tcp_flags(reader, name, node);
    case Key::kFragment:
      return parse_fragment(reader, name, node);
    case Key::kIcmpType:
      return parse_icmp_type(reader, name, node);
    case Key::kBytes:
      return parse_bytes(reader, name, node);
    case Key::kPayload:
      return parse_pattern(reader, name, node);
    case Key::kFilter:
      return parse_filter(reader, name, node);
    case Key::kProbability:
      return parse_probability(reader, name, node);
  }
  return std::nullopt;
}

Match parse_level(TomlReader& reader, const toml::table& table, bool inside_not);

void parse_not(TomlReader& reader, const toml::node& node, bool inside_not, Match* out) {
  if (inside_not) {
    reader.refuse(node.source(),
                  "not: found inside another not, expected match keys; write what is to "
                  "hold outside of it");
    return;
  }
  const auto add = [&](const toml::node& part) {
    if (const toml::table* table = part.as_table()) {
      out->none_of.push_back(parse_level(reader, *table, true));
    } else {
      reader.refuse_value("not", part, "a table of match keys, or a list of such tables");
    }
  };
  if (const toml::array* list = node.as_array()) {
    for (const toml::node& part : *list) add(part);
  } else {
    add(node);
  }
}

Match parse_level(TomlReader& reader, const toml::table& table, bool inside_not) {
  Match out;
  for (const auto& [key, node] : in_file_order(table)) {
    if (key->str() == "not") {
      parse_not(reader, *node, inside_not, &out);
      continue;
    }
    const KeyInfo* info = find_key(key->str());
    if (!info) {
      std::vector<std::string_view> known;
      for (const KeyInfo& each : match_keys()) known.push_back(each.name);
      known.push_back("not");
      reader.refuse_unknown("match key", *key, known);
      continue;
    }
    Condition condition{
        .key = info->key, .any_of = {}, .where = TomlReader::location(key->source())};
    const auto add = [&](const toml::node& part) {
      if (auto operand = parse_operand(reader, info->key, part)) {
        condition.any_of.push_back(std::move(*operand));
      }
    };
    if (const toml::array* list = node->as_array()) {
      if (list->empty()) {
        reader.refuse(node->source(),
                      fmt::format("{}: found an empty list, which nothing matches; expected "
                                  "at least one value, or no such key",
                                  info->name));
      }
      for (const toml::node& part : *list) add(part);
    } else {
      add(*node);
    }
    out.all_of.push_back(std::move(condition));
  }
  return out;
}

}  // namespace

Match parse_match(TomlReader& reader, const toml::table& table) {
  return parse_level(reader, table, false);
}

}  // namespace fettle
