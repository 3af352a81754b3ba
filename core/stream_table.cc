// Finding, entering and ageing of connections.
#include <algorithm>
#include <cstring>

#include "core/stream.h"
#include "core/stream_segment.h"

namespace fettle {

using namespace stream;

namespace {

constexpr uint32_t kOneSidedLife = 60'000;             // milliseconds
constexpr uint32_t kEstablishedLife = 5 * 86'400'000;  // nf_conntrack_tcp_timeout_established's
constexpr uint32_t kClosingLife = 120'000;             // its FIN_WAIT's and TIME_WAIT's

bool same_ends(const Connection& a, const Connection& b) {
  return a.hash == b.hash && a.address == b.address && a.port == b.port && a.family == b.family;
}

uint32_t hash_of(const SipKey& key, const Connection& connection) {
  uint64_t words[5];
  std::memcpy(words, connection.address.data(), 32);
  words[4] =
      uint64_t{connection.family} << 32 | uint32_t{connection.port[0]} << 16 | connection.port[1];
  return static_cast<uint32_t>(siphash(key, words));
}

}  // namespace

bool StreamTable::key_of(const Packet& packet, Connection* key, uint32_t* direction) const {
  const size_t size = packet.family == Family::kIpv4 ? 4 : 16;
  *key = Connection{};
  const int order = std::memcmp(packet.src_bytes(), packet.dst_bytes(), size);
  const uint16_t from = packet.src_port(), to = packet.dst_port();
  if (order == 0 && from == to) return false;
  const bool swapped = order > 0 || (order == 0 && from > to);
  *direction = swapped;
  std::memcpy(key->address[swapped].data(), packet.src_bytes(), size);
  std::memcpy(key->address[!swapped].data(), packet.dst_bytes(), size);
  key->port[swapped] = from;
  key->port[!swapped] = to;
  key->family = static_cast<uint8_t>(packet.family);
  key->hash = hash_of(header_->key, *key);
  return true;
}

Connection* StreamTable::find(const Connection& key) {
  Connection* set = connections_ + (key.hash & (header_->connections - 1) & ~(kWays - 1));
  for (Connection* at = set; at < set + kWays; ++at) {
    if (at->state != State::kFree && same_ends(*at, key)) return at;
  }
  return nullptr;
}

bool StreamTable::expired(const Connection& connection, uint32_t now) const {
  const uint32_t age = now - connection.seen;
  switch (connection.state) {
    case State::kFree:
      return true;
    case State::kOneSided:
      return age > kOneSidedLife;
    case State::kEstablished:
      return age > (connection.fins == 0 ? kEstablishedLife : kClosingLife);
    case State::kClosing:
      return age > kClosingLife;
  }
  return false;
}

// A free place; else an expired one; else the longest unused of those that are closing or that only
// one end has been heard of. What has just begun is among the latter for a moment: two that begin
// in one set would else push each other out by turns. An established connection gives way to
// nobody.
Connection* StreamTable::place_for(const Connection& key, uint32_t now) {
  Connection* set = connections_ + (key.hash & (header_->connections - 1) & ~(kWays - 1));
  const auto rank = [&](const Connection& at) {
    if (at.state == State::kFree) return 3;
    if (expired(at, now)) return 2;
    return at.state == State::kEstablished ? 0 : 1;
  };
  Connection* best = set;
  for (Connection* at = set; at < set + kWays; ++at) {
    const int better = rank(*at) - rank(*best);
    if (better > 0 || (better == 0 && now - at->seen > now - best->seen)) best = at;
  }
  return rank(*best) == 0 ? nullptr : best;
}

void StreamTable::remove(Connection* connection) {
  const Connection old = *connection;
  Connection free = old;
  free.state = State::kFree;
  commit(static_cast<uint32_t>(connection - connections_), free);
  free_streams(old);
}

// A SYN with acknowledgement that answers a SYN seen here, of other numbers than the entered
// connection's, ends that one: the ports are used again.
void StreamTable::see_syn(const Connection& key, const Segment& segment, uint32_t direction) {
  Handshake& slot = handshakes_[key.hash & (header_->handshakes - 1)];
  Connection* entered = find(key);
  const uint32_t start = segment.seq + 1;
  if (slot.hash != key.hash) slot = Handshake{key.hash, 0, {}};
  const bool answers = segment.has(kAck) && (slot.known & (1u << !direction)) != 0 &&
                       slot.start[!direction] == segment.ack;
  slot.start[direction] = start + segment.length;
  slot.known |= 1u << direction;
  if (entered == nullptr || !answers) return;
  const auto& streams = entered->direction;
  if (streams[direction].start == start && streams[!direction].start == segment.ack) return;
  remove(entered);
}

// What a first segment says of both streams, with its handshake where that was seen. A connection
// whose handshake this segment completes is established: both ends have been heard.
Connection StreamTable::first_image(const Connection& key, const Segment& segment,
                                    uint32_t direction) const {
  const Handshake& slot = handshakes_[key.hash & (header_->handshakes - 1)];
  Connection image = key;
  bool completes = true;
  for (const uint32_t d : {0u, 1u}) {
    const bool known = slot.hash == key.hash && (slot.known & (1u << d)) != 0;
    const uint32_t own = d == direction ? segment.seq : segment.ack;
    // A handshake long over is none of this connection's.
    const bool whole = known && own - slot.start[d] < kHandshakeReach;
    const uint32_t start = whole ? slot.start[d] : own;
    const uint32_t frame = whole ? start : start - 1;
    completes = completes && whole && own == start;
    image.direction[d] = Direction{start, start, start, 0, kNone, kNone, 0, 0, 0, frame, {}};
  }
  image.state = completes ? State::kEstablished : State::kOneSided;
  return image;
}

// What has passed unseen is no hole in a stream.
void StreamTable::forget_handshake(const Connection& key) {
  Handshake& slot = handshakes_[key.hash & (header_->handshakes - 1)];
  if (slot.hash == key.hash) slot = Handshake{};
}

// By data, by what completes a handshake, or by a FIN that has overtaken all data behind one: the
// last acknowledgement of a connection that had no place, or has lost it, would take one for
// nothing.
Connection* StreamTable::enter(const Connection& key, const Segment& segment, uint32_t direction,
                               uint32_t now) {
  if (segment.has(kRst) || !segment.has(kAck) || segment.is_signed) return nullptr;
  Connection image = first_image(key, segment, direction);
  const bool overtook = image.direction[direction].start != segment.seq;
  const bool says = segment.has(kFin) ? overtook : image.state == State::kEstablished;
  if (segment.length == 0 && !says) return nullptr;
  Connection* place = place_for(key, now);
  if (place == nullptr) {
    ++counters_.full;
    forget_handshake(key);
    return nullptr;
  }
  if (place->state != State::kFree) {
    ++counters_.evicted;
    forget_handshake(*place);
    remove(place);
  }
  image.seen = now;
  commit(static_cast<uint32_t>(place - connections_), image);
  ++counters_.entered;
  return place;
}

uint32_t StreamTable::connections() const {
  return static_cast<uint32_t>(
      std::count_if(connections_, connections_ + header_->connections,
                    [](const Connection& at) { return at.state != State::kFree; }));
}

}  // namespace fettle
