// One packet's way through a stream table (stream.h): what it brings is decided, the connection's
// new image committed, and the packet written as its piece of the edited stream. A retransmission
// goes the same way; only the first step finds nothing to do.
#pragma once

#include <array>
#include <span>

#include "core/stream.h"
#include "core/stream_map.h"

namespace fettle {

class StreamUpdate {
 public:
  StreamUpdate(StreamTable& table, stream::Connection* connection, Packet& packet,
               const stream::Segment& segment, StreamOutput& output)
      : table_(table),
        connection_(connection),
        packet_(packet),
        segment_(segment),
        output_(output),
        image_(*connection) {}

  StreamAction run(uint32_t now, StreamEditor& editor);

 private:
  stream::Direction& own() { return image_.direction[output_.direction]; }
  stream::Direction& other() { return image_.direction[!output_.direction]; }

  // stream_update.cc: what changes in the table.
  bool resets() const;
  void take_acknowledgement();
  StreamAction decide(uint32_t now, StreamEditor& editor);  // kPass: all that it brings is decided
  bool undecided_bytes(bool brings_new, std::span<const std::byte>* bytes);
  StreamAction ask(std::span<const std::byte> bytes, bool last, StreamEditor& editor, uint32_t now);
  StreamText text_of(std::span<const std::byte> bytes, bool last) const;
  bool valid(std::span<const StreamEdit> edits, size_t end) const;
  uint32_t room_for_repetition() const;
  bool record(std::span<const StreamEdit> edits);
  void withhold(std::span<const std::byte> tail, uint32_t now);
  void skip_to(uint32_t direction, uint32_t position);
  void remember(std::span<const std::byte> decided);
  static void set_frame(stream::Direction& stream, uint32_t frame);
  void take_fin();
  void commit();
  StreamAction hold(StreamReason reason, uint32_t wait);
  uint32_t tail_limit() const;
  bool can_part() const;
  StreamAction part();

  // stream_render.cc: what changes in the packet.
  StreamAction render();
  void shift_header(const stream::Map& map);
  void shift_sack(const stream::Map& map);
  uint32_t shifted_seq(const stream::Map& map) const;
  bool edits_concern(const stream::Map& map) const;
  StreamAction shift_in_place();
  StreamAction replace(const stream::Map& map);
  bool lay_out(uint32_t size);
  void append(std::span<const std::byte> bytes);
  void append_edit(const stream::EditRecord& edit, uint32_t from, uint32_t to);
  void fill(const stream::Map& map);
  void finish_piece(uint32_t i, uint32_t offset);
  void finish_checksum(Packet& piece) const;

  StreamTable& table_;
  stream::Connection* connection_;
  Packet& packet_;
  stream::Segment segment_;  // of part(): what is sent of it
  StreamOutput& output_;
  stream::Connection image_;
  bool changed_ = false;
  // Free once the image is committed.
  uint32_t freed_edits_ = stream::kNone, freed_count_ = 0;
  std::array<uint32_t, 2> freed_tails_ = {stream::kNone, stream::kNone};  // by direction

  std::array<std::byte, 60> header_;  // the TCP header as it leaves
  uint32_t room_ = 0;                 // payload of a piece
  uint32_t space_ = 0;                // of all pieces
  uint32_t filled_ = 0;               // payload of all pieces so far
};

}  // namespace fettle
