#include "core/stream.h"

#include "core/checksum.h"
#include "core/stream_update.h"

namespace fettle {

using namespace stream;

namespace stream {
namespace {

constexpr uint32_t kTcpHeader = 20;
constexpr uint8_t kEndOfOptions = 0, kNop = 1, kSack = 5, kMd5 = 19, kAo = 29;

void read_options(const Packet& packet, Segment* segment) {
  uint32_t at = packet.transport + kTcpHeader;
  while (at < packet.payload) {
    const uint8_t kind = load_u8(packet.data + at);
    if (kind == kEndOfOptions) return;
    if (kind == kNop) {
      ++at;
      continue;
    }
    if (packet.payload - at < 2) return;
    const uint32_t size = load_u8(packet.data + at + 1);
    if (size < 2 || size > packet.payload - at) return;
    if (kind == kMd5 || kind == kAo) segment->is_signed = true;
    if (kind == kSack && segment->sack == 0) {
      segment->sack = at;
      segment->sack_blocks = (size - 2) / 8;
    }
    at += size;
  }
}

}  // namespace

Segment segment_of(const Packet& packet) {
  const std::byte* header = packet.data + packet.transport;
  Segment segment;
  segment.seq = load_be32(header + 4);
  segment.ack = load_be32(header + 8);
  segment.flags = load_u8(header + 13);
  segment.length = packet.transport_end - packet.payload;
  read_options(packet, &segment);
  return segment;
}

}  // namespace stream

StreamAction StreamTable::process(Packet& packet, uint32_t now, StreamEditor& editor,
                                  StreamOutput& output) {
  output.piece_count = 0;
  output.part = false;
  output.reason = StreamReason::kNone;
  output.advanced = output.advanced_back = false;
  output.connection = kNone;
  output.wait = 0;
  if (!packet.has_transport() || !packet.is(Protocol::kTcp) || packet.fragment) {
    return StreamAction::kUntracked;
  }
  Segment segment = segment_of(packet);
  segment.ack = output.shift.removed_from(segment.ack);
  Connection key;
  if (!key_of(packet, &key, &output.direction)) return StreamAction::kUntracked;
  Connection* connection = find(key);
  if (output.limits.verify && transport_checksum_state(packet) == ChecksumState::kBad) {
    if (connection == nullptr) return StreamAction::kUntracked;
    output.reason = StreamReason::kDamaged;
    ++counters_.damaged;
    return StreamAction::kDrop;
  }
  if (segment.has(kSyn)) {
    see_syn(key, segment, output.direction);
    return StreamAction::kUntracked;
  }
  if (connection == nullptr && output.enter)
    connection = enter(key, segment, output.direction, now);
  if (connection == nullptr) return StreamAction::kUntracked;
  output.connection = static_cast<uint32_t>(connection - connections_);
  connection->seen = now;
  return StreamUpdate(*this, connection, packet, segment, output).run(now, editor);
}

}  // namespace fettle
