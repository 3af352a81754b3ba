// Random matches of all keys, and packets that meet them now and then.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/bytes.h"
#include "rules/packet_filter.h"
#include "rules/rule.h"
#include "tests/packet_builder.h"

namespace fettle::testing {

class Random {
 public:
  explicit Random(uint32_t seed) : random_(seed) {}
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool one_in(uint32_t n) { return below(n) == 0; }
  // A number below n, mostly a small one, so that rules and packets meet.
  uint32_t number(uint32_t n) {
    if (one_in(8)) return one_in(2) ? n - 1 : 0;
    return below(one_in(3) ? n : std::min(n, 12u));
  }
  std::string interface() {
    return std::vector<std::string>{"eth0", "eth1", "eth10", "lo", "a-long-name-of-1"}[below(5)]
        .substr(0, 15);
  }
  Address address() {
    const bool wide = one_in(2);
    Address out;
    out.family = wide ? Family::kIpv6 : Family::kIpv4;
    store_be32(out.bytes.data(), one_in(16) ? ~0u : 0x0a000000 + number(1 << 16));
    for (size_t i = 4; wide && i < 16; i += 4) {
      store_be32(out.bytes.data() + i, one_in(8) ? ~0u : number(1 << 16));
    }
    return out;
  }

 private:
  std::mt19937 random_;
};

// The patterns of random rules are literal bytes; \xHH is how they are written.
std::string pattern_of(const ByteVector& bytes);

class RandomMatches {
 public:
  RandomMatches(Random& random, std::vector<Key> keys) : random_(random), keys_(std::move(keys)) {}

  // Some filters ask for protocols and addresses by name.
  RandomMatches& with_named_filters() {
    names_filters_ = true;
    return *this;
  }

  Match match(uint32_t most_keys, uint32_t longest) {
    Match out = conditions(most_keys, longest);
    while (random_.one_in(4)) out.none_of.push_back(conditions(2, longest));
    return out;
  }

 private:
  Match conditions(uint32_t most_keys, uint32_t longest) {
    Match out;
    std::vector<Key> left = keys_;
    for (uint32_t i = random_.below(most_keys + 1); i > 0 && !left.empty(); --i) {
      const auto at = left.begin() + random_.below(static_cast<uint32_t>(left.size()));
      Condition condition{.key = *at, .any_of = {}, .where = {}};
      left.erase(at);
      uint32_t size = 1;
      while (size < longest && random_.one_in(2)) ++size;
      if (random_.one_in(20)) size = longest;
      for (; size > 0; --size) condition.any_of.push_back(operand(condition.key));
      out.all_of.push_back(std::move(condition));
    }
    return out;
  }

  Operand range(uint32_t n) {
    const uint32_t low = random_.number(n);
    if (random_.one_in(2)) return Range{low, low};
    return Range{low, std::min(n - 1, low + random_.number(n))};
  }
  Operand masked(uint32_t n) {
    const uint32_t mask = random_.one_in(2) ? ~0u : ~0u << random_.below(32) ^ random_.below(2);
    return MaskedValue{random_.number(n) & mask, mask};
  }
  Operand operand(Key key) {
    switch (key) {
      case Key::kFamily:
        return random_.one_in(2) ? Family::kIpv4 : Family::kIpv6;
      case Key::kProtocol:
        return random_.one_in(4) ? range(256) : one_protocol();
      case Key::kSrc:
      case Key::kDst: {
        const Address address = random_.address();
        uint32_t length = random_.below(address.bits() + 1);
        if (random_.one_in(2)) length = address.bits() - length / 8;
        return Prefix{mask_address(address, length), static_cast<uint8_t>(length)};
      }
      case Key::kSrcPort:
      case Key::kDstPort:
      case Key::kPort:
        return range(65'536);
      case Key::kHook:
        return range(5);
      case Key::kIn:
      case Key::kOut:
        return interface();
      case Key::kMark:
        return masked(~0u);
      case Key::kTtl:
        return range(256);
      case Key::kDscp:
        return range(64);
      case Key::kLength:
        return range(random_.one_in(2) ? 65'536 : 128);
      case Key::kTcpFlags:
        return masked(256);
      case Key::kFragment:
        return FragmentKind{static_cast<uint8_t>(random_.below(4))};
      case Key::kIcmpType:
        return icmp();
      case Key::kBytes:
        return bytes();
      case Key::kPayload:
        return pattern();
      case Key::kFilter:
        return filter();
      case Key::kProbability:
        return ChanceMatch{.percent = 1.0 + random_.below(100), .salt = random_.below(4)};
    }
    return range(1);
  }
  Operand one_protocol() {
    const uint32_t number = std::vector<uint32_t>{1, 6, 17, 58, 132, 136}[random_.below(6)];
    return Range{number, number};
  }
  Operand interface() {
    const std::string name = random_.interface();
    const size_t size = random_.one_in(2) ? 16 : random_.below(static_cast<uint32_t>(name.size()));
    InterfacePattern out{.name = interface_name(name.substr(0, size)), .mask = {}};
    std::fill_n(out.mask.begin(), size, '\xff');
    return out;
  }
  Operand icmp() {
    IcmpMatch out;
    if (!random_.one_in(4)) out.icmp = std::get<Range>(range(16));
    if (!random_.one_in(4)) out.icmpv6 = std::get<Range>(range(256));
    if (random_.one_in(4)) out.code = std::get<Range>(range(8));
    return out;
  }
  Operand bytes() {
    BytesMatch out;
    out.from = Origin{static_cast<uint8_t>(random_.below(5))};
    out.at = random_.below(24);
    out.mask = filled(1 + random_.below(3));
    std::ranges::fill(out.mask, random_.one_in(2) ? std::byte{0xff} : std::byte{0x0f});
    for (const std::byte mask : out.mask) out.value.push_back(std::byte(random_.below(8)) & mask);
    return out;
  }

  Operand pattern() {
    const ByteVector all = filled(42);
    const uint32_t size = 1 + random_.below(3);
    const auto at = all.begin() + random_.below(40);
    PatternMatch out{.pattern = pattern_of({at, at + size}), .ignore_case = false, .where = {}};
    if (random_.one_in(8)) out.pattern += pattern_of({std::byte(random_.below(256))});
    return out;
  }

  Operand filter() {
    FilterMatch out{.expression = fmt::format("ip{}[{}] & 15 = {}", random_.one_in(2) ? "" : "6",
                                              random_.below(60), random_.below(8)),
                    .program = {}};
    if (names_filters_ && random_.one_in(3)) {
      out.expression =
          fmt::format("{} and not net {}.0.0.0/8",
                      random_.one_in(2) ? "tcp" : "udp port 3 or icmp6", random_.below(12));
    }
    std::string why;
    out.program = compile_filter(out.expression, &why).value();
    return out;
  }

  Random& random_;
  std::vector<Key> keys_;
  bool names_filters_ = false;
};

ByteVector random_packet(Random& random);
Metadata random_metadata(Random& random);

}  // namespace fettle::testing
