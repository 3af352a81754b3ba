// [[test]]: a packet, and what the rules have to make of it.
#include <algorithm>

#include <fmt/format.h>

#include "rules/packet_reader.h"

namespace fettle {
namespace {

constexpr size_t kLongestPacket = 65535;

// A packet as the file gives it: whole, or by fields.
struct GivenPacket {
  std::vector<std::byte> hex;
  PacketFields fields;
  bool whole() const { return !hex.empty(); }
  std::vector<std::byte> bytes() const { return whole() ? hex : build_packet(fields); }
};

bool is_metadata(std::string_view key) {
  return key == "in" || key == "out" || key == "hook" || key == "mark";
}

// One [[test]].
class TestReader {
 public:
  TestReader(TomlReader& reader, PacketTest* test)
      : reader_(reader), fields_(reader), test_(test) {}

  bool read(const toml::table& table) {
    reader_.check_keys(table, "test", "key of a test");
    if (const toml::node* name = table.get("name")) read_name(*name);
    const toml::table* packet = sub_table(table, "packet", "the packet that comes");
    const toml::table* expect =
        sub_table(table, "expect", "what is to become of it; {} where it passes unchanged");
    if (!packet || !expect || !read_packet(*packet) || !read_expect(*expect)) return false;
    return true;
  }

 private:
  void read_name(const toml::node& node) {
    const auto name = reader_.string("name", node, "a name, in quotes");
    if (!name) return;
    const toml::source_region& where = node.source();
    test_->name = *name;
    test_->where = TomlReader::location(where);
    if (where.begin.line == where.end.line) test_->width = where.end.column - where.begin.column;
  }

  const toml::table* sub_table(const toml::table& table, std::string_view key,
                               std::string_view what) {
    const toml::node* node = table.get(key);
    if (!node) {
      reader_.refuse(table.source(), fmt::format("\"{}\" has no `{}`, {}", test_->name, key, what));
    } else if (!node->is_table()) {
      reader_.refuse_value(key, *node, fmt::format("a table: {}", what));
    } else {
      return node->as_table();
    }
    return nullptr;
  }

  bool refuse(const toml::source_region& where, std::string message) {
    reader_.refuse(where, std::move(message));
    return false;
  }

  bool read_packet(const toml::table& table) {
    reader_.check_keys(table, "packet", "key of a packet");
    bool right = true;
    if (const toml::node* hex = table.get("hex")) {
      right = fields_.hex("hex", *hex, &given_.hex) && refuse_beside_hex(table);
    } else {
      right = read_kind(table);
    }
    for (const auto& [key, node] : in_file_order(table)) {
      if (is_metadata(key->str())) {
        right &= fields_.metadata(key->str(), *node, &test_->metadata);
      } else if (right && !given_.whole() && is_field(*key)) {
        right &= fields_.field(key->str(), *node, &given_.fields);
      }
    }
    if (!right || !check_packet(table, given_)) return false;
    test_->packet = given_.bytes();
    return true;
  }

  // Those of the packet's keys that read() takes; the unknown ones have been refused.
  static bool is_field(const toml::key& key) {
    const std::vector<std::string_view> known = parameter_names("packet");
    const std::string_view name = key.str();
    return name != "hex" && name != "protocol" && !is_metadata(name) &&
           std::ranges::find(known, name) != known.end();
  }

  bool refuse_beside_hex(const toml::table& table) {
    for (const auto& [key, node] : in_file_order(table)) {
      if (key->str() != "protocol" && !is_field(*key)) continue;
      return refuse(key->source(), fmt::format("{}: found beside `hex`, expected the packet's "
                                               "bytes or its fields, one of the two",
                                               key->str()));
    }
    return true;
  }

  // What the other fields' meaning depends on.
  bool read_kind(const toml::table& table) {
    for (const std::string_view key : {"protocol", "src", "dst"}) {
      if (table.get(key)) continue;
      return refuse(table.source(),
                    fmt::format("a packet needs `{}` (or `hex`, the whole of it)", key));
    }
    PacketFields& fields = given_.fields;
    if (!fields_.protocol(*table.get("protocol"), &fields.protocol)) return false;
    if (Protocol{fields.protocol} == Protocol::kIcmp) fields.icmp_type = 8;
    if (Protocol{fields.protocol} == Protocol::kIcmpv6) fields.icmp_type = 128;
    return true;
  }

  bool check_packet(const toml::table& table, const GivenPacket& packet) {
    if (packet.whole()) return true;
    const PacketFields& fields = packet.fields;
    if (fields.src.family != fields.dst.family) {
      return refuse(table.source(),
                    fmt::format("found src {} and dst {}, expected two addresses of one family",
                                fields.src.to_string(), fields.dst.to_string()));
    }
    if (table.get("payload") && table.get("payload-text")) {
      return refuse(table.source(), "found `payload` and `payload-text`, expected one of the two");
    }
    const size_t size = header_size(fields) + fields.payload.size();
    if (size <= kLongestPacket) return true;
    return refuse(table.source(), fmt::format("found a packet of {} bytes, expected {} at most",
                                              size, kLongestPacket));
  }

  bool read_expect(const toml::table& table) {
    std::vector<std::string_view> known = parameter_names("expect");
    for (const std::string_view name : parameter_names("packet")) {
      if (name != "protocol" && (!is_metadata(name) || name == "mark")) known.push_back(name);
    }
    test_->mark = test_->metadata.mark;
    GivenPacket expected = given_;
    bool right = true;
    const toml::key* field = nullptr;
    for (const auto& [key, node] : in_file_order(table)) {
      if (std::ranges::find(known, key->str()) == known.end()) {
        reader_.refuse_unknown("key of expect", *key, known);
        right = false;
      } else if (is_field(*key) || key->str() == "hex") {
        field = key;
        right = right && read_expected(*key, *node, &expected);
      } else {
        right &= read_outcome(key->str(), *node);
      }
    }
    if (!right) return false;
    if (field && test_->verdict == Verdict::kDrop) {
      return refuse(field->source(),
                    fmt::format("{}: found beside verdict = \"drop\", expected nothing about a "
                                "packet that does not leave",
                                field->str()));
    }
    if (table.get("hex") && !refuse_beside_hex(table)) return false;
    if (!check_packet(table, expected)) return false;
    test_->expected = expected.bytes();
    return true;
  }

  bool read_expected(const toml::key& key, const toml::node& node, GivenPacket* out) {
    if (key.str() == "hex") return fields_.hex("hex", node, &out->hex);
    if (!given_.whole()) return fields_.field(key.str(), node, &out->fields);
    return refuse(key.source(), fmt::format("{}: found for a packet that is given in hex, expected "
                                            "`hex` here, too",
                                            key.str()));
  }

  bool read_outcome(std::string_view key, const toml::node& node) {
    if (key == "mark") return fields_.mark(node, &test_->mark);
    if (key == "rules") return read_rules(node);
    const auto step = parse_step(reader_, node);
    if (!step) return false;
    const auto* verdict = std::get_if<VerdictStep>(&step->what);
    if (!verdict) {
      reader_.refuse_value(key, node,
                           "\"accept\", \"drop\", \"repeat\" or { queue = N }, as in steps");
      return false;
    }
    test_->verdict = verdict->verdict;
    test_->queue = verdict->queue;
    return true;
  }

  bool read_rules(const toml::node& node) {
    constexpr std::string_view kExpected = "a list of rules' names, in the order of the file";
    const toml::array* list = node.as_array();
    if (!list) {
      reader_.refuse_value("rules", node, kExpected);
      return false;
    }
    std::vector<std::string_view> known;
    for (const Rule& rule : reader_.parsed().set.rules) known.push_back(rule.name);
    auto from = known.begin();
    test_->rules.emplace();
    for (const toml::node& each : *list) {
      const auto name = reader_.string("rules", each, "a rule's name, in quotes");
      if (!name) return false;
      const auto found = std::ranges::find(known, *name);
      if (found == known.end()) {
        const std::string_view nearest = nearest_word(*name, known);
        reader_.refuse_value(
            "rules", each,
            nearest.empty() ? "the name of a rule of this file"
                            : fmt::format("the name of a rule; did you mean \"{}\"?", nearest));
        return false;
      }
      if (found < from) {
        reader_.refuse_value("rules", each, kExpected);
        return false;
      }
      from = found + 1;
      test_->rules->push_back(*name);
    }
    return true;
  }

  TomlReader& reader_;
  PacketReader fields_;
  PacketTest* test_;
  GivenPacket given_;
};

}  // namespace

void parse_tests(TomlReader& reader, const toml::node& node, std::vector<PacketTest>* out) {
  const toml::array* list = node.as_array();
  if (!list) {
    return reader.refuse_value("test", node, "a list of tests: [[test]], with two brackets");
  }
  for (const toml::node& each : *list) {
    const toml::table* table = each.as_table();
    if (!table) {
      reader.refuse_value("test", each, "a table: [[test]]");
      continue;
    }
    PacketTest test;
    test.name = fmt::format("test {}", out->size() + 1);
    test.where = TomlReader::location(table->source());
    if (TestReader(reader, &test).read(*table)) out->push_back(std::move(test));
  }
}

}  // namespace fettle
