#include "rules/classifier.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace fettle {
namespace {

// Cheap tests that most packets fail come first.
int cost(Key key) {
  switch (key) {
    case Key::kProtocol:
      return 0;
    case Key::kDstPort:
      return 1;
    case Key::kSrcPort:
      return 2;
    case Key::kPort:
      return 3;
    case Key::kHook:
      return 4;
    case Key::kFamily:
      return 5;
    case Key::kMark:
      return 6;
    case Key::kBytes:
      return 100;
    default:
      return 10;
  }
}

uint8_t tcp_flags(const Packet& packet) { return load_u8(packet.data + packet.transport + 13); }

}  // namespace

bool reads_transport(const Condition& condition) {
  switch (condition.key) {
    case Key::kSrcPort:
    case Key::kDstPort:
    case Key::kPort:
    case Key::kTcpFlags:
    case Key::kIcmpType:
      return true;
    case Key::kBytes:
      return std::ranges::any_of(condition.any_of, [](const Operand& operand) {
        const auto* bytes = std::get_if<BytesMatch>(&operand);
        return bytes && bytes->from != Origin::kNetwork;
      });
    default:
      return false;
  }
}

void Classifier::add(const Match& match) {
  RuleTests rule{};
  rule.all_of = add_tests(match, &rule.transport);
  std::vector<Slice> groups;
  for (const Match& none : match.none_of) groups.push_back(add_tests(none, &rule.transport));
  rule.none_of = {static_cast<uint32_t>(groups_.size()), static_cast<uint32_t>(groups.size())};
  groups_.insert(groups_.end(), groups.begin(), groups.end());
  rules_.push_back(rule);
}

Classifier::Slice Classifier::add_tests(const Match& match, bool* transport) {
  std::vector<const Condition*> ordered;
  for (const Condition& condition : match.all_of) ordered.push_back(&condition);
  std::ranges::stable_sort(ordered, {}, [](const Condition* c) { return cost(c->key); });
  const Slice out{static_cast<uint32_t>(tests_.size()), static_cast<uint32_t>(ordered.size())};
  for (const Condition* condition : ordered) {
    *transport |= reads_transport(*condition);
    tests_.push_back(add_test(*condition));
  }
  return out;
}

Classifier::Test Classifier::add_test(const Condition& condition) {
  const auto begin = [](const auto& array) { return static_cast<uint32_t>(array.size()); };
  Test test{.key = condition.key, .operands = {0, static_cast<uint32_t>(condition.any_of.size())}};
  bool first = true;
  // All operands of a condition are of one type, so that they lie together.
  const auto put = [&](auto& array, const auto& operand) {
    if (first) test.operands.first = begin(array);
    first = false;
    array.push_back(operand);
  };
  for (const Operand& operand : condition.any_of) {
    if (const auto* range = std::get_if<Range>(&operand)) put(ranges_, *range);
    if (const auto* value = std::get_if<MaskedValue>(&operand)) put(masked_, *value);
    if (const auto* name = std::get_if<InterfacePattern>(&operand)) put(interfaces_, *name);
    if (const auto* kind = std::get_if<FragmentKind>(&operand)) put(fragments_, *kind);
    if (const auto* icmp = std::get_if<IcmpMatch>(&operand)) put(icmp_, *icmp);
    if (const auto* family = std::get_if<Family>(&operand)) put(families_, *family);
    if (const auto* prefix = std::get_if<Prefix>(&operand)) {
      PrefixOperand out{.value = {}, .mask = {}, .family = prefix->address.family};
      Address mask = prefix->address;
      mask.bytes.fill(std::byte{0xff});
      mask = mask_address(mask, prefix->length);
      std::memcpy(out.value, prefix->address.bytes.data(), prefix->address.size());
      std::memcpy(out.mask, mask.bytes.data(), prefix->address.size());
      put(prefixes_, out);
    }
    if (const auto* bytes = std::get_if<BytesMatch>(&operand)) {
      put(bytes_operands_,
          BytesOperand{
              .from = bytes->from, .at = bytes->at, .value = {begin(bytes_), begin(bytes->value)}});
      bytes_.insert(bytes_.end(), bytes->value.begin(), bytes->value.end());
      bytes_.insert(bytes_.end(), bytes->mask.begin(), bytes->mask.end());
    }
  }
  return test;
}

uint32_t Classifier::next_match(const Packet& packet, const Metadata& metadata,
                                uint32_t from) const noexcept {
  for (uint32_t i = from; i < rules_.size(); ++i) {
    const RuleTests& rule = rules_[i];
    if (rule.transport && packet.later_fragment) continue;
    if (!all_hold(rule.all_of, packet, metadata)) continue;
    bool excluded = false;
    for (uint32_t group = 0; group < rule.none_of.count && !excluded; ++group) {
      excluded = all_hold(groups_[rule.none_of.first + group], packet, metadata);
    }
    if (!excluded) return i;
  }
  return size();
}

bool Classifier::all_hold(const Slice& tests, const Packet& packet,
                          const Metadata& metadata) const noexcept {
  for (uint32_t i = 0; i < tests.count; ++i) {
    if (!holds(tests_[tests.first + i], packet, metadata)) return false;
  }
  return true;
}

bool Classifier::holds(const Test& test, const Packet& packet,
                       const Metadata& metadata) const noexcept {
  const Slice& any = test.operands;
  switch (test.key) {
    case Key::kFamily: {
      const Family family = packet.family != Family::kNone ? packet.family : metadata.family;
      const auto* begin = families_.data() + any.first;
      return std::find(begin, begin + any.count, family) != begin + any.count;
    }
    case Key::kProtocol:
      return in_ranges(any, packet.protocol);
    case Key::kSrc:
      return in_prefixes(any, packet.family, packet.src_bytes());
    case Key::kDst:
      return in_prefixes(any, packet.family, packet.dst_bytes());
    case Key::kSrcPort:
      return packet.has_ports() && in_ranges(any, packet.src_port());
    case Key::kDstPort:
      return packet.has_ports() && in_ranges(any, packet.dst_port());
    case Key::kPort:
      return packet.has_ports() &&
             (in_ranges(any, packet.src_port()) || in_ranges(any, packet.dst_port()));
    case Key::kHook:
      return metadata.hook != Hook::kNone && in_ranges(any, static_cast<uint32_t>(metadata.hook));
    case Key::kIn:
      return is_interface(any, metadata.in);
    case Key::kOut:
      return is_interface(any, metadata.out);
    case Key::kMark:
      return is_masked(any, metadata.mark);
    case Key::kTtl:
      return in_ranges(any, packet.ttl());
    case Key::kDscp:
      return in_ranges(any, packet.traffic_class() >> 2);
    case Key::kLength:
      return in_ranges(any, packet.length);
    case Key::kTcpFlags:
      return packet.has_transport() && packet.is(Protocol::kTcp) &&
             is_masked(any, tcp_flags(packet));
    case Key::kFragment:
      return is_fragment(any, packet);
    case Key::kIcmpType:
      return is_icmp(any, packet);
    case Key::kBytes:
      return has_bytes(any, packet);
  }
  return false;
}

bool Classifier::in_ranges(const Slice& operands, uint32_t number) const noexcept {
  for (uint32_t i = 0; i < operands.count; ++i) {
    const Range& range = ranges_[operands.first + i];
    if (number - range.low <= range.high - range.low) return true;
  }
  return false;
}

bool Classifier::in_prefixes(const Slice& operands, Family family,
                             const std::byte* at) const noexcept {
  uint64_t address[2] = {};
  std::memcpy(address, at, family == Family::kIpv4 ? 4 : 16);
  for (uint32_t i = 0; i < operands.count; ++i) {
    const PrefixOperand& prefix = prefixes_[operands.first + i];
    if (prefix.family == family && (address[0] & prefix.mask[0]) == prefix.value[0] &&
        (address[1] & prefix.mask[1]) == prefix.value[1]) {
      return true;
    }
  }
  return false;
}

bool Classifier::is_masked(const Slice& operands, uint32_t number) const noexcept {
  for (uint32_t i = 0; i < operands.count; ++i) {
    const MaskedValue& masked = masked_[operands.first + i];
    if ((number & masked.mask) == masked.value) return true;
  }
  return false;
}

bool Classifier::is_interface(const Slice& operands, const InterfaceName& name) const noexcept {
  if (name[0] == '\0') return false;
  using Words = std::array<uint64_t, 2>;
  const auto given = std::bit_cast<Words>(name);
  for (uint32_t i = 0; i < operands.count; ++i) {
    const InterfacePattern& pattern = interfaces_[operands.first + i];
    const auto value = std::bit_cast<Words>(pattern.name);
    const auto mask = std::bit_cast<Words>(pattern.mask);
    if ((given[0] & mask[0]) == value[0] && (given[1] & mask[1]) == value[1]) return true;
  }
  return false;
}

bool Classifier::is_icmp(const Slice& operands, const Packet& packet) const noexcept {
  const bool icmp = packet.is(Protocol::kIcmp);
  if (!packet.has_transport() || (!icmp && !packet.is(Protocol::kIcmpv6))) return false;
  const uint32_t type = load_u8(packet.data + packet.transport);
  const uint32_t code = load_u8(packet.data + packet.transport + 1);
  for (uint32_t i = 0; i < operands.count; ++i) {
    const IcmpMatch& match = icmp_[operands.first + i];
    const std::optional<Range>& types = icmp ? match.icmp : match.icmpv6;
    if (types && type >= types->low && type <= types->high && code >= match.code.low &&
        code <= match.code.high) {
      return true;
    }
  }
  return false;
}

bool Classifier::is_fragment(const Slice& operands, const Packet& packet) const noexcept {
  for (uint32_t i = 0; i < operands.count; ++i) {
    switch (fragments_[operands.first + i]) {
      case FragmentKind::kAny:
        if (packet.fragment) return true;
        break;
      case FragmentKind::kNone:
        if (!packet.fragment) return true;
        break;
      case FragmentKind::kFirst:
        if (packet.fragment && !packet.later_fragment) return true;
        break;
      case FragmentKind::kLater:
        if (packet.later_fragment) return true;
        break;
    }
  }
  return false;
}

bool Classifier::has_bytes(const Slice& operands, const Packet& packet) const noexcept {
  for (uint32_t i = 0; i < operands.count; ++i) {
    const BytesOperand& operand = bytes_operands_[operands.first + i];
    uint32_t offset = 0;
    if (!resolve(packet, operand.from, operand.at, &offset)) continue;
    const uint32_t size = operand.value.count;
    if (offset > packet.size || size > packet.size - offset) continue;
    const std::byte* value = bytes_.data() + operand.value.first;
    const std::byte* mask = value + size;
    uint32_t same = 0;
    while (same < size && (packet.data[offset + same] & mask[same]) == value[same]) ++same;
    if (same == size) return true;
  }
  return false;
}

}  // namespace fettle
