#include "tests/fuzz/held_streams.h"

#include <utility>

namespace fettle::fuzz {
namespace {

constexpr StreamTable::Size kSmall{.connections = 8, .edits = 24, .chunks = 60, .handshakes = 4};
constexpr size_t kMostHeld = 32;
constexpr size_t kArea = 70'000 + stream::kMaxTail;

uint64_t tag_of(uint32_t connection, uint32_t direction) {
  return uint64_t{connection} << 1 | direction;
}

}  // namespace

HeldStreams::HeldStreams(const Program& program, const StreamLimits& limits)
    : program_(program), limits_(limits), memory_(StreamTable::bytes(kSmall) / sizeof(Line) + 1) {
  const auto bytes = std::as_writable_bytes(std::span(memory_));
  StreamTable::format(bytes, kSmall, {5, 6});
  check(table_.attach(bytes));
}

void HeldStreams::take(Segment segment, uint32_t now, bool gso) {
  const uint32_t header = segment.packet.payload;
  output_.fresh = true;
  limits_.gso_size = gso && segment.packet.size > header + 1 ? segment.packet.size - header - 1 : 0;
  const bool goes = offer(segment, now, held_.size() >= kMostHeld);
  limits_.gso_size = 0;
  output_.fresh = false;
  const uint64_t tag = tag_of(output_.connection, output_.direction);
  const uint64_t back = tag_of(output_.connection, !output_.direction);
  const bool advanced = output_.advanced, advanced_back = output_.advanced_back;
  if (!goes) {
    segment.tag = tag;
    held_.push_back(std::move(segment));
  }
  if (advanced) offer_again(tag, now);
  if (advanced_back) offer_again(back, now);
}

void HeldStreams::offer_again(uint64_t tag, uint32_t now) {
  for (size_t i = 0; i < held_.size();) {
    if (held_[i].tag != tag || !offer(held_[i], now, false)) {
      ++i;
      continue;
    }
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(i));
    if (output_.advanced) i = 0;
  }
}

void HeldStreams::finish(uint32_t now) {
  for (Segment& segment : held_) check(offer(segment, now, true));
  held_.clear();
  const uint32_t edits = table_.free_edits(), chunks = table_.free_chunks();
  check(table_.attach(std::as_writable_bytes(std::span(memory_))));
  check(table_.free_edits() == edits && table_.free_chunks() == chunks);
}

bool HeldStreams::offer(Segment& segment, uint32_t now, bool last) {
  const Exact area(kArea);
  output_.area = area.span();
  output_.limits = limits_;
  if (last) output_.limits.tail_wait = output_.limits.tail_wait_more = 0;
  Packet& packet = segment.packet;
  const std::vector<std::byte> before(packet.data, packet.data + packet.size);
  const bool was_changed = packet.changed;
  const StreamAction action = program_.edit_stream(table_, packet, segment.outcome, now, output_);
  const bool same = std::ranges::equal(before, std::span(packet.data, packet.size));
  const bool in_place = action == StreamAction::kPass || action == StreamAction::kUntracked;
  if (!in_place || !packet.changed) check(same);
  if (!in_place) check(packet.changed == was_changed);
  if (in_place && packet.changed) segment.judged.check_edited(packet);
  check_output(segment, action);
  return last || (action != StreamAction::kHold && action != StreamAction::kCannot);
}

void HeldStreams::check_output(const Segment& segment, StreamAction action) const {
  check((action == StreamAction::kReplace) == (output_.piece_count > 0));
  check(output_.piece_count <= output_.limits.pieces);
  if (action == StreamAction::kHold || action == StreamAction::kDrop) {
    check(output_.reason != StreamReason::kNone);
  }
  for (uint32_t i = 0; i < output_.piece_count; ++i) {
    const std::span<std::byte> bytes = output_.pieces[i];
    check(bytes.size() <= output_.limits.packet);
    check(bytes.data() >= output_.area.data() &&
          bytes.data() + bytes.size() <= output_.area.data() + output_.area.size());
    Packet piece = parse(bytes);
    check(piece.size == bytes.size());
    segment.judged.check_piece(piece);
  }
}

}  // namespace fettle::fuzz
