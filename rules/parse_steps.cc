// The steps of a rule.
#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "rules/toml_reader.h"

namespace fettle {
namespace {

using StepResult = std::optional<Step>;

std::vector<std::string_view> step_names() {
  std::vector<std::string_view> out;
  for (const StepInfo& info : steps()) out.push_back(info.name);
  return out;
}

StepResult parse_word_step(TomlReader& reader, const toml::node& node, const std::string& word) {
  const Location where = TomlReader::location(node.source());
  const StepInfo* info = find_step(word);
  if (info) {
    switch (info->kind) {
      case StepKind::kAccept:
        return Step{VerdictStep{Verdict::kAccept, 0}, where};
      case StepKind::kDrop:
        return Step{VerdictStep{Verdict::kDrop, 0}, where};
      case StepKind::kRepeat:
        return Step{VerdictStep{Verdict::kRepeat, 0}, where};
      case StepKind::kLog:
        return Step{LogStep{}, where};
      default:
        break;
    }
    reader.refuse(node.source(), fmt::format("step \"{}\" needs more than its name, expected {}",
                                             word, info->form));
    return std::nullopt;
  }
  const std::string_view nearest = nearest_word(word, step_names());
  reader.refuse(
      node.source(),
      nearest.empty()
          ? fmt::format(
                "unknown step \"{}\", expected \"accept\", \"drop\", \"repeat\", \"log\" or "
                "a table like {{ set = {{ ttl = 64 }} }}",
                word)
          : fmt::format("unknown step \"{}\"; did you mean \"{}\"?", word, nearest));
  return std::nullopt;
}

std::optional<Field> field_named(std::string_view name) {
  constexpr std::pair<std::string_view, Field> kFields[] = {
      {"ttl", Field::kTtl},          {"hop-limit", Field::kTtl},
      {"dscp", Field::kDscp},        {"ecn", Field::kEcn},
      {"src", Field::kSrc},          {"dst", Field::kDst},
      {"src-port", Field::kSrcPort}, {"dst-port", Field::kDstPort},
      {"window", Field::kWindow},    {"flow-label", Field::kFlowLabel}};
  for (const auto& [field_name, field] : kFields) {
    if (field_name == name) return field;
  }
  return std::nullopt;
}

// A named value or a number up to `high`, but no range.
std::optional<uint32_t> parse_named(TomlReader& reader, std::string_view key,
                                    const toml::node& node, uint32_t high, WordGroup group) {
  const auto range = reader.range(key, node, high, group);
  if (!range) return std::nullopt;
  if (range->low == range->high) return range->low;
  reader.refuse_value(key, node, "one value to set, not a range");
  return std::nullopt;
}

bool parse_assignment(TomlReader& reader, std::string_view key, const toml::node& node,
                      SetStep::Assignment* out) {
  const auto take = [&](auto number) {
    if (number) out->number = static_cast<uint32_t>(*number);
    return number.has_value();
  };
  switch (out->field) {
    case Field::kTtl:
      return take(reader.integer(key, node, 0, 255));
    case Field::kDscp:
      return take(parse_named(reader, key, node, 63, WordGroup::kDscp));
    case Field::kEcn:
      return take(parse_named(reader, key, node, 3, WordGroup::kEcn));
    case Field::kFlowLabel:
      return take(reader.integer(key, node, 0, 0xfffff));
    case Field::kSrcPort:
    case Field::kDstPort:
    case Field::kWindow:
      return take(reader.integer(key, node, 0, 65535));
    case Field::kSrc:
    case Field::kDst:
      break;
  }
  const auto text = reader.string(key, node, "an IPv4 or IPv6 address, in quotes");
  if (!text) return false;
  if (const auto address = Address::parse(*text)) {
    out->address = *address;
    return true;
  }
  reader.refuse_value(key, node, "an IPv4 or IPv6 address");
  return false;
}

StepResult parse_set(TomlReader& reader, const toml::node& node, Location where) {
  const toml::table* fields = node.as_table();
  if (!fields || fields->empty()) {
    reader.refuse_value("set", node, "a table of fields, like { ttl = 64 }");
    return std::nullopt;
  }
  reader.check_keys(*fields, "set", "field");
  SetStep step;
  for (const auto& [key, value] : in_file_order(*fields)) {
    const auto field = field_named(key->str());
    if (!field) continue;
    SetStep::Assignment assignment{
        .field = *field, .number = 0, .address = {}, .where = TomlReader::location(key->source())};
    if (!parse_assignment(reader, key->str(), *value, &assignment)) return std::nullopt;
    step.assignments.push_back(assignment);
  }
  if (step.assignments.empty()) return std::nullopt;
  return Step{std::move(step), where};
}

StepResult parse_write(TomlReader& reader, const toml::table& table, const toml::node& node,
                       Location where) {
  auto bytes = reader.hex("write", node);
  const auto at = reader.offset(table, "write");
  const auto from = reader.origin(table);
  if (!bytes || !at || !from) return std::nullopt;
  return Step{WriteStep{.from = *from, .at = *at, .bytes = std::move(*bytes)}, where};
}

// Bytes in hexadecimal digits, or with as = "text" as they are.
std::optional<std::vector<std::byte>> parse_bytes(TomlReader& reader, const toml::table& table,
                                                  std::string_view key, const toml::node& node) {
  bool text = false;
  if (const toml::node* as = table.get("as")) {
    const auto notation = reader.word("as", *as, WordGroup::kNotation);
    if (!notation) return std::nullopt;
    text = (*notation)->number == 1;
  }
  if (!text) return reader.hex(key, node);
  constexpr std::string_view kExpected = "text of at least one character, in quotes";
  const auto value = reader.string(key, node, kExpected);
  if (!value) return std::nullopt;
  if (value->empty()) {
    reader.refuse_value(key, node, kExpected);
    return std::nullopt;
  }
  const auto bytes = std::as_bytes(std::span(*value));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

StepResult parse_insert(TomlReader& reader, const toml::table& table, const toml::node& node,
                        Location where) {
  auto bytes = parse_bytes(reader, table, "insert", node);
  const auto at = reader.offset(table, "insert");
  if (!bytes || !at) return std::nullopt;
  return Step{InsertStep{.at = *at, .bytes = std::move(*bytes)}, where};
}

StepResult parse_delete(TomlReader& reader, const toml::table& table, const toml::node& node,
                        Location where) {
  const auto count = reader.integer("delete", node, 1, 65535);
  const auto at = reader.offset(table, "delete");
  if (!count || !at) return std::nullopt;
  return Step{DeleteStep{.at = *at, .count = static_cast<uint32_t>(*count)}, where};
}

StepResult parse_bypass(TomlReader& reader, const toml::node& node, Location where) {
  const auto wanted = reader.boolean("bypass", node);
  if (!wanted) return std::nullopt;
  if (*wanted) return Step{BypassStep{where}, where};
  reader.refuse_value("bypass", node, "true; leave the step out where it is not wanted");
  return std::nullopt;
}

StepResult parse_capture(TomlReader& reader, const toml::node& node, Location where) {
  constexpr std::string_view kExpected = "the name of a file, in quotes";
  const auto name = reader.string("capture", node, kExpected);
  if (!name) return std::nullopt;
  if (name->empty() || name->ends_with('/') || name->find('\0') != std::string::npos) {
    reader.refuse_value("capture", node, kExpected);
    return std::nullopt;
  }
  return Step{CaptureStep{reader.beside(*name)}, where};
}

StepResult parse_one(TomlReader& reader, const StepInfo& info, const toml::table& table,
                     const toml::node& node, Location where) {
  switch (info.kind) {
    case StepKind::kQueue:
      if (const auto queue = reader.integer("queue", node, 0, 65535)) {
        return Step{VerdictStep{Verdict::kQueue, static_cast<uint16_t>(*queue)}, where};
      }
      return std::nullopt;
    case StepKind::kSet:
      return parse_set(reader, node, where);
    case StepKind::kTranslate:
      return parse_translate(reader, table, node, where);
    case StepKind::kWrite:
      return parse_write(reader, table, node, where);
    case StepKind::kInsert:
      return parse_insert(reader, table, node, where);
    case StepKind::kDelete:
      return parse_delete(reader, table, node, where);
    case StepKind::kReplace:
      return parse_replace(reader, table, node, where);
    case StepKind::kMark:
      if (const auto mark = reader.masked("mark", node)) {
        return Step{MarkStep{mark->value, mark->mask}, where};
      }
      return std::nullopt;
    case StepKind::kClampMss:
      if (const auto mss = reader.integer("clamp-mss", node, 1, 65535)) {
        return Step{ClampMssStep{static_cast<uint16_t>(*mss)}, where};
      }
      return std::nullopt;
    case StepKind::kDelay:
    case StepKind::kLose:
    case StepKind::kReorder:
    case StepKind::kRate:
    case StepKind::kCorrupt:
      return parse_impairment(reader, info.kind, table, node, where);
    case StepKind::kBypass:
      return parse_bypass(reader, node, where);
    case StepKind::kCapture:
      return parse_capture(reader, node, where);
    case StepKind::kStrip:
      return parse_strip(reader, node, where);
    case StepKind::kLengthField:
      return parse_length_field(reader, node, where);
    case StepKind::kContentLength:
      return parse_content_length(reader, node, where);
    case StepKind::kDns:
      return parse_dns(reader, table, node, where);
    case StepKind::kSip:
    case StepKind::kSdp:
      return parse_sip(reader, info, table, node, where);
    default:
      break;
  }
  reader.refuse(node.source(),
                fmt::format("step \"{}\" takes no value, expected {}", info.name, info.form));
  return std::nullopt;
}

}  // namespace

StepResult parse_step(TomlReader& reader, const toml::node& node) {
  if (const auto* word = node.as_string()) return parse_word_step(reader, node, **word);
  const toml::table* table = node.as_table();
  if (!table) {
    reader.refuse_value("steps", node,
                        "a step: a word like \"accept\", or a table like "
                        "{ set = { ttl = 64 } }");
    return std::nullopt;
  }
  const StepInfo* info = nullptr;
  const toml::node* value = nullptr;
  for (const auto& [key, each] : in_file_order(*table)) {
    const StepInfo* found = find_step(key->str());
    if (!found) continue;
    if (info) {
      reader.refuse(key->source(),
                    fmt::format("found a second step \"{}\" beside \"{}\", expected one step "
                                "a table: {{ ... }}, {{ ... }}",
                                found->name, info->name));
      return std::nullopt;
    }
    info = found;
    value = each;
  }
  if (!info) {
    const auto entries = in_file_order(*table);
    if (entries.empty()) {
      reader.refuse(node.source(), "found an empty step, expected one like { set = { ttl = 64 } }");
    } else {
      reader.refuse_unknown("step", *entries.front().key, step_names());
    }
    return std::nullopt;
  }
  const bool nested = info->kind == StepKind::kSet || info->kind == StepKind::kLengthField;
  std::vector<std::string_view> known = parameter_names(nested ? "" : info->name);
  known.push_back(info->name);
  for (const auto& [key, each] : in_file_order(*table)) {
    if (std::ranges::find(known, key->str()) != known.end()) continue;
    reader.refuse_unknown(fmt::format("key of {}", info->name), *key, known);
  }
  return parse_one(reader, *info, *table, *value, TomlReader::location(table->source()));
}

}  // namespace fettle
