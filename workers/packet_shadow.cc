#include "workers/packet_shadow.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include <spdlog/spdlog.h>

#include "core/describe.h"
#include "core/resize.h"
#include "rules/describe_rules.h"
#include "workers/packet_log.h"

namespace fettle {
namespace {

std::string rules_text(const ShadowEntry& entry, const std::vector<std::string>& names) {
  if (entry.rule_count == 0) return "no rule";
  std::string out = entry.rule_count == 1 ? "rule" : "rules";
  const size_t shown = std::min<size_t>(entry.rule_count, ShadowEntry::kRules);
  for (size_t i = 0; i < shown; ++i) {
    out += fmt::format("{} \"{}\"", i == 0 ? "" : ",", names[entry.rules[i]]);
  }
  if (entry.rule_count > shown) out += fmt::format(" and {} more", entry.rule_count - shown);
  return out;
}

void add(std::string* out, std::string_view what) {
  *out += out->empty() ? "would " : ", ";
  *out += what;
}

std::string deeds_text(const ShadowEntry& entry) {
  const Outcome& outcome = entry.outcome;
  if (outcome.verdict == Verdict::kDrop) return "would drop it";
  std::string out;
  if (const std::string changes = changes_text(entry.changes); !changes.empty()) add(&out, changes);
  if (entry.mark != entry.metadata.mark) {
    add(&out, fmt::format("mark {:#x} -> {:#x}", entry.metadata.mark, entry.mark));
  }
  if (outcome.delay > 0) add(&out, fmt::format("delay {}", time_text(outcome.delay)));
  if (outcome.verdict == Verdict::kRepeat) add(&out, "repeat it");
  if (outcome.verdict == Verdict::kQueue) add(&out, fmt::format("send to queue {}", outcome.queue));
  return out;
}

bool does_anything(const Outcome& outcome) {
  return outcome.changed || outcome.mark_changed || outcome.delay > 0 ||
         outcome.verdict != Verdict::kAccept;
}

void fill(ShadowEntry* entry, std::span<const std::byte> bytes) {
  entry->size = static_cast<uint32_t>(std::min(bytes.size(), ShadowEntry::kBytes));
  std::copy_n(bytes.data(), entry->size, entry->bytes.begin());
}

}  // namespace

std::string shadow_text(const ShadowEntry& entry, const std::vector<std::string>& rule_names) {
  std::array<std::byte, ShadowEntry::kBytes> bytes = entry.bytes;
  const Packet packet = parse({bytes.data(), entry.size});
  return fmt::format("{}:{}{}: {}{}", rules_text(entry, rule_names), metadata_words(entry.metadata),
                     entry.size > 0 ? " " + one_line(packet) : "",
                     entry.stream ? "its stream " : "", deeds_text(entry));
}

PacketShadow::PacketShadow(const Program& program, uint16_t queue)
    : program_(program), queue_(queue), before_(kLongestPacket) {}

void PacketShadow::apply(InHand& hand, ProgramState& state) noexcept {
  hand_ = &hand;
  watched_ = pending_ < kPending && !limit_.spent();
  before_size_ = 0;
  named_ = true;
  ShadowEntry& entry = *next_entry();
  entry.rule_count = 0;
  entry.metadata = hand.metadata;
  new (&hand.outcome)
      Outcome(program_.trace(hand.packet, hand.metadata, state, *this, hand.looked));
  if (!does_anything(hand.outcome)) return;
  if (!watched_) {
    limit_.leave_out(1);
    return;
  }
  // A rule without a step that was done may have decided by a miss.
  if (entry.rule_count == 0 || hand.outcome.verdict == Verdict::kDrop) name_rule();
  const Packet& packet = hand.packet;
  const std::span<const std::byte> after(packet.data, packet.size);
  const auto before = before_size_ > 0 ? std::span(before_).first(before_size_) : after;
  fill(&entry, before);
  entry.changes = {};
  if (hand.outcome.changed) entry.changes = find_changes(before, after, packet.payload);
  entry.outcome = hand.outcome;
  entry.mark = hand.metadata.mark;
  entry.stream = false;
  ++pending_;
}

// Before the first of its rules has written.
void PacketShadow::rule(uint32_t rule) noexcept {
  if (watched_ && before_size_ == 0) keep_bytes(hand_->packet);
  rule_ = rule;
  named_ = false;
}

void PacketShadow::step(const Packet&, const Metadata&, bool missed) noexcept {
  if (!missed) name_rule();
}

// Once a rule.
void PacketShadow::name_rule() noexcept {
  if (named_) return;
  named_ = true;
  ShadowEntry& entry = *next_entry();
  if (entry.rule_count < ShadowEntry::kRules) entry.rules[entry.rule_count] = rule_;
  ++entry.rule_count;
}

ShadowEntry* PacketShadow::next_entry() noexcept {
  return pending_ < kPending ? &entries_[pending_] : &scratch_;
}

void PacketShadow::keep_bytes(const Packet& packet) noexcept {
  before_size_ = static_cast<uint32_t>(std::min<size_t>(packet.size, before_.size()));
  std::copy_n(packet.data, before_size_, before_.begin());
}

void PacketShadow::edit(const InHand& hand, std::span<const std::byte> piece) noexcept {
  if (pending_ == kPending || limit_.spent()) {
    limit_.leave_out(1);
    return;
  }
  ShadowEntry& entry = entries_[pending_++];
  entry.metadata = hand.metadata;
  entry.outcome = hand.outcome;
  entry.outcome.delay = 0;  // which apply() has told of
  entry.mark = hand.metadata.mark;
  entry.stream = true;
  entry.rule_count = 0;
  for (uint64_t left = hand.outcome.stream_rules; left != 0; left &= left - 1) {
    const auto bit = static_cast<size_t>(std::countr_zero(left));
    if (entry.rule_count < ShadowEntry::kRules) {
      entry.rules[entry.rule_count] = program_.stream_rules()[bit];
    }
    ++entry.rule_count;
  }
  const std::span<const std::byte> came(hand.packet.data, hand.packet.size);
  fill(&entry, came);
  entry.changes = {};
  if (!piece.empty()) entry.changes = find_changes(came, piece, hand.packet.payload);
}

void PacketShadow::write_pending() {
  if (const uint64_t left_out = limit_.renew(std::chrono::steady_clock::now())) {
    spdlog::info("queue {}: shadow: {} more packets would have met something", queue_, left_out);
  }
  for (size_t i = 0; i < pending_; ++i) {
    if (!limit_.take()) continue;
    spdlog::info("queue {}: shadow: {}", queue_, shadow_text(entries_[i], program_.rule_names()));
  }
  pending_ = 0;
}

}  // namespace fettle
