#include "core/stream_update.h"

#include <algorithm>
#include <cstring>

namespace fettle {

using namespace stream;

StreamAction StreamUpdate::run(uint32_t now, StreamEditor& editor) {
  const uint8_t heard = image_.heard | static_cast<uint8_t>(1u << output_.direction);
  State state = image_.state;
  if (state == State::kOneSided && heard == 3) state = State::kEstablished;
  if (resets()) state = State::kClosing;
  changed_ = heard != image_.heard || state != image_.state;
  image_.heard = heard;
  image_.state = state;
  if (segment_.has(kAck)) take_acknowledgement();
  const StreamAction action = decide(now, editor);
  if (changed_) commit();
  return action == StreamAction::kPass ? render() : action;
}

// Where its receiver may stand: another does not end the connection there (RFC 5961 3.2), and so
// frees no place here.
bool StreamUpdate::resets() const {
  const Direction& stream = image_.direction[output_.direction];
  return segment_.has(kRst) && !before(segment_.seq, stream.acked) &&
         !before(stream.next, segment_.seq);
}

// Edits that are acknowledged whole are forgotten. An acknowledgement of what was not yet sent is
// the receiver's mistake, or a stranger's, and teaches nothing.
void StreamUpdate::take_acknowledgement() {
  Direction& stream = other();
  const Map map(stream, table_.edits_);
  const bool recorded = output_.limits.recorded;
  uint32_t original = recorded ? segment_.ack : map.to_original(segment_.ack);
  if (output_.limits.passed_on && !before(stream.next + stream.tail_size, original)) {
    original = earlier(original, stream.next);
  }
  if (!before(stream.acked, original)) return;
  if (before(stream.next, original)) {
    if (!output_.limits.trust_acknowledgements) return;
    skip_to(!output_.direction, original);
    output_.advanced_back = true;
  }
  stream.acked = original;
  changed_ = true;
  uint32_t done = 0;
  while (done < map.size() && !before(original, map[done].end()) &&
         (recorded || !before(segment_.ack, map[done].edited_end()))) {
    ++done;
  }
  if (done == 0) return;
  const EditRecord& last = map[done - 1];
  stream.delta = last.delta_after();
  stream.edit_count = static_cast<uint16_t>(stream.edit_count - done);
  freed_edits_ = static_cast<uint32_t>(&last - table_.edits_);
  freed_count_ = done;
  output_.advanced_back = true;
}

void StreamUpdate::skip_to(uint32_t direction, uint32_t position) {
  Direction& stream = image_.direction[direction];
  if (stream.tail_size > 0) freed_tails_[direction] = stream.tail;
  stream.tail = kNone;
  stream.tail_size = 0;
  stream.next = position;
  stream.before = {};
  set_frame(stream, stream.frame);
  changed_ = true;
  ++table_.counters_.skipped;
}

// One that lies behind stays just behind, or 2^31 bytes on it would seem to lie ahead.
void StreamUpdate::set_frame(Direction& stream, uint32_t frame) {
  stream.frame = before(frame, stream.next) ? stream.next - 1 : frame;
}

// The last of what was there before and of what has been decided since.
void StreamUpdate::remember(std::span<const std::byte> decided) {
  auto& bytes = own().before;
  const size_t count = std::min(decided.size(), bytes.size());
  std::ranges::rotate(bytes, bytes.begin() + static_cast<std::ptrdiff_t>(count));
  std::ranges::copy(decided.last(count), bytes.end() - static_cast<std::ptrdiff_t>(count));
}

StreamAction StreamUpdate::hold(StreamReason reason, uint32_t wait) {
  output_.reason = reason;
  output_.wait = wait;
  ++(reason == StreamReason::kEarly ? table_.counters_.early : table_.counters_.tails);
  return StreamAction::kHold;
}

StreamAction StreamUpdate::decide(uint32_t now, StreamEditor& editor) {
  Direction& stream = own();
  const uint32_t end = segment_.end_with_fin();
  if (end == segment_.seq || !before(stream.next, end)) return StreamAction::kPass;
  uint32_t known = stream.next + stream.tail_size;
  if (before(known, segment_.seq)) {
    if (!output_.skip_hole) return hold(StreamReason::kEarly, 0);
    skip_to(output_.direction, segment_.seq);
    output_.advanced = true;
    known = segment_.seq;
  }
  const bool brings_new = before(known, end);
  if (!brings_new) {
    const uint32_t age = output_.fresh ? 0 : now - stream.tail_at;
    const uint32_t limit = tail_limit();
    if (age < limit) return hold(StreamReason::kTail, limit - age);
    if (can_part()) return part();
  }
  std::span<const std::byte> bytes;
  if (!undecided_bytes(brings_new, &bytes)) {
    output_.reason = StreamReason::kArea;
    ++table_.counters_.drops;
    return StreamAction::kDrop;
  }
  if (!brings_new) ++table_.counters_.timeouts;
  const bool last = segment_.has(kFin) || !brings_new;
  const StreamAction action = ask(bytes, last, editor, now);
  if (action != StreamAction::kPass) return action;
  if (segment_.has(kFin) && stream.next == segment_.end()) take_fin();
  if (!before(stream.next, end)) return StreamAction::kPass;
  const uint32_t limit = tail_limit();
  return hold(StreamReason::kTail, limit - std::min(limit, now - stream.tail_at));
}

uint32_t StreamUpdate::tail_limit() const {
  const StreamLimits& limits = output_.limits;
  const uint32_t limit = segment_.has(kPsh) ? limits.tail_wait : limits.tail_wait_more;
  return can_part() ? std::min(limit, limits.part_wait) : limit;
}

// The kernel takes no GSO packet that is not longer than one segment.
bool StreamUpdate::can_part() const {
  const Direction& stream = image_.direction[output_.direction];
  const StreamLimits& limits = output_.limits;
  if (limits.part_wait == StreamLimits::kNever || !before(segment_.seq, stream.next)) return false;
  if (segment_.has(kPsh) && limits.gso_size == 0) return false;
  if (packet_.truncated() || packet_.plan == ChecksumPlan::kImmutable) return false;
  const Map map(stream, table_.edits_);
  return map.to_edited(stream.next) - map.to_edited(segment_.seq) > limits.gso_size;
}

StreamAction StreamUpdate::part() {
  segment_.length = own().next - segment_.seq;
  output_.part = true;
  ++table_.counters_.parts;
  return StreamAction::kPass;
}

// From `next` on: what is withheld, and what the segment adds. Bytes that a capture lacks count as
// bytes that nothing is found in.
bool StreamUpdate::undecided_bytes(bool brings_new, std::span<const std::byte>* bytes) {
  const Direction& stream = own();
  const uint32_t known = stream.next + stream.tail_size;
  std::span<const std::byte> added;
  if (brings_new && !packet_.truncated()) {
    added = {packet_.data + packet_.payload, segment_.length};
    added = added.subspan(known - segment_.seq);
  }
  *bytes = added;
  if (stream.tail_size == 0) return true;
  const size_t size = stream.tail_size + added.size();
  if (output_.area.size() < size) return false;
  table_.load_chain(stream.tail, 0, output_.area.first(stream.tail_size));
  if (!added.empty()) {
    std::memcpy(output_.area.data() + stream.tail_size, added.data(), added.size());
  }
  *bytes = output_.area.first(size);
  return true;
}

StreamText StreamUpdate::text_of(std::span<const std::byte> bytes, bool last) const {
  const Direction& stream = image_.direction[output_.direction];
  const uint32_t position = stream.next - stream.start;
  return {.bytes = bytes,
          .packet = packet_,
          .connection = output_.connection,
          .direction = output_.direction,
          .position = position,
          .before = std::span(stream.before).last(std::min(position, kBefore)),
          .frame = before(stream.frame, stream.next) ? kNone : stream.frame - stream.next,
          .last = last};
}

StreamAction StreamUpdate::ask(std::span<const std::byte> bytes, bool last, StreamEditor& editor,
                               uint32_t now) {
  Direction& stream = own();
  std::array<StreamEdit, kMaxEdits> edits;
  StreamEditor::Found found;
  if (!bytes.empty() && !packet_.truncated() && !output_.give_up) {
    found = editor.edit(text_of(bytes, last), edits);
  }
  if (output_.give_up) ++table_.counters_.given_up;
  if (last || found.withhold > kMaxTail || found.withhold > bytes.size()) found.withhold = 0;
  const size_t decided = bytes.size() - found.withhold;
  const auto list = std::span<const StreamEdit>(edits).first(std::min(found.edits, kMaxEdits));
  const bool more = found.more || found.edits >= kMaxEdits;
  const bool all = !more || stream.edit_count == 0;
  if (more && all) ++table_.counters_.given_up;
  if (all && !valid(list, decided)) {
    ++table_.counters_.refused_edits;
  } else if (!all || !record(list)) {
    output_.reason = StreamReason::kNoRoom;
    ++table_.counters_.cannot;
    return StreamAction::kCannot;
  }
  const uint32_t old = stream.next;
  if (packet_.truncated()) {
    stream.next = segment_.end();
  } else {
    stream.next += static_cast<uint32_t>(decided);
    remember(bytes.first(decided));
  }
  set_frame(stream, found.frame ? old + *found.frame : stream.frame);
  output_.advanced = output_.advanced || stream.next != old;
  changed_ = true;
  const bool anew = output_.advanced || stream.tail_size == 0;
  withhold(bytes.subspan(decided), anew ? now : stream.tail_at);
  return StreamAction::kPass;
}

// Of one packet's data, without SACK blocks, which not every repetition bears.
uint32_t StreamUpdate::room_for_repetition() const {
  const StreamLimits& limits = output_.limits;
  if (limits.gso_size > 0) return limits.gso_size;
  const uint32_t sack = segment_.sack_blocks > 0 ? 2 + segment_.sack_blocks * 8 : 0;
  const uint32_t headers = packet_.payload - sack;
  return limits.packet - std::min(limits.packet, headers);
}

bool StreamUpdate::valid(std::span<const StreamEdit> edits, size_t end) const {
  const bool one = output_.limits.pieces == 1;
  const uint32_t room = one ? room_for_repetition() : 0;
  size_t from = 0;
  for (const StreamEdit& edit : edits) {
    if (edit.offset < from || edit.offset >= end || edit.length > end - edit.offset) return false;
    if (edit.with.size() > kMaxReplacement) return false;
    // With the last original byte, or the one behind an insertion.
    if (one && edit.with.size() + 1 > size_t{room} + edit.length) return false;
    from = edit.offset + edit.length;
  }
  return true;
}

// All of them or none: what was taken for some goes back.
bool StreamUpdate::record(std::span<const StreamEdit> edits) {
  Direction& stream = own();
  if (edits.size() > kMaxEdits - stream.edit_count) return false;
  uint32_t delta =
      stream.edit_count > 0 ? table_.edits_[stream.newest].delta_after() : stream.delta;
  uint32_t newest = stream.newest;
  uint32_t made = 0;
  for (const StreamEdit& edit : edits) {
    const uint32_t place = table_.take_edit();
    uint32_t chunk = kNone;
    if (place == kNone || !table_.store(edit.with, &chunk)) {
      if (place != kNone) table_.free_edit(place);
      table_.free_edits(newest, made);
      return false;
    }
    EditRecord& record = table_.edits_[place];
    record = {stream.next + edit.offset,
              edit.length,
              static_cast<uint32_t>(edit.with.size()),
              delta,
              chunk,
              newest,
              0};
    delta = record.delta_after();
    newest = place;
    ++made;
  }
  stream.newest = newest;
  stream.edit_count = static_cast<uint16_t>(stream.edit_count + made);
  table_.counters_.edits += made;
  return true;
}

// No room for it: it is decided as it is, which is said by the counter.
void StreamUpdate::withhold(std::span<const std::byte> tail, uint32_t now) {
  Direction& stream = own();
  if (stream.tail_size > 0) freed_tails_[output_.direction] = stream.tail;
  uint32_t chunk = kNone;
  if (!table_.store(tail, &chunk)) {
    ++table_.counters_.given_up;
    stream.next += static_cast<uint32_t>(tail.size());
    remember(tail);
    set_frame(stream, stream.frame);
    output_.advanced = true;
    tail = {};
  }
  stream.tail = chunk;
  stream.tail_at = now;
  stream.tail_size = static_cast<uint16_t>(tail.size());
}

void StreamUpdate::take_fin() {
  ++own().next;
  output_.advanced = true;
  image_.fins |= static_cast<uint8_t>(1u << output_.direction);
  if (image_.fins == 3) image_.state = State::kClosing;
}

void StreamUpdate::commit() {
  image_.seen = connection_->seen;
  table_.commit(output_.connection, image_);
  for (const uint32_t tail : freed_tails_) {
    if (tail != kNone) table_.free_chain(tail);
  }
  table_.free_edits(freed_edits_, freed_count_);
}

}  // namespace fettle
