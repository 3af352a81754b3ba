// The keys of a test's packet to its fields. Included by the parser's own files only.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "rules/packet_fields.h"
#include "rules/toml_reader.h"

namespace fettle {

// Each function reads the value of one key. False: it was refused, and said so.
class PacketReader {
 public:
  explicit PacketReader(TomlReader& reader) : reader_(reader) {}

  // Any of the vocabulary's keys of `packet` but `hex`, `protocol` and those of metadata. What it
  // means depends on the protocol, which is set.
  bool field(std::string_view key, const toml::node& node, PacketFields* out);
  bool protocol(const toml::node& node, uint8_t* out);
  bool hex(std::string_view key, const toml::node& node, std::vector<std::byte>* out);
  bool mark(const toml::node& node, uint32_t* out);
  // `in`, `out`, `hook` or `mark`.
  bool metadata(std::string_view key, const toml::node& node, Metadata* out);

 private:
  bool refuse(std::string_view key, const toml::node& node, std::string_view expected);
  bool number(std::string_view key, const toml::node& node, uint32_t high, uint32_t* out);
  bool named(std::string_view key, const toml::node& node, uint32_t high, WordGroup group,
             uint8_t* out);
  bool address(std::string_view key, const toml::node& node, Address* out);
  bool flags(std::string_view key, const toml::node& node, uint8_t* out);
  bool icmp_type(std::string_view key, const toml::node& node, PacketFields* out);
  bool text(std::string_view key, const toml::node& node, std::vector<std::byte>* out);
  bool interface(std::string_view key, const toml::node& node, InterfaceName* out);

  TomlReader& reader_;
};

}  // namespace fettle
