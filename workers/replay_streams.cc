#include "workers/replay_streams.h"

#include <algorithm>

#include "core/capture_resize.h"
#include "core/counters.h"
#include "core/resize.h"

namespace fettle {
namespace {

// A lane's; of a capture with more connections at a time the longest unused leave.
constexpr StreamTable::Size kSize{
    .connections = 1 << 14, .edits = 1 << 13, .chunks = 1 << 14, .handshakes = 1 << 13};
constexpr uint32_t kEarlyWait = 1000;  // milliseconds of the capture

uint32_t milliseconds(const Record& record) {
  return static_cast<uint32_t>(record.time_ns / 1'000'000);
}

}  // namespace

ReplayStreams::ReplayStreams(const Program& program)
    : program_(program),
      memory_((StreamTable::bytes(kSize) + sizeof(Line) - 1) / sizeof(Line)),
      area_(kLongestPacket + stream::kMaxTail) {
  const std::span<std::byte> memory = std::as_writable_bytes(std::span(memory_));
  // The same places for the same capture each time.
  StreamTable::format(memory, kSize, SipKey{});
  table_.attach(memory);
  output_.limits.packet = 65535;
  output_.limits.trust_acknowledgements = true;
  output_.limits.recorded = true;
}

void ReplayStreams::take(ReplayChunk& chunk, uint32_t place, const Outcome& outcome,
                         ProgramCounters& counters) {
  const uint32_t now = milliseconds(chunk.piece.records[chunk.items[place].record]);
  const bool over = std::ranges::any_of(waiting_, [&](const Waiting& packet) {
    return static_cast<int32_t>(now - packet.deadline) >= 0;
  });
  if (over) offer_again(chunk, now, counters);
  const Waiting packet{
      .place = place, .outcome = outcome, .connection = 0, .direction = 0, .deadline = 0};
  if (offer(chunk, packet, now, counters) == Done::kWaits) {
    waiting_.push_back(packet);
    waiting_.back().connection = output_.connection;
    waiting_.back().direction = output_.direction;
    const bool early = output_.reason == StreamReason::kEarly;
    waiting_.back().deadline = now + (early ? kEarlyWait : output_.wait);
  } else if ((output_.advanced || output_.advanced_back) && !waiting_.empty()) {
    offer_again(chunk, now, counters);
  }
}

// In the order in which they came, until none of them brings another one on.
void ReplayStreams::offer_again(ReplayChunk& chunk, uint32_t now, ProgramCounters& counters) {
  for (bool again = true; again;) {
    again = false;
    for (size_t i = 0; i < waiting_.size(); ++i) {
      output_.skip_hole = static_cast<int32_t>(now - waiting_[i].deadline) >= 0;
      const Done done = offer(chunk, waiting_[i], now, counters);
      output_.skip_hole = false;
      if (done == Done::kWaits) continue;
      again |= output_.advanced;
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i--));
    }
  }
}

void ReplayStreams::finish(ReplayChunk& chunk, ProgramCounters& counters) {
  if (waiting_.empty()) return;
  uint32_t now = milliseconds(chunk.piece.records[chunk.items[waiting_.back().place].record]);
  // A packet may wait twice: for what is before it, then for what follows.
  for (size_t rounds = 2 * waiting_.size(); rounds > 0 && !waiting_.empty(); --rounds) {
    now += kEarlyWait;
    for (Waiting& packet : waiting_) packet.deadline = now;
    offer_again(chunk, now, counters);
  }
  waiting_.clear();
}

ReplayStreams::Done ReplayStreams::offer(ReplayChunk& chunk, const Waiting& packet, uint32_t now,
                                         ProgramCounters& counters) {
  Packet& bytes = chunk.items[packet.place].packet;
  output_.area = area_;
  output_.give_up = false;
  StreamAction action = program_.edit_stream(table_, bytes, packet.outcome, now, output_);
  if (action == StreamAction::kCannot) {
    output_.give_up = true;
    action = program_.edit_stream(table_, bytes, packet.outcome, now, output_);
  }
  if (action == StreamAction::kHold) return Done::kWaits;
  leave(chunk, packet, action, counters);
  return Done::kYes;
}

void ReplayStreams::leave(ReplayChunk& chunk, const Waiting& packet, StreamAction action,
                          ProgramCounters& counters) {
  const ReplayChunk::Item& item = chunk.items[packet.place];
  Record& record = chunk.piece.records[item.record];
  const bool replaced = action == StreamAction::kReplace;
  if (action == StreamAction::kDrop || (replaced && !can_resize(record))) {
    record.raw = {};
    bump(counters.dropped);
    return;
  }
  if (!packet.outcome.changed && (replaced || item.packet.changed)) bump(counters.changed);
  if (replaced) replace(chunk, record, item.packet);
}

void ReplayStreams::replace(ReplayChunk& chunk, Record& record, const Packet& packet) {
  const auto at = static_cast<size_t>(packet.data - record.frame.data());
  std::vector<std::byte> raw;
  for (uint32_t i = 0; i < output_.piece_count; ++i) {
    const std::vector<std::byte> one = resized(record, at, packet.size, output_.pieces[i]);
    raw.insert(raw.end(), one.begin(), one.end());
  }
  chunk.resized.push_back(std::move(raw));
  record.raw = chunk.resized.back();
}

}  // namespace fettle
