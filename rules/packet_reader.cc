#include "rules/packet_reader.h"

#include <algorithm>
#include <initializer_list>
#include <span>

#include <fmt/format.h>

namespace fettle {
namespace {

bool is_one_of(uint8_t protocol, std::initializer_list<Protocol> protocols) {
  return std::ranges::find(protocols, Protocol{protocol}) != protocols.end();
}

// Whether a packet of this protocol has the field that the key names.
bool has_field(uint8_t protocol, std::string_view key) {
  if (key == "src-port" || key == "dst-port") {
    return is_one_of(protocol,
                     {Protocol::kTcp, Protocol::kUdp, Protocol::kUdpLite, Protocol::kSctp});
  }
  if (key == "tcp-flags" || key == "window" || key == "mss") {
    return is_one_of(protocol, {Protocol::kTcp});
  }
  if (key == "icmp-type") return is_one_of(protocol, {Protocol::kIcmp, Protocol::kIcmpv6});
  return true;
}

std::string protocol_text(uint8_t protocol) {
  const std::string_view word = word_of(WordGroup::kProtocol, protocol);
  return word.empty() ? fmt::format("{}", protocol) : fmt::format("\"{}\"", word);
}

}  // namespace

bool PacketReader::field(std::string_view key, const toml::node& node, PacketFields* out) {
  if (!has_field(out->protocol, key)) {
    reader_.refuse(node.source(), fmt::format("{}: a packet of protocol {} has no such field", key,
                                              protocol_text(out->protocol)));
    return false;
  }
  if (key == "src") return address(key, node, &out->src);
  if (key == "dst") return address(key, node, &out->dst);
  if (key == "dscp") return named(key, node, 63, WordGroup::kDscp, &out->dscp);
  if (key == "ecn") return named(key, node, 3, WordGroup::kEcn, &out->ecn);
  if (key == "tcp-flags") return flags(key, node, &out->tcp_flags);
  if (key == "icmp-type") return icmp_type(key, node, out);
  if (key == "payload") return hex(key, node, &out->payload);
  if (key == "payload-text") return text(key, node, &out->payload);
  uint32_t value = 0;
  if (!number(key, node, key == "ttl" ? 255 : 65535, &value)) return false;
  const auto word = static_cast<uint16_t>(value);
  if (key == "ttl") out->ttl = static_cast<uint8_t>(value);
  if (key == "src-port") out->src_port = word;
  if (key == "dst-port") out->dst_port = word;
  if (key == "window") out->window = word;
  if (key == "mss") out->mss = word;
  return true;
}

bool PacketReader::protocol(const toml::node& node, uint8_t* out) {
  return named("protocol", node, 255, WordGroup::kProtocol, out);
}

bool PacketReader::hex(std::string_view key, const toml::node& node, std::vector<std::byte>* out) {
  auto bytes = reader_.hex(key, node);
  if (bytes) *out = std::move(*bytes);
  return bytes.has_value();
}

bool PacketReader::mark(const toml::node& node, uint32_t* out) {
  const auto value = reader_.integer("mark", node, 0, 0xffffffff);
  if (value) *out = static_cast<uint32_t>(*value);
  return value.has_value();
}

bool PacketReader::metadata(std::string_view key, const toml::node& node, Metadata* out) {
  if (key == "mark") return mark(node, &out->mark);
  if (key == "in") return interface(key, node, &out->in);
  if (key == "out") return interface(key, node, &out->out);
  const auto hook = reader_.word(key, node, WordGroup::kHook);
  if (hook) out->hook = static_cast<Hook>((*hook)->number);
  return hook.has_value();
}

bool PacketReader::refuse(std::string_view key, const toml::node& node, std::string_view expected) {
  reader_.refuse_value(key, node, expected);
  return false;
}

bool PacketReader::number(std::string_view key, const toml::node& node, uint32_t high,
                          uint32_t* out) {
  const auto value = reader_.integer(key, node, 0, high);
  if (value) *out = static_cast<uint32_t>(*value);
  return value.has_value();
}

bool PacketReader::named(std::string_view key, const toml::node& node, uint32_t high,
                         WordGroup group, uint8_t* out) {
  const auto range = reader_.range(key, node, high, group);
  if (!range) return false;
  if (range->low != range->high) return refuse(key, node, "one value, not a range");
  *out = static_cast<uint8_t>(range->low);
  return true;
}

bool PacketReader::address(std::string_view key, const toml::node& node, Address* out) {
  constexpr std::string_view kExpected = "an IPv4 or IPv6 address, in quotes";
  const auto words = reader_.string(key, node, kExpected);
  if (!words) return false;
  const auto value = Address::parse(*words);
  if (!value) return refuse(key, node, kExpected);
  *out = *value;
  return true;
}

bool PacketReader::flags(std::string_view key, const toml::node& node, uint8_t* out) {
  constexpr std::string_view kExpected = "flags with commas between, like \"syn,ack\"";
  const auto words = reader_.string(key, node, kExpected);
  if (!words) return false;
  const auto value = parse_flags(*words);
  if (!value) return refuse(key, node, kExpected);
  *out = static_cast<uint8_t>(*value);
  return true;
}

bool PacketReader::icmp_type(std::string_view key, const toml::node& node, PacketFields* out) {
  constexpr std::string_view kExpected =
      "a name of a type in this family, a number from 0 to 255, or \"type/code\"";
  out->icmp_code = 0;
  if (const auto* value = node.as_integer()) {
    if (**value < 0 || **value > 255) return refuse(key, node, kExpected);
    out->icmp_type = static_cast<uint8_t>(**value);
    return true;
  }
  const auto words = reader_.string(key, node, kExpected);
  if (!words) return false;
  if (const Word* word = find_word(WordGroup::kIcmpType, *words)) {
    const bool icmp = is_one_of(out->protocol, {Protocol::kIcmp});
    const int type = icmp ? word->number : word->number6;
    if (type < 0) return refuse(key, node, kExpected);
    out->icmp_type = static_cast<uint8_t>(type);
    return true;
  }
  const size_t slash = std::min(words->find('/'), words->size());
  const auto type = parse_number(std::string_view(*words).substr(0, slash));
  const auto code = slash == words->size()
                        ? std::optional<uint32_t>(0)
                        : parse_number(std::string_view(*words).substr(slash + 1));
  if (!type || !code || *type > 255 || *code > 255) return refuse(key, node, kExpected);
  out->icmp_type = static_cast<uint8_t>(*type);
  out->icmp_code = static_cast<uint8_t>(*code);
  return true;
}

bool PacketReader::text(std::string_view key, const toml::node& node, std::vector<std::byte>* out) {
  const auto words = reader_.string(key, node, "text, in quotes");
  if (!words) return false;
  const auto bytes = std::as_bytes(std::span(*words));
  out->assign(bytes.begin(), bytes.end());
  return true;
}

bool PacketReader::interface(std::string_view key, const toml::node& node, InterfaceName* out) {
  constexpr std::string_view kExpected = "an interface's name of 1 to 15 characters";
  const auto name = reader_.string(key, node, kExpected);
  if (!name) return false;
  if (name->empty() || name->size() >= out->size()) return refuse(key, node, kExpected);
  *out = interface_name(*name);
  return true;
}

}  // namespace fettle
