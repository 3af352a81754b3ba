// Address tables: inline entries and files of "inside,outside" lines.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include "rules/toml_reader.h"

namespace fettle {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return text.substr(text.size());
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Why the two sides do not go together; "" where they do.
std::string mismatch(const Prefix& inside, const Prefix& outside) {
  if (inside.address.family != outside.address.family) {
    return fmt::format("found {} = {}, expected both sides of one family", inside.to_string(),
                       outside.to_string());
  }
  if (inside.length != outside.length) {
    return fmt::format(
        "found /{} = /{}, expected prefixes of the same length, since hosts are mapped one "
        "for one",
        inside.length, outside.length);
  }
  return "";
}

void parse_inline(TomlReader& reader, const toml::key& key, const toml::node& node, Table* out) {
  std::string expected;
  const auto inside = Prefix::parse(key.str(), &expected);
  if (!inside) {
    reader.refuse(key.source(), fmt::format("table {}: found \"{}\", expected {}, or `file`",
                                            out->name, key.str(), expected));
    return;
  }
  const auto text = reader.string(key.str(), node, "an address or a prefix, in quotes");
  if (!text) return;
  const auto outside = Prefix::parse(*text, &expected);
  if (!outside) return reader.refuse_value(key.str(), node, expected);
  if (const std::string why = mismatch(*inside, *outside); !why.empty()) {
    return reader.refuse(node.source(), fmt::format("table {}: {}", out->name, why));
  }
  out->entries.push_back({*inside, *outside, TomlReader::location(key.source())});
}

// One line of a table file. False: it was refused.
class FileLine {
 public:
  FileLine(Parsed& parsed, std::string_view line, Location where)
      : parsed_(parsed), line_(line), where_(where) {}

  bool read(Table* table) {
    std::string_view text = line_.substr(0, line_.find('#'));
    if (trim(text).empty()) return true;
    const size_t comma = text.find(',');
    if (comma == std::string_view::npos) {
      return refuse(trim(text), "a line \"inside,outside\"");
    }
    const std::string_view left = trim(text.substr(0, comma));
    const std::string_view right = trim(text.substr(comma + 1));
    std::string expected;
    const auto inside = Prefix::parse(left, &expected);
    if (!inside) return refuse(left, expected);
    const auto outside = Prefix::parse(right, &expected);
    if (!outside) return refuse(right, expected);
    if (const std::string why = mismatch(*inside, *outside); !why.empty())
      return refuse_at(right, why);
    where_.column = column_of(left);
    table->entries.push_back({*inside, *outside, where_});
    return true;
  }

 private:
  uint32_t column_of(std::string_view part) const {
    return static_cast<uint32_t>(part.data() - line_.data()) + 1;
  }
  bool refuse(std::string_view part, std::string_view expected) {
    return refuse_at(part, fmt::format("found \"{}\", expected {}", part.substr(0, 60), expected));
  }
  bool refuse_at(std::string_view part, std::string message) {
    where_.column = column_of(part);
    parsed_.diagnostics.push_back({.severity = Severity::kError,
                                   .where = where_,
                                   .width = static_cast<uint32_t>(std::max<size_t>(part.size(), 1)),
                                   .message = std::move(message)});
    return false;
  }

  Parsed& parsed_;
  std::string_view line_;
  Location where_;
};

void parse_lines(TomlReader& reader, std::string_view text, uint32_t file, Table* table) {
  constexpr int kMostRefusals = 10;
  int refusals = 0;
  uint32_t number = 0;
  while (!text.empty() && refusals < kMostRefusals) {
    const size_t end = std::min(text.find('\n'), text.size());
    FileLine line(reader.parsed(), text.substr(0, end),
                  {.file = file, .line = ++number, .column = 1});
    if (!line.read(table)) ++refusals;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void parse_table_file(TomlReader& reader, const toml::node& node, Table* table) {
  const auto name = reader.string("file", node, "the name of a file, in quotes");
  if (!name) return;
  const std::string path = reader.beside(*name);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad() || std::filesystem::is_directory(path)) {
    return reader.refuse(node.source(), fmt::format("cannot read the table file {}: {}", path,
                                                    std::strerror(errno ? errno : EISDIR)));
  }
  Sources& sources = reader.parsed().sources;
  sources.names.push_back(path);
  sources.texts.push_back(std::move(text));
  reader.parsed().set.files.push_back(path);
  const auto index = static_cast<uint32_t>(sources.texts.size() - 1);
  parse_lines(reader, sources.texts.back(), index, table);
}

// The left side must be unambiguous; the place of the first is named where the second stands.
void refuse_duplicates(TomlReader& reader, const Table& table) {
  std::vector<uint32_t> order(table.entries.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) {
    return table.entries[a].inside < table.entries[b].inside;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    const TableEntry& first = table.entries[order[i - 1]];
    const TableEntry& second = table.entries[order[i]];
    if (first.inside != second.inside) continue;
    reader.parsed().diagnostics.push_back(
        {.severity = Severity::kError,
         .where = second.where,
         .width = 1,
         .message = fmt::format(
             "table {}: {} stands twice, first in {}:{}", table.name, second.inside.to_string(),
             reader.parsed().sources.names[first.where.file], first.where.line)});
  }
}

}  // namespace

Table parse_table(TomlReader& reader, const toml::key& name, const toml::table& table) {
  Table out{
      .name = std::string(name.str()), .entries = {}, .where = TomlReader::location(name.source())};
  for (const auto& [key, node] : in_file_order(table)) {
    if (key->str() == "file") {
      parse_table_file(reader, *node, &out);
    } else {
      parse_inline(reader, *key, *node, &out);
    }
  }
  refuse_duplicates(reader, out);
  return out;
}

}  // namespace fettle
