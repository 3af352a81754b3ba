#include <algorithm>
#include <cstring>

#include "core/checksum.h"
#include "core/mangle.h"
#include "core/stream_update.h"

namespace fettle {

using namespace stream;

StreamAction StreamUpdate::render() {
  const Map map(own(), table_.edits_);
  shift_header(map);
  const bool changes = segment_.length > 0 && (output_.part || edits_concern(map));
  return changes && !packet_.truncated() ? replace(map) : shift_in_place();
}

uint32_t StreamUpdate::shifted_seq(const Map& map) const {
  const uint32_t next = image_.direction[output_.direction].next;
  const uint32_t edited = map.to_edited(segment_.seq);
  if (segment_.end_with_fin() != segment_.seq || segment_.has(kRst)) return edited;
  if (before(next, segment_.seq)) return map.to_edited(next);
  // A keep-alive stays beside the window, whatever was deleted there.
  if (segment_.seq == next - 1) return earlier(edited, map.to_edited(next) - 1);
  return edited;
}

void StreamUpdate::shift_header(const Map& map) {
  std::memcpy(header_.data(), packet_.data + packet_.transport,
              packet_.payload - packet_.transport);
  store_be32(&header_[4], shifted_seq(map));
  if (segment_.has(kUrg)) {
    const uint32_t end = map.to_edited(segment_.seq + load_be16(&header_[18]));
    const uint32_t urgent = end - map.to_edited(segment_.seq);
    store_be16(&header_[18], static_cast<uint16_t>(std::min(urgent, 0xffffu)));
  }
  if (!segment_.has(kAck)) return;
  const Map back(other(), table_.edits_);
  if (back.identity()) return;
  const bool recorded = output_.limits.recorded;
  const uint32_t ack = recorded ? back.to_edited(segment_.ack) : back.to_original(segment_.ack);
  store_be32(&header_[8], output_.shift.added_to(ack));
  if (segment_.sack_blocks > 0) shift_sack(back);
}

// A block that names no whole original byte goes; NOPs fill what it leaves.
void StreamUpdate::shift_sack(const Map& map) {
  std::byte* option = &header_[segment_.sack - packet_.transport];
  uint32_t kept = 0;
  for (uint32_t i = 0; i < segment_.sack_blocks; ++i) {
    const std::byte* block = option + 2 + i * 8;
    const uint32_t from = output_.shift.removed_from(load_be32(block));
    const uint32_t to = output_.shift.removed_from(load_be32(block + 4));
    const bool recorded = output_.limits.recorded;
    const uint32_t left = recorded ? map.to_edited(from) : map.to_original_up(from);
    const uint32_t right = recorded ? map.to_edited(to) : map.to_original(to);
    if (!before(left, right)) continue;
    store_be32(option + 2 + kept * 8, output_.shift.added_to(left));
    store_be32(option + 6 + kept * 8, output_.shift.added_to(right));
    ++kept;
  }
  table_.counters_.sack_blocks_dropped += segment_.sack_blocks - kept;
  const uint32_t used = kept > 0 ? 2 + kept * 8 : 0;
  if (kept > 0) store_u8(option + 1, static_cast<uint8_t>(used));
  if (kept < segment_.sack_blocks) {
    std::memset(option + used, 1, 2 + segment_.sack_blocks * 8 - used);
  }
}

bool StreamUpdate::edits_concern(const Map& map) const {
  for (uint32_t i = 0; i < map.size(); ++i) {
    const EditRecord& edit = map[i];
    if (!before(edit.position, segment_.end())) return false;
    if (before(segment_.seq, edit.end()) || edit.position == segment_.seq) return true;
  }
  return false;
}

StreamAction StreamUpdate::shift_in_place() {
  constexpr uint32_t kChecksum = 16, kBehind = 18;
  const auto header =
      std::span<const std::byte>(header_).first(packet_.payload - packet_.transport);
  const std::byte* old = packet_.data + packet_.transport;
  if (std::memcmp(old, header.data(), header.size()) == 0) return StreamAction::kPass;
  const Edit front = write(packet_, packet_.transport, header.first(kChecksum));
  if (front == Edit::kMiss ||
      write(packet_, packet_.transport + kBehind, header.subspan(kBehind)) == Edit::kMiss) {
    output_.reason = StreamReason::kImmutable;
    ++table_.counters_.drops;
    return StreamAction::kDrop;
  }
  return StreamAction::kPass;
}

StreamAction StreamUpdate::replace(const Map& map) {
  const uint32_t size = map.to_edited(segment_.end()) - map.to_edited(segment_.seq);
  const StreamLimits& limits = output_.limits;
  if (packet_.plan == ChecksumPlan::kImmutable) {
    output_.reason = StreamReason::kImmutable;
  } else if (limits.gso_size > 0 && size <= limits.gso_size) {
    output_.reason = StreamReason::kGsoShrunk;
  } else if (!lay_out(size)) {
    output_.reason = StreamReason::kArea;
  }
  if (output_.reason != StreamReason::kNone) {
    ++table_.counters_.drops;
    return StreamAction::kDrop;
  }
  if (size == 0 && !segment_.has(kFin) && !segment_.has(kRst)) {
    store_be32(&header_[4], load_be32(&header_[4]) - 1);
    ++table_.counters_.emptied;
  }
  if (output_.piece_count > 1 || output_.part) ++table_.counters_.split;
  fill(map);
  for (uint32_t i = 0; i < output_.piece_count; ++i) finish_piece(i, i * room_);
  return StreamAction::kReplace;
}

bool StreamUpdate::lay_out(uint32_t size) {
  if (output_.limits.packet <= packet_.payload) return false;
  room_ = output_.limits.packet - packet_.payload;
  const uint32_t most = std::min(output_.limits.pieces, StreamOutput::kMaxPieces);
  uint32_t count = std::max(1u, (size + room_ - 1) / room_);
  if (count > most) {
    if (most == StreamOutput::kMaxPieces) return false;
    count = most;
    size = most * room_;
    output_.part = true;
  }
  space_ = size;
  if (output_.area.size() < size_t{count} * packet_.payload + size) return false;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t payload = std::min(room_, size - i * room_);
    output_.pieces[i] =
        output_.area.subspan(size_t{i} * output_.limits.packet, packet_.payload + payload);
  }
  output_.piece_count = count;
  return true;
}

void StreamUpdate::append(std::span<const std::byte> bytes) {
  bytes = bytes.first(std::min<size_t>(bytes.size(), space_ - filled_));
  while (!bytes.empty()) {
    const uint32_t into = filled_ % room_;
    const size_t size = std::min<size_t>(bytes.size(), room_ - into);
    std::memcpy(output_.pieces[filled_ / room_].data() + packet_.payload + into, bytes.data(),
                size);
    filled_ += static_cast<uint32_t>(size);
    bytes = bytes.subspan(size);
  }
}

void StreamUpdate::append_edit(const EditRecord& edit, uint32_t from, uint32_t to) {
  std::array<std::byte, 512> some;
  while (from < to) {
    const uint32_t size = std::min<uint32_t>(to - from, some.size());
    table_.load_chain(edit.chunk, from, std::span(some).first(size));
    append(std::span(some).first(size));
    from += size;
  }
}

void StreamUpdate::fill(const Map& map) {
  const std::byte* payload = packet_.data + packet_.payload;
  const uint32_t end = segment_.end();
  uint32_t at = segment_.seq;  // original
  for (uint32_t i = 0; i < map.size(); ++i) {
    const EditRecord& edit = map[i];
    if (!before(edit.position, end)) break;
    if (!before(segment_.seq, edit.end()) && edit.position != segment_.seq) continue;
    if (before(at, edit.position)) {
      append({payload + (at - segment_.seq), edit.position - at});
      at = edit.position;
    }
    // Bounds by what the ends of the piece are within this edit: all of it, most times.
    const uint32_t from = std::min(at - edit.position, edit.replacement);
    const uint32_t to = before(end, edit.end()) ? std::min(end - edit.position, edit.replacement)
                                                : edit.replacement;
    append_edit(edit, from, to);
    at = earlier(end, edit.end());
  }
  if (before(at, end)) append({payload + (at - segment_.seq), end - at});
}

void StreamUpdate::finish_piece(uint32_t i, uint32_t offset) {
  const std::span<std::byte> bytes = output_.pieces[i];
  const bool last = i + 1 == output_.piece_count && !output_.part;
  std::memcpy(bytes.data(), packet_.data, packet_.transport);
  std::byte* tcp = bytes.data() + packet_.transport;
  std::memcpy(tcp, header_.data(), packet_.payload - packet_.transport);
  store_be32(tcp + 4, load_be32(tcp + 4) + offset);
  uint8_t flags = load_u8(tcp + 13);
  if (!last) flags &= static_cast<uint8_t>(~(kPsh | kFin));
  if (i > 0) flags &= static_cast<uint8_t>(~kCwr);
  const uint32_t urgent = load_be16(tcp + 18);
  if ((flags & kUrg) != 0 && offset > 0) {
    if (urgent <= offset) flags &= static_cast<uint8_t>(~kUrg);
    store_be16(tcp + 18, static_cast<uint16_t>(urgent > offset ? urgent - offset : 0));
  }
  store_u8(tcp + 13, flags);
  std::byte* ip = bytes.data();
  const auto size = static_cast<uint32_t>(bytes.size());
  if (packet_.family == Family::kIpv4) {
    const bool fragmentable = (load_u8(ip + 6) & 0x40) == 0;
    std::array<std::byte, 4> old;
    std::memcpy(old.data(), ip + 2, old.size());
    if (load_be16(ip + 2) != 0) store_be16(ip + 2, static_cast<uint16_t>(size));
    if (fragmentable) store_be16(ip + 4, static_cast<uint16_t>(load_be16(ip + 4) + i));
    store(ip + 10, update(load<uint16_t>(ip + 10), old, {ip + 2, 4}, false));
  } else if (load_be16(ip + 4) != 0) {
    store_be16(ip + 4, static_cast<uint16_t>(size - 40));
  }
  Packet piece = parse(bytes);
  finish_checksum(piece);
}

// Keeps the state of the packet's own checksum (mangle.h). One that was wrong stays wrong by as
// much.
void StreamUpdate::finish_checksum(Packet& piece) const {
  std::byte* field = piece.data + piece.transport + 16;
  const std::byte* old = packet_.data + packet_.transport + 16;
  const uint16_t full = full_transport_checksum(piece);
  const ChecksumState state = transport_checksum_state(packet_);
  const bool partial = state == ChecksumState::kPartial && packet_.plan == ChecksumPlan::kCapture;
  if (partial || packet_.plan == ChecksumPlan::kPseudo) {
    store(field, fold(pseudo_header_sum(piece)));
  } else if (packet_.plan == ChecksumPlan::kFinish || state == ChecksumState::kGood) {
    store(field, full);
  } else {
    const uint16_t right = full_transport_checksum(packet_);
    std::array<std::byte, 2> was, should;
    std::memcpy(was.data(), old, 2);
    store(should.data(), right);
    store(field, update(full, was, should, false));
  }
}

}  // namespace fettle
