#include "tests/stream_script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "core/bytes.h"

namespace fettle::testing {

StreamScript::StreamScript(const StreamTable::Size& size, uint32_t wrap)
    : ipv6_(wrap % 2 == 1), complete_(wrap % 4 > 1), zero_{0u - wrap, 0u - wrap * 5 % 48} {
  memory_.resize(StreamTable::bytes(size) / sizeof(Line) + 1);
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(memory_));
  StreamTable::format(memory, size, {});
  EXPECT_TRUE(table_.attach(memory));
  output_.area = area_;
}

void StreamScript::play(const std::string& script) {
  std::istringstream lines(script);
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) step(line);
}

StreamAction StreamScript::process(Bytes bytes) {
  const Bytes came = bytes;
  Packet packet = parse(bytes);
  const StreamAction action = table_.process(packet, now_, editor_, output_);
  EXPECT_EQ(bytes, came);
  return action;
}

std::string StreamScript::relative(uint32_t number, uint32_t end) const {
  return std::to_string(static_cast<int32_t>(number - zero_[end]));
}

void StreamScript::step(const std::string& line) {
  std::istringstream in(line);
  std::string word, name;
  in >> word;
  if (word == "open") {
    play("0> S 0 0 = untracked S 0 0\n1> SA 0 1 = untracked SA 0 1\n0> A 1 1 = pass A 1 1");
  } else if (word == "0>" || word == "1>") {
    const uint32_t from = word == "1>";
    Bytes bytes = read(in, from);
    std::getline(in >> std::ws, word);
    EXPECT_EQ(offer(std::move(bytes), from), word) << line;
  } else {
    if (word == "count") in >> name;
    uint32_t value = 0;
    in >> value;
    if (name.empty()) return set(word, value);
    EXPECT_EQ(count(name), value) << line;
  }
}

void StreamScript::set(const std::string& name, uint32_t value) {
  StreamLimits& limits = output_.limits;
  if (name == "room") {  // for data, in a packet without SACK
    limits.packet = ip() + 32 + value;
  } else if (name == "pieces") {
    limits.pieces = value;
  } else if (name == "gso") {
    limits.gso_size = value;
  } else if (name == "give-up") {
    output_.give_up = value != 0;
  } else if (name == "enter") {
    output_.enter = value != 0;
  } else if (name == "connection") {
    number_ = value;
  } else if (name == "now") {
    now_ = value;
  } else if (name == "bad") {  // what is added to each checksum
    bad_ = value;
  } else if (name == "option") {  // the kind of what would be SACK
    option_ = value;
  } else if (name == "immutable") {
    plan_ = ChecksumPlan::kImmutable;
  } else {
    ADD_FAILURE() << name;
  }
}

uint64_t StreamScript::count(std::string_view name) const {
  const StreamTable::Counters& counters = table_.counters();
  if (name == "connections") return table_.connections();
  if (name == "edits-free") return table_.free_edits();
  if (name == "chunks-free") return table_.free_chunks();
  if (name == "entered") return counters.entered;
  if (name == "evicted") return counters.evicted;
  if (name == "full") return counters.full;
  if (name == "given-up") return counters.given_up;
  if (name == "refused-edits") return counters.refused_edits;
  if (name == "sack-dropped") return counters.sack_blocks_dropped;
  ADD_FAILURE() << name;
  return 0;
}

constexpr std::string_view kFlags = "FSRPAUEC";

Bytes StreamScript::read(std::istream& in, uint32_t from) const {
  Wire wire{.window = 4000, .stamp = 77};
  std::string word;
  in >> word >> wire.seq >> wire.ack;
  for (const char flag : word) wire.flags |= static_cast<uint8_t>(1u << kFlags.find(flag));
  wire.seq += zero_[from];
  if (wire.flags & 0x10) wire.ack += zero_[!from];
  while (in >> word && word != "=") {
    if (word.starts_with("urg=")) {
      wire.urgent = static_cast<uint16_t>(std::stoul(word.substr(4)));
    } else if (word.starts_with("sack=")) {
      std::istringstream blocks(word.substr(5));
      char colon = 0, comma = 0;
      for (uint32_t left, right; blocks >> left >> colon >> right; blocks >> comma)
        wire.sack.emplace_back(zero_[!from] + left, zero_[!from] + right);
    } else {
      wire.data = word;
    }
  }
  Bytes bytes = build(wire, ipv6_, number_, from);
  std::byte* tcp = &bytes[ip()];
  store_be16(tcp + 16, folded(load_be16(tcp + 16) + bad_));
  if (!wire.sack.empty()) tcp[34] = static_cast<std::byte>(option_);
  return bytes;
}

std::string StreamScript::offer(Bytes bytes, uint32_t from) {
  static constexpr const char* kActions[] = {"pass", "replace", "hold",
                                             "drop", "cannot",  "untracked"};
  static constexpr const char* kReasons[] = {"",      " early", " tail",     " room",
                                             " area", " gso",   " immutable"};
  const Bytes came = bytes;
  Packet packet = parse(bytes);
  packet.plan = complete_ && plan_ == ChecksumPlan::kCapture ? ChecksumPlan::kComplete : plan_;
  const StreamAction action = table_.process(packet, now_, editor_, output_);
  std::string text = kActions[static_cast<size_t>(action)];
  text += kReasons[static_cast<size_t>(output_.reason)];
  if (output_.part) text += " part";
  if (action != StreamAction::kPass) {
    EXPECT_EQ(bytes, came) << "only what passes may change in place";
  }
  if (action == StreamAction::kPass || action == StreamAction::kUntracked) {
    judge(came, bytes);
    return text + " " + text_of(bytes, from);
  }
  for (uint32_t i = 0; i < output_.piece_count; ++i) {
    const std::span<const std::byte> piece = output_.pieces[i];
    EXPECT_LE(piece.size(), output_.limits.packet);
    judge(came, piece);
    text += (i == 0 ? " " : " | ") + text_of(piece, from);
  }
  return text;
}

std::string StreamScript::text_of(std::span<const std::byte> bytes, uint32_t from) const {
  const std::byte* tcp = &bytes[ip()];
  const uint8_t flags = load_u8(tcp + 13);
  std::string text;
  for (size_t i = 0; i < kFlags.size(); ++i)
    if (flags >> i & 1) text += kFlags[i];
  const uint32_t ack = load_be32(tcp + 8);
  text += ' ' + relative(load_be32(tcp + 4), from) + ' ';
  text += (flags & 0x10) != 0 ? relative(ack, !from) : std::to_string(ack);
  const uint32_t header = load_u8(tcp + 12) / 16 * 4u;
  const auto data = bytes.subspan(ip() + header);
  if (!data.empty()) text += ' ';
  for (const std::byte byte : data) text += static_cast<char>(byte);
  const uint16_t urgent = load_be16(tcp + 18);
  if (urgent != 0 || (flags & 0x20) != 0) text += " urg=" + std::to_string(urgent);
  if (header == 32 || load_u8(tcp + 34) != 5) return text;
  const uint32_t end = 34u + load_u8(tcp + 35);
  for (uint32_t at = 36; at < end; at += 8) {
    text += (at == 36 ? " sack=" : ",") + relative(load_be32(tcp + at), !from);
    text += ':' + relative(load_be32(tcp + at + 4), !from);
  }
  return text;
}

// A checksum that was wrong leaves wrong by as much; what is no stream's business leaves as it was.
void StreamScript::judge(const Bytes& came, std::span<const std::byte> left) const {
  EXPECT_EQ(left.size(), ipv6_ ? load_be16(&left[4]) + 40u : load_be16(&left[2]));
  if (!ipv6_) {
    EXPECT_EQ(folded(plain_words(left.first(20))), 0xffff);
  }
  EXPECT_EQ(folded(tcp_sum(left, ipv6_)), folded(tcp_sum(came, ipv6_)));
  const auto same = [&](uint32_t at, uint32_t size) {
    return std::equal(&came[at], &came[at] + size, &left[at]);
  };
  EXPECT_TRUE(same(ipv6_ ? 6 : 12, ipv6_ ? 34 : 8)) << "addresses";
  EXPECT_TRUE(same(ip(), 4) && same(ip() + 14, 2) && same(ip() + 20, 12)) << "window, time stamps";
}

}  // namespace fettle::testing
