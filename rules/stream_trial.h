// TCP streams for who shows packets one by one and can hold none back: each segment is decided as
// it comes, as if nothing were to follow it soon, and what is missing before it as if it had
// passed. Not for the packet path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/stream.h"
#include "rules/program.h"

namespace fettle {

class StreamTrial {
 public:
  StreamTrial();
  StreamTrial(const StreamTrial&) = delete;
  StreamTrial& operator=(const StreamTrial&) = delete;

  // The packet as it leaves, of one that apply() or trace() has left to Program::edit_stream(),
  // from a recording of both directions; `now` in milliseconds. None: it is dropped.
  std::vector<std::byte> edit(const Program& program, Packet& packet, const Outcome& outcome,
                              uint32_t now);

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory_;
  StreamTable table_;
  std::vector<std::byte> area_;
  StreamOutput output_;
};

}  // namespace fettle
