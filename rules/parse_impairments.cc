// Steps that treat packets as a bad network does. Times, rates and shares are written as tc has
// them.
#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "core/hash.h"
#include "rules/toml_reader.h"

namespace fettle {
namespace {

constexpr double kNanosecond = 1e-9;
constexpr double kLongestTime = 60;  // seconds
constexpr double kHighestRate = 1e12;
constexpr uint64_t kLatency = 50'000'000;  // nanoseconds, where none is given

constexpr std::string_view kTime = "a time from 1ns to 60s, like \"20ms\", \"1.5s\" or \"250us\"";
constexpr std::string_view kRate =
    "a rate in bits a second up to 1000gbit, like \"500kbit\", \"10mbit\" or \"1gbit\"";
constexpr std::string_view kShare = "a percentage above 0% and up to 100%, like \"5%\"";

struct Unit {
  std::string_view name;
  double value;
};

// A decimal number and one of the units, in upper or lower case, with no more than blanks between.
std::optional<double> parse_quantity(std::string_view text, std::span<const Unit> units) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number)) return std::nullopt;
  std::string unit;
  for (const char c : text.substr(static_cast<size_t>(end - text.data()))) {
    if (c == ' ' && unit.empty()) continue;
    unit += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  for (const Unit& known : units) {
    if (known.name == unit) return number * known.value;
  }
  return std::nullopt;
}

// From `low` to `high` of what a unit of value 1 says.
std::optional<double> quantity(TomlReader& reader, std::string_view key, const toml::node& node,
                               std::span<const Unit> units, double low, double high,
                               std::string_view expected) {
  const auto text = reader.string(key, node, expected);
  if (!text) return std::nullopt;
  const auto value = parse_quantity(*text, units);
  if (value && *value >= low && *value <= high) return value;
  reader.refuse_value(key, node, expected);
  return std::nullopt;
}

std::optional<uint64_t> time_of(TomlReader& reader, std::string_view key, const toml::node& node) {
  constexpr std::array kUnits = {Unit{"s", 1}, Unit{"ms", 1e-3}, Unit{"us", 1e-6},
                                 Unit{"ns", kNanosecond}};
  const auto seconds =
      quantity(reader, key, node, kUnits, kNanosecond * 0.999, kLongestTime, kTime);
  if (!seconds) return std::nullopt;
  return static_cast<uint64_t>(std::llround(*seconds / kNanosecond));
}

std::optional<uint64_t> rate_of(TomlReader& reader, const toml::node& node) {
  constexpr std::array kUnits = {Unit{"bit", 1}, Unit{"kbit", 1e3}, Unit{"mbit", 1e6},
                                 Unit{"gbit", 1e9}};
  const auto rate = quantity(reader, "rate", node, kUnits, 1, kHighestRate, kRate);
  if (!rate) return std::nullopt;
  return static_cast<uint64_t>(std::llround(*rate));
}

std::optional<double> share_of(TomlReader& reader, std::string_view key, const toml::node& node) {
  constexpr std::array kUnits = {Unit{"%", 1}};
  return quantity(reader, key, node, kUnits, 1e-7, 100, kShare);
}

std::optional<Step> parse_delay(TomlReader& reader, const toml::table& table,
                                const toml::node& node, Location where) {
  const auto delay = time_of(reader, "delay", node);
  std::optional<uint64_t> jitter = 0;
  const toml::node* value = table.get("jitter");
  if (value) jitter = time_of(reader, "jitter", *value);
  if (!delay || !jitter) return std::nullopt;
  if (*jitter > *delay) {
    reader.refuse_value("jitter", *value, "no more than the delay, from which it is taken, too");
    return std::nullopt;
  }
  return Step{DelayStep{.delay = *delay, .jitter = *jitter}, where};
}

std::optional<Step> parse_reorder(TomlReader& reader, const toml::table& table,
                                  const toml::node& node, Location where) {
  const auto percent = share_of(reader, "reorder", node);
  const toml::node* value = table.get("by");
  if (!value) {
    reader.refuse(table.source(), "reorder needs `by`, how long the chosen packets wait");
    return std::nullopt;
  }
  const auto by = time_of(reader, "by", *value);
  if (!percent || !by) return std::nullopt;
  return Step{ReorderStep{.percent = *percent, .by = *by}, where};
}

std::optional<Step> parse_rate(TomlReader& reader, const toml::table& table, const toml::node& node,
                               Location where) {
  const auto rate = rate_of(reader, node);
  std::optional<uint64_t> latency = kLatency;
  if (const toml::node* value = table.get("latency")) latency = time_of(reader, "latency", *value);
  if (!rate || !latency) return std::nullopt;
  return Step{RateStep{.rate = *rate, .latency = *latency}, where};
}

}  // namespace

std::optional<Operand> parse_probability(TomlReader& reader, std::string_view key,
                                         const toml::node& node) {
  const auto percent = share_of(reader, key, node);
  if (!percent) return std::nullopt;
  const Location where = TomlReader::location(node.source());
  const uint64_t place = uint64_t{where.file} << 48 | uint64_t{where.line} << 16 | where.column;
  return ChanceMatch{.percent = *percent, .salt = mix(place)};
}

std::optional<Step> parse_impairment(TomlReader& reader, StepKind kind, const toml::table& table,
                                     const toml::node& node, Location where) {
  switch (kind) {
    case StepKind::kDelay:
      return parse_delay(reader, table, node, where);
    case StepKind::kReorder:
      return parse_reorder(reader, table, node, where);
    case StepKind::kRate:
      return parse_rate(reader, table, node, where);
    case StepKind::kLose:
      if (const auto percent = share_of(reader, "lose", node))
        return Step{LoseStep{*percent}, where};
      return std::nullopt;
    case StepKind::kCorrupt:
      if (const auto percent = share_of(reader, "corrupt", node)) {
        return Step{CorruptStep{*percent}, where};
      }
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace fettle
