// What a stream table's memory holds (stream.h): plain numbers and indices, no pointers, so that it
// means the same to every process that maps it, wherever.
//
// One process writes at a time. It may be killed between any two stores, and its successor finds
// each connection as it was before or after the update in hand, never between:
// - edit records and chunks are filled while nothing refers to them, and never change after that;
// - a connection changes as a whole: its new image goes into the journal, the journal is marked,
//   the image is copied to its place, the mark is taken away. attach() repeats the copy of a
//   marked journal;
// - what is free follows from what is referred to, and attach() works it out anew.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "core/siphash.h"

namespace fettle::stream {

constexpr uint32_t kNone = 0xffffffff;  // as an index
constexpr uint32_t kWays = 8;           // places that a connection's hash leaves it
constexpr uint32_t kMaxEdits = 512;     // remembered at a time, of one direction
constexpr uint32_t kMaxReplacement = 4096;
// Bytes withheld at a time, of one direction. More than a new connection's sender can have on its
// way before the first acknowledgement (RFC 6928: ten segments) would never come.
constexpr uint32_t kMaxTail = 14 << 10;
constexpr uint32_t kBefore = 4;  // last bytes decided that an editor is shown

// Sequence numbers compare as in RFC 1982: right as long as they are less than 2^31 apart.
constexpr int32_t distance(uint32_t from, uint32_t to) { return static_cast<int32_t>(to - from); }
constexpr bool before(uint32_t a, uint32_t b) { return distance(a, b) > 0; }
constexpr uint32_t earlier(uint32_t a, uint32_t b) { return before(a, b) ? a : b; }

// An edit of one direction's stream. The bytes [position, position + original) of the original
// stream stand as `replacement` bytes in the edited one, from position + delta on.
struct EditRecord {
  uint32_t position;     // original sequence number
  uint32_t original;     // bytes; 0 is an insertion before `position`
  uint32_t replacement;  // bytes
  uint32_t delta;        // edited less original sequence number before this edit, modulo 2^32
  uint32_t chunk;        // first of the replacement; kNone: empty
  uint32_t older;        // the edit before it; means nothing behind the oldest one remembered
  uint32_t mark;         // attach() counts with it

  uint32_t end() const { return position + original; }
  uint32_t edited() const { return position + delta; }
  uint32_t edited_end() const { return edited() + replacement; }
  uint32_t delta_after() const { return delta + replacement - original; }
};

struct Chunk {
  uint32_t next;
  uint32_t mark;
  std::array<std::byte, 56> bytes;
};

struct Direction {
  uint32_t start;       // sequence number of the first byte: the SYN's + 1; same in both spaces
  uint32_t next;        // original: every byte before it is decided, edited or let be
  uint32_t acked;       // original: the receiver has acknowledged all before it
  uint32_t delta;       // before the oldest edit remembered
  uint32_t newest;      // edit record
  uint32_t tail;        // chunks with the bytes from `next` on that may begin a match
  uint32_t tail_at;     // when the first of them was withheld
  uint16_t tail_size;   // bytes
  uint16_t edit_count;  // remembered
  uint32_t frame;       // original: where a message begins, as the editor says; before `next`: none
                        // is known
  std::array<std::byte, kBefore> before;  // the original bytes before `next`, as far as there are
};

enum class State : uint8_t {
  kFree,
  kOneSided,     // entered without a handshake, and only one end has been heard since
  kEstablished,  // both have been heard
  kClosing,      // RST, or FIN from both ends
};

struct Connection {
  // The end that compares lower comes first; its stream is direction 0. IPv4: first 4 bytes.
  std::array<std::array<std::byte, 16>, 2> address;
  std::array<uint16_t, 2> port;
  uint32_t hash;
  uint32_t seen;  // milliseconds
  State state;
  uint8_t family;
  uint8_t heard;  // bit: direction
  uint8_t fins;   // bit: direction
  std::array<Direction, 2> direction;
};
static_assert(sizeof(Connection) <= 128, "a connection without an edit costs 128 bytes at most");

// A handshake under way, at a place of its hash's own, where the next one overwrites it: a flood
// of SYNs finds nothing to push out but other handshakes.
struct Handshake {
  uint32_t hash;
  uint32_t known;  // bit: direction
  std::array<uint32_t, 2> start;
};

struct Journal {
  uint32_t marked;
  uint32_t place;
  Connection image;
};

struct Header {
  std::array<std::byte, 8> magic;
  uint32_t connections, edits, chunks, handshakes;  // places
  uint32_t free_edit, free_chunk;
  uint32_t free_edits, free_chunks;  // how many
  SipKey key;
  Journal journal;
};

static_assert(std::is_trivially_copyable_v<Header> && std::is_trivially_copyable_v<Connection>);

}  // namespace fettle::stream
