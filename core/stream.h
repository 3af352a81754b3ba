// Edits of TCP streams that change their length. A StreamTable remembers each edit by its place in
// the original stream until the receiver has acknowledged it; every segment of either direction,
// however often sent and however cut, leaves as the same piece of the edited stream, and sequence
// numbers, acknowledgements and SACK blocks are shifted to match.
//
// How a caller uses it, one packet after another:
//
//   const StreamAction action = table.process(packet, now, editor, output);
//   kPass      send the packet (it may have been changed in place: finish(), packet.changed)
//   kReplace   send output.pieces instead: checksums and lengths are theirs, finish() is not
//   called.
//              Who can send but one may send the first: the sender repeats what is not acknowledged
//   kHold      keep the packet as it is, and offer it again when output.advanced comes for the same
//              output.connection and direction (before the packet that said so is sent: with
//              another area), and when output.wait milliseconds are over. Who cannot hold, drops:
//              the sender repeats
//   kDrop      output.reason says why; the sender repeats
//   kCannot    the pool has no room for the edits: nothing changed. Keep it, and offer it again
//              when output.advanced_back comes for the other direction; or drop it (the sender
//              repeats, when acknowledgements may have made room); or offer it again with
//              output.give_up, which lets the bytes pass unedited
//   kUntracked no TCP, a fragment, a SYN, or a connection that is not in the table and cannot be:
//              nothing was changed. A SYN passes
//
// Both directions of a connection must come here, in the order they are sent on, or answers would
// name bytes that an end never sent. Calls for one table come from one process at a time; the
// memory may be shared, and the process killed at any instruction: see attach().
//
// What is decided, and why:
// - A segment beyond a hole is held (kEarly): what its bytes become and where they go in the edited
//   stream depends on the bytes before it.
// - The tail of a segment that may begin a match is withheld with its whole segment (kTail), and
//   kept here, so that the editor sees it joined to the next segment's bytes. After
//   StreamLimits::tail_wait the bytes are decided as they are, or left to the sender to repeat
//   while what was decided before them goes (StreamLimits::part_wait).
// - A segment that an edit empties leaves as a probe with the sequence number before its own: the
//   receiver answers it with the acknowledgement that the sender waits for.
// - A pure acknowledgement from beyond a hole takes the sequence number behind the last byte
//   decided.
// - Acknowledgements within a replacement do not pass its last original byte. Where one piece can
//   be sent, a replacement whose rest from there on does not fit into it would stop the stream, and
//   is refused.
// - Windows pass as they are: a stream that grows may exceed one by what is not yet acknowledged,
//   and the receiver takes as much as it has room for.
// - A SYN's data (TCP Fast Open) passes unedited. So does a stream with TCP-MD5 or TCP-AO.
// - A connection is entered by what completes its handshake, at the numbers of that; where none was
//   seen, by its first segment with data, at the segment's own.
//
// Sources: RFC 9293, RFC 2018 (SACK), RFC 2883 (D-SACK), RFC 1982 (comparison), RFC 5961.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/packet.h"
#include "core/sequence_shift.h"
#include "core/siphash.h"
#include "core/stream_layout.h"
#include "core/stream_segment.h"

namespace fettle {

struct StreamEdit {
  uint32_t offset = 0;              // in the bytes that the editor was given
  uint32_t length = 0;              // of what is replaced; 0: an insertion before `offset`
  std::span<const std::byte> with;  // read before process() returns; <= stream::kMaxReplacement
};

struct StreamText {
  std::span<const std::byte> bytes;  // never seen before, but for a tail withheld earlier
  const Packet& packet;              // that brought the last of them
  uint32_t connection = 0;           // place in the table
  uint32_t direction = 0;
  uint32_t position = 0;  // of bytes[0] in the original stream, modulo 2^32; 0 is the first byte
  std::span<const std::byte> before;  // the original bytes before bytes[0]: stream::kBefore of
                                      // them, or as many as the stream has, where it was seen whole
  // Offset from bytes[0] at which a message begins, be it behind the bytes; kNone: none is known. A
  // stream that was seen whole begins with one.
  uint32_t frame = stream::kNone;
  bool last = false;  // no more bytes will join these: FIN, or the wait is over. Withhold none
};

// What the streams are edited by. No exception, no lock.
class StreamEditor {
 public:
  struct Found {
    uint32_t edits = 0;     // filled in, in the order of the stream, not overlapping, each before
                            // the end of the bytes less what is withheld
    uint32_t withhold = 0;  // last bytes that may begin a match; <= stream::kMaxTail, else not
                            // withheld
    bool more = false;      // there are more edits than had room
    // What StreamText::frame is to say from now on, from the same bytes[0]; one within what is
    // decided: none is known. Nothing: what it said before, where that is still to come.
    std::optional<uint32_t> frame{};
  };
  // Where there are more: the packet is kCannot, and the sender repeats it when acknowledgements
  // may have made room. Where no edit is waiting for one, those that had room are all that is done.
  // Answers that break these rules count as Counters::refused_edits, and edit nothing.
  virtual Found edit(const StreamText& text, std::span<StreamEdit> edits) = 0;

 protected:
  ~StreamEditor() = default;
};

enum class StreamAction : uint8_t { kPass, kReplace, kHold, kDrop, kCannot, kUntracked };

enum class StreamReason : uint8_t {
  kNone,
  kEarly,      // hold: beyond bytes that were not seen yet
  kTail,       // hold: its last bytes may begin a match
  kNoRoom,     // cannot: no edit record, no chunk, or kMaxEdits of the direction in use
  kArea,       // drop: the pieces do not fit into output.area
  kGsoShrunk,  // drop: a GSO packet of no more than one segment, which the kernel would not take
  kImmutable,  // drop: it must change, and no checksum could be written
  kDamaged,    // drop: its TCP checksum is wrong; its bytes may be others than the sender's
};

struct StreamLimits {
  static constexpr uint32_t kNever = 0xffffffff;
  static constexpr uint32_t kMaxPieces = 8;

  // Bytes of an IP packet that may leave: the MTU, or what a verdict takes.
  uint32_t packet = 65531;
  uint32_t gso_size = 0;  // of a GSO packet; else 0
  // That can be sent, 1 at least; below kMaxPieces the sender repeats what they lack.
  uint32_t pieces = kMaxPieces;
  // Milliseconds that an undecided tail waits: behind a segment with PSH, which its sender had no
  // more to follow (RFC 9293, 3.9.1), and behind one without, of which more is on its way, be it
  // after a retransmission time-out.
  uint32_t tail_wait = 40;
  uint32_t tail_wait_more = 1000;
  // Milliseconds after which a segment's decided bytes leave without its tail, which the sender
  // repeats: where more may be on its way that waits for their acknowledgement. The sender's buffer
  // or its congestion window ends there, so that without PSH or with GSO nothing else says so.
  uint32_t part_wait = kNever;
  // Bytes that never came here and that the receiver acknowledges have passed elsewhere, unedited:
  // the stream goes on behind them. Else such an acknowledgement teaches nothing.
  bool trust_acknowledgements = false;
  // Nobody has verified the packet's checksum, and it is complete. What a damaged segment brings
  // must not be decided: its repetition would leave as the damaged bytes were edited.
  bool verify = false;
  // A recording of the streams before any edit: its acknowledgements name original bytes, and
  // leave naming edited ones, as who receives these would have sent them.
  bool recorded = false;
  // What is held here has gone on to its receiver all the same (with `recorded`): that it is
  // acknowledged does not mean that it passed undecided.
  bool passed_on = false;
};

struct StreamOutput {
  static constexpr uint32_t kMaxPieces = StreamLimits::kMaxPieces;

  // In.
  // For the pieces, and while the editor looks: kMaxTail and the longest packet of either side at
  // least. Where there is one piece no more is needed.
  std::span<std::byte> area;
  StreamLimits limits;
  bool enter = true;  // false: a connection that is not in the table stays out
  bool give_up = false;
  // Never offered before, and who offers it can hold: a tail that was withheld earlier, and whose
  // segments are gone (their holder was killed), waits anew. Else it waits from its first segment
  // on.
  bool fresh = false;
  bool skip_hole = false;  // what is missing before the segment will not come: it passed unedited
  // In the packet's acknowledgements, when it comes and when it leaves.
  SequenceShift shift{};
  // Out.
  std::array<std::span<std::byte>, kMaxPieces> pieces;  // whole IP packets
  uint32_t piece_count = 0;
  bool part = false;  // the pieces lack the segment's end, which the sender repeats
  StreamReason reason = StreamReason::kNone;
  bool advanced = false;       // bytes were decided: packets held for this direction may go on
  bool advanced_back = false;  // packets of the other direction may: its edits have room again, or
                               // acknowledgements were trusted
  uint32_t connection = stream::kNone;
  uint32_t direction = 0;
  uint32_t wait = 0;
};

class StreamTable {
 public:
  struct Size {
    uint32_t connections = 0;  // rounded up to a power of two, 8 at least
    uint32_t edits = 0;
    uint32_t chunks = 0;      // of 56 bytes of replacement or tail
    uint32_t handshakes = 0;  // rounded up to a power of two
  };
  // Of this process, since attach().
  struct Counters {
    uint64_t entered = 0, evicted = 0, full = 0;  // full: no place, the connection goes untracked
    uint64_t edits = 0, refused_edits = 0, given_up = 0;
    uint64_t early = 0, tails = 0, timeouts = 0, parts = 0, cannot = 0, drops = 0, split = 0,
             emptied = 0;
    uint64_t sack_blocks_dropped = 0, skipped = 0;  // skipped: holes
    uint64_t damaged = 0;
  };

  static size_t bytes(const Size& size);
  // Makes an empty table of `memory`, 64-byte aligned, bytes(size) long. The key is random.
  static void format(std::span<std::byte> memory, const Size& size, const SipKey& key);
  // Goes on with what is there, whatever instruction its last writer was killed at. Walks the
  // table once. False: no table that format() made, of this version.
  bool attach(std::span<std::byte> memory);

  // `now` in milliseconds of any clock that all writers share, modulo 2^32.
  StreamAction process(Packet& packet, uint32_t now, StreamEditor& editor, StreamOutput& output);

  const Counters& counters() const { return counters_; }
  uint32_t connections() const;  // entered now; walks the table
  uint32_t free_edits() const { return header_->free_edits; }
  uint32_t free_chunks() const { return header_->free_chunks; }

 private:
  friend class StreamUpdate;

  bool key_of(const Packet& packet, stream::Connection* key, uint32_t* direction) const;
  stream::Connection* find(const stream::Connection& key);
  stream::Connection* place_for(const stream::Connection& key, uint32_t now);
  bool expired(const stream::Connection& connection, uint32_t now) const;
  stream::Connection first_image(const stream::Connection& key, const stream::Segment& segment,
                                 uint32_t direction) const;
  void forget_handshake(const stream::Connection& key);
  stream::Connection* enter(const stream::Connection& key, const stream::Segment& segment,
                            uint32_t direction, uint32_t now);
  void see_syn(const stream::Connection& key, const stream::Segment& segment, uint32_t direction);
  void remove(stream::Connection* connection);

  void commit(uint32_t place, const stream::Connection& image);
  void sweep();
  uint32_t take_edit();  // kNone: there is none
  void free_edit(uint32_t edit);
  void free_edits(uint32_t newest, uint32_t count);
  void free_chunk(uint32_t chunk);
  void free_chain(uint32_t chunk);
  bool store(std::span<const std::byte> bytes, uint32_t* first);  // false: no room
  void load_chain(uint32_t chunk, uint32_t skip, std::span<std::byte> out) const;
  void free_streams(const stream::Connection& connection);

  stream::Header* header_ = nullptr;
  stream::Connection* connections_ = nullptr;
  stream::EditRecord* edits_ = nullptr;
  stream::Chunk* chunks_ = nullptr;
  stream::Handshake* handshakes_ = nullptr;
  Counters counters_;
};

}  // namespace fettle
