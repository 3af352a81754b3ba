// TCP streams by scripts, in the manner of packetdrill: what comes, and what must leave. A line is
//   0> FLAGS SEQ ACK [DATA] [urg=N] [sack=FROM:TO,...] = ACTION [REASON] [part] PACKET | PACKET
// a packet of direction 0 or 1 and what becomes of it, or one of
//   open          a handshake and the first acknowledgement
//   count NAME N  what the table must count
//   NAME N        a setting of what comes from here on; see set()
// Numbers count from each end's SYN, an acknowledgement without ACK is as on the wire.
#pragma once

#include <array>
#include <istream>
#include <string>
#include <string_view>

#include "tests/stream_wire.h"

namespace fettle::testing {

constexpr StreamTable::Size kScriptSize{
    .connections = 64, .edits = 64, .chunks = 64, .handshakes = 64};

class StreamScript {
 public:
  // 2^32 is `wrap` bytes behind direction 0's SYN, near direction 1's; IP version and checksum plan
  // change with it.
  explicit StreamScript(const StreamTable::Size& size = kScriptSize, uint32_t wrap = 0);
  void play(const std::string& script);
  StreamAction process(Bytes bytes);  // any packet, which must not change

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };

  void step(const std::string& line);
  void set(const std::string& name, uint32_t value);
  uint64_t count(std::string_view name) const;
  Bytes read(std::istream& in, uint32_t from) const;
  std::string offer(Bytes bytes, uint32_t from);
  std::string text_of(std::span<const std::byte> bytes, uint32_t from) const;
  void judge(const Bytes& came, std::span<const std::byte> left) const;
  uint32_t ip() const { return ipv6_ ? 40 : 20; }
  std::string relative(uint32_t number, uint32_t end) const;

  bool ipv6_, complete_;
  std::array<uint32_t, 2> zero_;  // sequence numbers of the SYNs, by direction
  uint32_t number_ = 1, now_ = 0, bad_ = 0, option_ = 5;
  ChecksumPlan plan_ = ChecksumPlan::kCapture;
  std::vector<Line> memory_;
  StreamTable table_;
  PatternEditor editor_;
  Bytes area_ = Bytes(70000);
  StreamOutput output_;
};

}  // namespace fettle::testing
