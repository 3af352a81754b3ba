// What the parser's parts share: toml++ nodes to values, with a diagnostic at the node's place
// where one is not what is expected. Included by the parser's own files only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
// toml++ 3.3.0 asserts that a table's header begins with a key, or tells the optimiser to assume
// it; the code behind it refuses what is none with a message, and that is what a rule file should
// get.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <toml++/toml.h>
#pragma GCC diagnostic pop
#pragma pop_macro("NDEBUG")

#include "rules/diagnostic.h"
#include "rules/parse.h"
#include "rules/vocabulary.h"

namespace fettle {

class TomlReader {
 public:
  explicit TomlReader(Parsed& parsed) : parsed_(parsed) {}

  void refuse(const toml::source_region& where, std::string message);
  // "KEY: found FOUND, expected EXPECTED"
  void refuse_value(std::string_view key, const toml::node& node, std::string_view expected);
  void refuse_unknown(std::string_view kind, const toml::key& key,
                      const std::vector<std::string_view>& known);
  // Every key of the table is one of the owner's parameters; the others are refused.
  void check_keys(const toml::table& table, std::string_view owner, std::string_view kind);

  static Location location(const toml::source_region& where);
  static std::string describe(const toml::node& node);  // as it is to be quoted

  std::optional<int64_t> integer(std::string_view key, const toml::node& node, int64_t low,
                                 int64_t high);
  std::optional<bool> boolean(std::string_view key, const toml::node& node);
  std::optional<std::string> string(std::string_view key, const toml::node& node,
                                    std::string_view expected);
  std::optional<const Word*> word(std::string_view key, const toml::node& node, WordGroup group);
  // A number, "low-high", or where a group is given a word.
  std::optional<Range> range(std::string_view key, const toml::node& node, uint32_t high,
                             std::optional<WordGroup> group = std::nullopt);
  // A number, or "value/mask". Bits of the value outside of the mask are refused.
  std::optional<MaskedValue> masked(std::string_view key, const toml::node& node);
  std::optional<std::vector<std::byte>> hex(std::string_view key, const toml::node& node);
  std::optional<Origin> origin(const toml::table& table);  // "from", or payload
  std::optional<uint32_t> offset(const toml::table& table, std::string_view of);  // "at"
  std::optional<Verdict> accept_or_drop(std::string_view key, const toml::node& node);

  Parsed& parsed() { return parsed_; }

 private:
  Parsed& parsed_;
};

// A decimal or 0x number that takes the whole text.
std::optional<uint32_t> parse_number(std::string_view text);

// The keys of a table in the order of the file; toml++ sorts them by name.
struct TomlEntry {
  const toml::key* key;
  const toml::node* node;
};
std::vector<TomlEntry> in_file_order(const toml::table& table);

// The parser's parts, each in a file of its own.
Match parse_match(TomlReader& reader, const toml::table& table);
std::optional<Step> parse_step(TomlReader& reader, const toml::node& node);
Table parse_table(TomlReader& reader, const toml::key& name, const toml::table& table);

}  // namespace fettle
