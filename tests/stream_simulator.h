// One TCP connection through a stream table, simulated: two ends that cut, repeat, reorder, lose
// and duplicate at random, and a box between them that edits both directions. By no code of the
// stream table's: packets are built, read and judged here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/stream.h"
#include "tests/stream_wire.h"

namespace fettle::testing {

// One end, which trusts what it is told: what was acknowledged or SACKed is never sent again.
struct End {
  std::string stream;          // what it has to send
  uint32_t start = 0;          // sequence number of the first byte
  uint32_t una = 0, next = 0;  // offsets into `stream`; size + 1: the FIN
  uint32_t window = 0;
  std::map<uint32_t, uint32_t> sacked;  // offsets, from -> to
  uint32_t peer_start = 0;
  std::string received;            // in order
  std::map<uint32_t, char> early;  // offset -> byte, out of order
  uint32_t fin_at = UINT32_MAX;    // offset of the peer's FIN, once seen
  uint32_t offered = 0;            // window
  bool peer_closed = false;

  uint32_t received_offset() const {
    return static_cast<uint32_t>(received.size()) + (peer_closed ? 1 : 0);
  }
  bool done() const { return una == stream.size() + 1 && peer_closed; }
};

struct SimulationResult {
  bool ok = true;
  std::string fault;
  uint64_t steps = 0, packets = 0;
};

struct SimulationOptions {
  uint32_t number = 0;  // picks the addresses
  bool hold = true;     // the box holds packets; else it drops them
  bool calm = false;    // nothing is lost, doubled or reordered
  bool shifts = false;  // connection tracking shifts the streams' numbers behind the box
  uint32_t tail_wait = 200;
  uint32_t part_wait = StreamLimits::kNever;
  uint32_t pieces = StreamOutput::kMaxPieces;
  // In place of table.process(), where given.
  std::function<StreamAction(Packet&, uint32_t, PatternEditor&, StreamOutput&)> process{};
  // Tails whose wait was over when others than the table were asked, in `process`.
  std::function<uint64_t()> timeouts_elsewhere{};
  // Sees each packet on both sides of the box.
  std::function<void(bool out, std::span<const std::byte>)> tap{};
};

SimulationResult simulate(StreamTable& table, uint64_t seed, const SimulationOptions& options);

}  // namespace fettle::testing
