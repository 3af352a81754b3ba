#include "tests/stream_wire.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/bytes.h"

namespace fettle::testing {
namespace {

struct Pattern {
  std::string_view find, with;
};
// None is a proper prefix of another, or can begin inside another's match.
constexpr Pattern kPatterns[] = {{"GROW", "a-longer-replacement-that-grows"},
                                 {"del", ""},
                                 {"SHRINK", "s"},
                                 {"same", "SAME"},
                                 {"I!", "<inserted>I!"},
                                 {"xyz123",
                                  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
                                  "abcdef0123456789abcdef0123456789abcdef!"}};

const Pattern* at(std::string_view text) {
  for (const Pattern& pattern : kPatterns)
    if (text.starts_with(pattern.find)) return &pattern;
  return nullptr;
}

// An insertion is edited as one, not as a replacement that keeps bytes.
std::pair<uint32_t, std::string_view> change(const Pattern& pattern) {
  if (pattern.find == "I!") return {0, pattern.with.substr(0, pattern.with.size() - 2)};
  return {static_cast<uint32_t>(pattern.find.size()), pattern.with};
}

}  // namespace

std::string random_stream(std::mt19937_64& random) {
  static constexpr std::string_view kFill = "GROWdelSHIsamexyz123!. ";
  std::string out;
  const uint32_t size = pick(random, 4) == 0 ? pick(random, 4) : pick(random, 900);
  while (out.size() < size) {
    if (pick(random, 12) == 0) {
      out += kPatterns[pick(random, std::size(kPatterns))].find;
    } else {
      out += kFill[pick(random, kFill.size())];
    }
  }
  return out;
}

uint32_t plain_words(std::span<const std::byte> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += std::to_integer<uint32_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
  }
  return sum;
}

uint16_t folded(uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint32_t tcp_sum(std::span<const std::byte> packet, bool ipv6) {
  const uint32_t header = ipv6 ? 40 : 20;
  const auto addresses = ipv6 ? packet.subspan(8, 32) : packet.subspan(12, 8);
  return folded(plain_words(addresses)) + 6 + static_cast<uint32_t>(packet.size() - header) +
         folded(plain_words(packet.subspan(header)));
}

uint32_t KernelShift::of_sequence(uint32_t seq) const {
  const bool behind = static_cast<int32_t>(told.position - seq) < 0;
  return seq + (behind ? told.after : told.before);
}

uint32_t KernelShift::of_answer(uint32_t ack) const {
  const bool behind = static_cast<int32_t>(told.position - (ack - told.before)) < 0;
  return ack - (behind ? told.after : told.before);
}

KernelShift random_shift(std::mt19937_64& random, uint32_t start) {
  const auto any = static_cast<uint32_t>(random());
  switch (pick(random, 4)) {
    case 0:
      return {{.position = 0, .before = any, .after = any}};
    case 1:
      return {{.position = start + any % 1500, .before = 0u - any % 9, .after = any % 30}};
    default:
      return {};
  }
}

void shift_answers(Wire& wire, const KernelShift& shift) {
  wire.ack = shift.of_sequence(wire.ack);
  for (auto& [left, right] : wire.sack) {
    left = shift.of_sequence(left);
    right = shift.of_sequence(right);
  }
}

void shift_answers_back(std::span<std::byte> packet, bool ipv6, const KernelShift& shift) {
  std::byte* tcp = packet.data() + (ipv6 ? 40 : 20);
  const auto shift_back = [&](std::byte* at) { store_be32(at, shift.of_answer(load_be32(at))); };
  const bool right_sum = folded(tcp_sum(packet, ipv6)) == 0xffff;
  shift_back(tcp + 8);
  const uint32_t header = (load_u8(tcp + 12) >> 4) * 4u;
  if (header > 32 && load_u8(tcp + 34) == 5) {  // behind the time stamps and two NOPs
    for (uint32_t at = 36; at + 4 <= 34u + load_u8(tcp + 35); at += 4) shift_back(tcp + at);
  }
  store_be16(tcp + 16, 0);
  const auto sum = static_cast<uint16_t>(~folded(tcp_sum(packet, ipv6)));
  store_be16(tcp + 16, right_sum ? sum : static_cast<uint16_t>(~sum));
}

StreamEditor::Found PatternEditor::edit(const StreamText& text, std::span<StreamEdit> edits) {
  const std::string_view bytes(
      static_cast<const char*>(static_cast<const void*>(text.bytes.data())), text.bytes.size());
  Found found;
  for (uint32_t i = 0; i < bytes.size(); ++i) {
    const std::string_view rest = bytes.substr(i);
    const Pattern* pattern = at(rest);
    if (pattern == nullptr) {
      const bool begins = std::any_of(std::begin(kPatterns), std::end(kPatterns),
                                      [&](const Pattern& p) { return p.find.starts_with(rest); });
      if (!begins || text.last) continue;
      found.withhold = static_cast<uint32_t>(rest.size());
      break;
    }
    if (found.edits == edits.size()) break;
    const auto [length, with] = change(*pattern);
    edits[found.edits++] = {i, length, std::as_bytes(std::span(with))};
    log[text.direction][text.position + i] = {length, std::string(with)};
    i += static_cast<uint32_t>(pattern->find.size()) - 1;
  }
  return found;
}

std::map<uint32_t, Cut> edits_of(const std::string& stream) {
  std::map<uint32_t, Cut> log;
  for (uint32_t i = 0; i < stream.size(); ++i) {
    const Pattern* pattern = at(std::string_view(stream).substr(i));
    if (pattern == nullptr) continue;
    const auto [length, with] = change(*pattern);
    log[i] = {length, std::string(with)};
    i += static_cast<uint32_t>(pattern->find.size()) - 1;
  }
  return log;
}

std::string edited(const std::string& stream, const std::map<uint32_t, Cut>& log) {
  std::string out;
  uint32_t at = 0;
  for (const auto& [place, cut] : log) {
    out += stream.substr(at, place - at) + cut.with;
    at = place + cut.length;
  }
  return out + stream.substr(at);
}

Bytes build(const Wire& wire, bool ipv6, uint32_t number, uint32_t direction) {
  const uint32_t ip = ipv6 ? 40 : 20;
  const auto blocks = static_cast<uint32_t>(wire.sack.size());
  const uint32_t options = 12 + (blocks > 0 ? 4 + 8 * blocks : 0);
  Bytes out(ip + 20 + options + wire.data.size());
  std::byte* b = out.data();
  std::array<std::byte, 2> ends = {std::byte{1}, std::byte{2}};
  const auto address = [&](std::byte* to, uint32_t end) {
    store_be32(to + (ipv6 ? 12 : 0), 0x0a000000 | (number & 0xffff) << 8);
    to[ipv6 ? 15 : 3] = ends[end];
    if (ipv6) store_be32(to, 0x20010db8);
  };
  if (ipv6) {
    store_be32(b, 0x60000000);
    store_be16(b + 4, static_cast<uint16_t>(out.size() - 40));
    store_be16(b + 6, 0x0640);
    address(b + 8, direction), address(b + 24, !direction);
  } else {
    store_be16(b, 0x4500);
    store_be16(b + 2, static_cast<uint16_t>(out.size()));
    store_be32(b + 4, 0x00014000);
    store_be16(b + 8, 0x4006);
    address(b + 12, direction), address(b + 16, !direction);
    store_be16(b + 10, static_cast<uint16_t>(~folded(plain_words({b, 20}))));
  }
  std::byte* t = b + ip;
  const auto port = static_cast<uint16_t>(20000 + (number >> 16));
  store_be16(t, direction == 0 ? port : 21);
  store_be16(t + 2, direction == 0 ? 21 : port);
  store_be32(t + 4, wire.seq);
  store_be32(t + 8, wire.ack);
  store_be16(t + 12, static_cast<uint16_t>((20 + options) / 4 << 12 | wire.flags));
  store_be16(t + 14, static_cast<uint16_t>(wire.window));
  store_be16(t + 18, wire.urgent);
  store_be32(t + 20, 0x0101080a);
  store_be32(t + 24, wire.stamp);
  store_be32(t + 28, ~wire.stamp);
  if (blocks > 0) store_be32(t + 32, 0x01010500 | (2 + 8 * blocks));
  for (uint32_t i = 0; i < blocks; ++i) {
    store_be32(t + 36 + 8 * i, wire.sack[i].first);
    store_be32(t + 40 + 8 * i, wire.sack[i].second);
  }
  if (!wire.data.empty()) std::memcpy(t + 20 + options, wire.data.data(), wire.data.size());
  store_be16(t + 16, static_cast<uint16_t>(~folded(tcp_sum(out, ipv6))));
  return out;
}

}  // namespace fettle::testing
