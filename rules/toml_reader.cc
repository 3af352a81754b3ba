#include "rules/toml_reader.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fettle {
namespace {

constexpr size_t kMostHexBytes = 65535;
constexpr size_t kLongestQuote = 60;

std::string quoted_list(const std::vector<std::string_view>& names) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    out += fmt::format("{}\"{}\"", i == 0 ? "" : i + 1 == names.size() ? " or " : ", ", names[i]);
  }
  return out;
}

std::string suggestion(std::string_view found, const std::vector<std::string_view>& known) {
  const std::string_view nearest = nearest_word(found, known);
  return nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<uint32_t> parse_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<uint32_t> parse_flags(std::string_view names) {
  uint32_t out = 0;
  for (size_t begin = 0; begin <= names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    const Word* word = find_word(WordGroup::kTcpFlag, names.substr(begin, end - begin));
    if (!word) return std::nullopt;
    out |= static_cast<uint32_t>(word->number);
    begin = end + 1;
  }
  return out;
}

std::vector<TomlEntry> in_file_order(const toml::table& table) {
  std::vector<TomlEntry> out;
  for (const auto& [key, node] : table) out.push_back({&key, &node});
  std::ranges::stable_sort(out, [](const TomlEntry& a, const TomlEntry& b) {
    const auto& left = a.key->source().begin;
    const auto& right = b.key->source().begin;
    return left.line != right.line ? left.line < right.line : left.column < right.column;
  });
  return out;
}

Location TomlReader::location(const toml::source_region& where) {
  return {.file = 0, .line = where.begin.line, .column = where.begin.column};
}

void TomlReader::refuse(const toml::source_region& where, std::string message) {
  const bool one_line = where.begin.line == where.end.line && where.end.column > where.begin.column;
  parsed_.diagnostics.push_back({.severity = Severity::kError,
                                 .where = location(where),
                                 .width = one_line ? where.end.column - where.begin.column : 1,
                                 .message = std::move(message)});
}

std::string TomlReader::describe(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string: {
      const std::string& text = **node.as_string();
      return text.size() <= kLongestQuote ? fmt::format("\"{}\"", text)
                                          : fmt::format("\"{}...\"", text.substr(0, kLongestQuote));
    }
    case toml::node_type::integer:
      return fmt::format("{}", **node.as_integer());
    case toml::node_type::boolean:
      return **node.as_boolean() ? "true" : "false";
    case toml::node_type::floating_point:
      return fmt::format("{}", **node.as_floating_point());
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    default:
      return "a date or time";
  }
}

void TomlReader::refuse_value(std::string_view key, const toml::node& node,
                              std::string_view expected) {
  refuse(node.source(), fmt::format("{}: found {}, expected {}", key, describe(node), expected));
}

void TomlReader::refuse_unknown(std::string_view kind, const toml::key& key,
                                const std::vector<std::string_view>& known) {
  const std::string hint = suggestion(key.str(), known);
  refuse(key.source(),
         fmt::format("unknown {} \"{}\"{}", kind, key.str(),
                     hint.empty() ? fmt::format(", expected {}", quoted_list(known)) : hint));
}

void TomlReader::check_keys(const toml::table& table, std::string_view owner,
                            std::string_view kind) {
  const std::vector<std::string_view> known = parameter_names(owner);
  for (const TomlEntry& entry : in_file_order(table)) {
    if (std::ranges::find(known, entry.key->str()) == known.end()) {
      refuse_unknown(kind, *entry.key, known);
    }
  }
}

std::optional<int64_t> TomlReader::integer(std::string_view key, const toml::node& node,
                                           int64_t low, int64_t high) {
  if (const auto* value = node.as_integer(); value && **value >= low && **value <= high) {
    return **value;
  }
  refuse_value(key, node, fmt::format("a number from {} to {}", low, high));
  return std::nullopt;
}

std::optional<bool> TomlReader::boolean(std::string_view key, const toml::node& node) {
  if (const auto* value = node.as_boolean()) return **value;
  refuse_value(key, node, "true or false");
  return std::nullopt;
}

std::optional<std::string> TomlReader::string(std::string_view key, const toml::node& node,
                                              std::string_view expected) {
  if (const auto* value = node.as_string()) return **value;
  refuse_value(key, node, expected);
  return std::nullopt;
}

std::optional<const Word*> TomlReader::word(std::string_view key, const toml::node& node,
                                            WordGroup group) {
  const std::vector<std::string_view> known = word_names(group);
  const auto* text = node.as_string();
  if (!text) {
    refuse_value(key, node, quoted_list(known));
    return std::nullopt;
  }
  if (const Word* found = find_word(group, **text)) return found;
  const std::string hint = suggestion(**text, known);
  refuse_value(key, node, hint.empty() ? quoted_list(known) : "a word that it knows" + hint);
  return std::nullopt;
}

std::optional<Range> TomlReader::range(std::string_view key, const toml::node& node, uint32_t high,
                                       std::optional<WordGroup> group) {
  const std::string expected = fmt::format("{}a number from 0 to {} or a range like \"{}-{}\"",
                                           group ? "a name, " : "", high, high / 2, high);
  if (const auto* value = node.as_integer()) {
    if (**value >= 0 && **value <= high) {
      const auto number = static_cast<uint32_t>(**value);
      return Range{number, number};
    }
  } else if (const auto* text = node.as_string()) {
    const std::string_view words = **text;
    if (group) {
      if (const Word* found = find_word(*group, words); found && found->number >= 0) {
        return Range{static_cast<uint32_t>(found->number), static_cast<uint32_t>(found->number)};
      }
      if (const std::string hint = suggestion(words, word_names(*group)); !hint.empty()) {
        refuse_value(key, node, expected + hint);
        return std::nullopt;
      }
    }
    const size_t dash = words.find('-');
    const auto low = parse_number(words.substr(0, dash));
    const auto top = dash == std::string_view::npos ? low : parse_number(words.substr(dash + 1));
    if (low && top && *low <= *top && *top <= high) return Range{*low, *top};
    if (low && top && *low > *top && *low <= high) {
      refuse_value(key, node, fmt::format("the lower end first, as in \"{}-{}\"", *top, *low));
      return std::nullopt;
    }
  }
  refuse_value(key, node, expected);
  return std::nullopt;
}

std::optional<MaskedValue> TomlReader::masked(std::string_view key, const toml::node& node) {
  constexpr std::string_view kExpected =
      "a number up to 0xffffffff, or \"value/mask\" like \"0x1/0xff\"";
  if (const auto* number = node.as_integer(); number && **number >= 0 && **number <= 0xffffffff) {
    return MaskedValue{static_cast<uint32_t>(**number), 0xffffffff};
  }
  if (const auto* text = node.as_string()) {
    const std::string_view words = **text;
    const size_t slash = words.find('/');
    const auto value = parse_number(words.substr(0, slash));
    const auto mask = slash == std::string_view::npos ? std::optional<uint32_t>(0xffffffff)
                                                      : parse_number(words.substr(slash + 1));
    if (value && mask) {
      if ((*value & ~*mask) == 0) return MaskedValue{*value, *mask};
      refuse_value(key, node,
                   fmt::format("no bits of the value outside of the mask, as in "
                               "\"{:#x}/{:#x}\"",
                               *value & *mask, *mask));
      return std::nullopt;
    }
  }
  refuse_value(key, node, kExpected);
  return std::nullopt;
}

std::optional<std::vector<std::byte>> TomlReader::hex(std::string_view key,
                                                      const toml::node& node) {
  constexpr std::string_view kExpected = "hexadecimal bytes like \"0a14000b\" or \"0a:14:00:0b\"";
  const auto text = string(key, node, kExpected);
  if (!text) return std::nullopt;
  std::vector<std::byte> out;
  for (size_t i = 0; i < text->size();) {
    if ((*text)[i] == ' ' || (*text)[i] == ':') {
      ++i;
      continue;
    }
    const int high = hex_digit((*text)[i]);
    const int low = i + 1 < text->size() ? hex_digit((*text)[i + 1]) : -1;
    if (high < 0 || low < 0 || out.size() == kMostHexBytes) {
      refuse_value(key, node, kExpected);
      return std::nullopt;
    }
    out.push_back(static_cast<std::byte>(high << 4 | low));
    i += 2;
  }
  if (!out.empty()) return out;
  refuse_value(key, node, kExpected);
  return std::nullopt;
}

std::optional<Origin> TomlReader::origin(const toml::table& table) {
  const toml::node* node = table.get("from");
  if (!node) return Origin::kPayload;
  const auto found = word("from", *node, WordGroup::kOrigin);
  if (!found) return std::nullopt;
  return static_cast<Origin>((*found)->number);
}

std::optional<uint32_t> TomlReader::offset(const toml::table& table, std::string_view of) {
  const toml::node* node = table.get("at");
  if (!node) {
    refuse(table.source(),
           fmt::format("{} needs `at`, the number of bytes from the beginning of the "
                       "payload or of what `from` names",
                       of));
    return std::nullopt;
  }
  const auto at = integer("at", *node, 0, 65535);
  if (!at) return std::nullopt;
  return static_cast<uint32_t>(*at);
}

std::string TomlReader::beside(const std::string& name) const {
  const std::filesystem::path rule_file(parsed_.sources.names[0]);
  return (rule_file.parent_path() / name).string();
}

std::optional<Verdict> TomlReader::accept_or_drop(std::string_view key, const toml::node& node) {
  const auto found = word(key, node, WordGroup::kVerdict);
  if (!found) return std::nullopt;
  return static_cast<Verdict>((*found)->number);
}

}  // namespace fettle
