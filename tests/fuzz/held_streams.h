// TCP segments through a rule set's streams as a caller of Program::edit_stream() treats them:
// those that wait are held, and offered again when others bring them on.
#pragma once

#include <vector>

#include "core/stream.h"
#include "rules/program.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/judged_packet.h"

namespace fettle::fuzz {

struct Segment {
  Exact buffer;  // the packet lies in it
  Packet packet{};
  Outcome outcome{};
  Judged judged{};
  uint64_t tag = 0;
};

class HeldStreams {
 public:
  HeldStreams(const Program& program, const StreamLimits& limits);
  // An accepted packet of which apply() has said Outcome::stream, at that time in milliseconds.
  void take(Segment segment, uint32_t now, bool gso);
  // Ends all waiting. The table's memory is sound.
  void finish(uint32_t now);

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  bool offer(Segment& segment, uint32_t now, bool last);  // false: it waits
  void offer_again(uint64_t tag, uint32_t now);
  void check_output(const Segment& segment, StreamAction action) const;

  const Program& program_;
  StreamLimits limits_;
  std::vector<Line> memory_;
  StreamTable table_;
  StreamOutput output_;
  std::vector<Segment> held_;
};

}  // namespace fettle::fuzz
