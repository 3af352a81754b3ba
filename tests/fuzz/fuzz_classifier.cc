// Rules and a packet made of arbitrary bytes: the classifier's index finds what asking every rule
// in turn finds.
//
// Input: how the packet is made, the packet's fields, the metadata's, then rules.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <pcap/bpf.h>

#include "rules/classifier.h"
#include "tests/fuzz/input.h"

namespace {

using namespace fettle;
using fuzz::Input;

Address address_of(Input& in, Family family) {
  Address out;
  out.family = family;
  for (size_t i = 0; i < out.size(); i += 4) store_be32(out.bytes.data() + i, in.number(~0u));
  return out;
}

InterfaceName interface_of(Input& in) {
  constexpr std::array<std::string_view, 6> kNames{"",      "eth0", "eth1",
                                                   "eth10", "wlan", "a-name-of-full-"};
  return interface_name(kNames[in.below(kNames.size())]);
}

constexpr uint32_t kPacketSize = 96;

// A whole header with the fields given, so that few inputs are malformed.
void make_packet(Input& in, std::byte* at) {
  const bool wide = in.below(2);
  const uint32_t header = wide ? 40 : 20;
  constexpr std::array<uint8_t, 8> kProtocols{6, 17, 17, 1, 58, 132, 136, 47};
  const uint8_t protocol = kProtocols[in.below(kProtocols.size())];
  const Family family = wide ? Family::kIpv6 : Family::kIpv4;
  const Address src = address_of(in, family), dst = address_of(in, family);
  if (wide) {
    store_be32(at, 0x60000000 | in.number(255) << 20);
    store_be16(at + 4, kPacketSize - 40);
    store_u8(at + 6, protocol);
    store_u8(at + 7, in.byte());
  } else {
    store_be32(at, 0x45000000 | in.number(255) << 16 | kPacketSize);
    store_be16(at + 6, static_cast<uint16_t>(in.below(8) ? 0 : in.number(0x3fff)));
    store_u8(at + 8, in.byte());
    store_u8(at + 9, protocol);
  }
  std::copy_n(src.bytes.data(), src.size(), at + (wide ? 8 : 12));
  std::copy_n(dst.bytes.data(), dst.size(), at + (wide ? 24 : 16));
  for (uint32_t i = header; i < kPacketSize; ++i) store_u8(at + i, in.byte() & 0x0f);
  if (protocol == 17 || protocol == 136)
    store_be16(at + header + 4, static_cast<uint16_t>(kPacketSize - header));
  if (protocol == 6) store_u8(at + header + 12, 0x50);
}

constexpr Key kMetadataKeys[] = {Key::kFamily, Key::kHook, Key::kIn, Key::kOut, Key::kMark};
constexpr Key kPacketKeys[] = {Key::kFamily,   Key::kProtocol, Key::kSrc,      Key::kDst,
                               Key::kSrcPort,  Key::kDstPort,  Key::kPort,     Key::kHook,
                               Key::kIn,       Key::kOut,      Key::kMark,     Key::kTtl,
                               Key::kDscp,     Key::kLength,   Key::kTcpFlags, Key::kFragment,
                               Key::kIcmpType, Key::kBytes,    Key::kFilter,   Key::kProbability};

Range range(Input& in, uint32_t most) {
  const uint32_t low = in.number(most);
  return {low, low + std::min(in.number(most), most - low)};
}

Operand operand(Input& in, Key key) {
  switch (key) {
    case Key::kFamily:
      return in.below(2) ? Family::kIpv6 : Family::kIpv4;
    case Key::kSrc:
    case Key::kDst: {
      const Address address = address_of(in, in.below(2) ? Family::kIpv6 : Family::kIpv4);
      const uint32_t length = in.below(address.bits() + 1);
      return Prefix{mask_address(address, length), static_cast<uint8_t>(length)};
    }
    case Key::kIn:
    case Key::kOut: {
      InterfacePattern out{.name = interface_of(in), .mask = {}};
      const uint32_t size = in.below(2) ? in.below(16) : 16;
      std::fill_n(out.mask.begin(), size, '\xff');
      std::fill(out.name.begin() + size, out.name.end(), '\0');
      return out;
    }
    case Key::kMark:
    case Key::kTcpFlags: {
      const uint32_t mask = in.below(2) ? ~0u << in.below(32) : in.number(~0u);
      return MaskedValue{in.number(~0u) & mask, mask};
    }
    case Key::kFragment:
      return FragmentKind{static_cast<uint8_t>(in.below(4))};
    case Key::kIcmpType:
      return IcmpMatch{.icmp = range(in, 255), .icmpv6 = range(in, 255), .code = {0, 255}};
    case Key::kBytes: {
      const std::byte value{static_cast<uint8_t>(in.byte() & 0x0f)};
      return BytesMatch{.from = Origin{static_cast<uint8_t>(in.below(5))},
                        .at = in.below(64),
                        .value = {value},
                        .mask = {std::byte{0x0f}}};
    }
    case Key::kFilter: {
      const bpf_insn program[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, in.below(kPacketSize)),
                                  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, in.number(255), 0, 1),
                                  BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 0)};
      FilterMatch out;
      for (const bpf_insn& one : program) out.program.push_back(std::bit_cast<uint64_t>(one));
      return out;
    }
    case Key::kProbability:
      return ChanceMatch{.percent = 1.0 + in.below(100), .salt = in.below(4)};
    case Key::kProtocol:
    case Key::kTtl:
      return range(in, 255);
    case Key::kHook:
      return range(in, 4);
    case Key::kDscp:
      return range(in, 63);
    case Key::kLength:
      return range(in, ~0u);
    default:
      return range(in, 65'535);
  }
}

Match conditions(Input& in, std::span<const Key> keys, uint32_t most) {
  Match out;
  for (uint32_t i = in.below(most + 1); i > 0; --i) {
    Condition condition{
        .key = keys[in.below(static_cast<uint32_t>(keys.size()))], .any_of = {}, .where = {}};
    for (uint32_t size = 1 + in.below(4) % 3; size > 0; --size) {
      condition.any_of.push_back(operand(in, condition.key));
    }
    out.all_of.push_back(std::move(condition));
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  const uint32_t mode = in.below(8);
  const bool metadata_only = mode == 0;
  // Exactly as large as the packet, so that a sanitizer sees the first byte beyond.
  const std::unique_ptr<std::byte[]> bytes(new std::byte[kPacketSize]{});
  if (mode == 1) {
    for (uint32_t i = 0; i < kPacketSize; ++i) store_u8(bytes.get() + i, in.byte());
  } else {
    make_packet(in, bytes.get());
  }
  const Packet packet = metadata_only ? Packet{} : parse({bytes.get(), kPacketSize});
  if (!metadata_only && packet.malformed()) return 0;
  const Metadata metadata{.in = interface_of(in),
                          .out = interface_of(in),
                          .mark = in.number(~0u),
                          .hook = Hook{static_cast<uint8_t>(in.below(5))},
                          .family = in.below(2) ? Family::kIpv6 : Family::kIpv4};
  const std::span<const Key> keys =
      metadata_only ? std::span<const Key>(kMetadataKeys) : std::span<const Key>(kPacketKeys);
  std::vector<Match> rules;
  while (!in.empty() && rules.size() < 500) {
    rules.push_back(conditions(in, keys, 4));
    if (in.below(4) == 3) rules.back().none_of.push_back(conditions(in, keys, 2));
  }
  std::vector<const Match*> pointers;
  for (const Match& match : rules) pointers.push_back(&match);
  const Classifier classifier(pointers);
  for (uint32_t from = 0; from <= classifier.size(); ++from) {
    if (classifier.next_match(packet, metadata, from) != classifier.walk(packet, metadata, from)) {
      std::abort();
    }
  }
  return 0;
}
