// How a replay's packets are dealt out to lanes, each of which runs the rules over its own. All
// packets of a flow are in one lane and keep their order, so that what the rules remember of a flow
// is the lane's alone.
//
// A chunk belongs to one thread at a time, and so does a lane.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/capture.h"
#include "core/packet.h"
#include "rules/program.h"

namespace fettle {

struct ReplayChunk {
  struct Item {
    Packet packet;
    uint32_t looked;  // what Program::look() said
    uint32_t record;  // in piece.records
    uint32_t number;  // among the chunk's packets, from 1
  };
  struct LogLine {
    uint32_t number;  // as in Item
    uint32_t rule;
    std::string text;
  };

  struct Capture {
    uint32_t number;  // as in Item
    uint32_t file;    // in Needs::captures
    std::vector<std::byte> record;
  };

  uint32_t before = 0;  // packets of the capture before this chunk, where the rules draw
  CapturePiece piece;   // the raw bytes of a dropped packet's record are none
  size_t dealt = 0;     // of the piece's records
  uint32_t packets = 0;
  uint32_t not_ip = 0;
  std::vector<Item> items;
  std::vector<std::vector<uint32_t>> lanes;  // places in `items`
  std::vector<LogLine> log;
  std::vector<Capture> captures;
  std::deque<std::vector<std::byte>> resized;  // records whose packets became longer or shorter

  // Deals the packets of `piece` to so many lanes.
  void deal(const Program& program, const Metadata& metadata, size_t lane_count);
  // The same in parts of so many records, each of which the lanes take before the next is dealt: of
  // what is short, all is still in the first-level cache then. False: there are no more.
  void begin(size_t lane_count);
  bool deal_part(const Program& program, const Metadata& metadata, size_t records);
  // Brings the log's lines and the captured packets back into the order of the packets.
  void sort_log();
};

class ReplayStreams;

class ReplayLane final : LogSink, CaptureSink {
 public:
  ReplayLane(const Program& program, const Metadata& metadata, size_t index);
  ~ReplayLane();
  ReplayLane(const ReplayLane&) = delete;
  ReplayLane& operator=(const ReplayLane&) = delete;

  // Runs the rules over this lane's packets of a chunk. Chunks have to come in their order.
  void run(ReplayChunk& chunk);

  const ProgramCounters& counters() const { return counters_; }
  const std::vector<RuleCounters>& rules() const { return rules_; }

 private:
  void log(uint32_t rule, const Packet& packet, const Metadata&) noexcept override;

  void capture(uint32_t file, const Packet& packet) noexcept override;

  bool give_room(const ReplayChunk::Item& item, const Record& record);
  void take_back(const Packet& packet, std::span<std::byte> before, Record* record);

  const Program& program_;
  const Metadata& metadata_;
  size_t index_;
  ReplayChunk* chunk_ = nullptr;  // in hand, with the number of the packet
  uint32_t number_ = 0;
  uint64_t time_ = 0;  // of its record
  ProgramState state_;
  std::vector<RuleCounters> rules_;
  std::vector<std::atomic<uint64_t>> clocks_;
  std::vector<std::byte> room_;  // where a packet may become longer; none: no rule makes one
  std::unique_ptr<ReplayStreams> streams_;  // none: no rule edits any
  alignas(64) ProgramCounters counters_;
};

}  // namespace fettle
