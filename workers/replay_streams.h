// TCP streams of a replay that edits them: one lane's, whose flows come in order. Segments that
// wait for what follows them are decided at the end of their chunk at the latest, as after a
// time-out: the chunk is written then.
//
// In a capture nobody repeats what is missing: bytes that were not captured count as bytes that
// passed unedited, and a segment that grows stays one. Both ends of a recorded connection speak of
// the original streams; in what leaves, both speak of the edited ones.
#pragma once

#include <cstdint>
#include <vector>

#include "core/stream.h"
#include "rules/program.h"
#include "workers/replay_lanes.h"

namespace fettle {

class ReplayStreams {
 public:
  explicit ReplayStreams(const Program& program);
  ReplayStreams(const ReplayStreams&) = delete;
  ReplayStreams& operator=(const ReplayStreams&) = delete;

  // Packets that apply() has left to streams, in their order; `place` in chunk.items. The record
  // is what leaves; its raw bytes are none where nothing does.
  void take(ReplayChunk& chunk, uint32_t place, const Outcome& outcome, ProgramCounters& counters);
  // The chunk's last packet was taken.
  void finish(ReplayChunk& chunk, ProgramCounters& counters);

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  struct Waiting {
    uint32_t place;
    Outcome outcome;
    uint32_t connection, direction;
    uint32_t deadline;
  };
  enum class Done : uint8_t { kYes, kWaits };

  Done offer(ReplayChunk& chunk, const Waiting& packet, uint32_t now, ProgramCounters& counters);
  void offer_again(ReplayChunk& chunk, uint32_t now, ProgramCounters& counters);
  void leave(ReplayChunk& chunk, const Waiting& packet, StreamAction action,
             ProgramCounters& counters);
  void replace(ReplayChunk& chunk, Record& record, const Packet& packet);

  const Program& program_;
  std::vector<Line> memory_;
  StreamTable table_;
  std::vector<std::byte> area_;
  StreamOutput output_;
  std::vector<Waiting> waiting_;
};

}  // namespace fettle
