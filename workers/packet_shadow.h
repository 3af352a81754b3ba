// fettle run --shadow: what the rules would do to packets that pass as they came, for the log. One
// a thread of a worker; kept aside on the packet path, written between batches, as many as
// LineLimit lets.
//
//   queue 0: shadow: rule "keep-alive": IPv4 10.20.0.11:1331 > 198.51.100.9:1331 UDP 28 bytes, ttl
//   63: would change 2 bytes at 26: 1a2b -> e83d, 3 at 32: 0a1400 -> cb0071
//
// The rules run over the packet where it lies, which the kernel has a copy of: the verdict is an
// accept without bytes, whatever became of these.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rules/program.h"
#include "workers/batch.h"
#include "workers/byte_changes.h"
#include "workers/line_limit.h"

namespace fettle {

// Of one packet.
struct ShadowEntry {
  static constexpr size_t kBytes = 160;  // of the packet as it came: its headers
  static constexpr size_t kRules = 4;

  std::array<uint32_t, kRules> rules{};  // that had a part in it
  uint32_t rule_count = 0;               // those that are not in `rules` included
  Metadata metadata{};                   // as it came
  Outcome outcome{};
  uint32_t mark = 0;    // that it would leave with
  bool stream = false;  // by its TCP stream's edits
  uint32_t size = 0;
  std::array<std::byte, kBytes> bytes;
  ByteChanges changes{};
};
std::string shadow_text(const ShadowEntry& entry, const std::vector<std::string>& rule_names);

class PacketShadow final : public TraceSink {
 public:
  static constexpr size_t kPending = 64;

  PacketShadow(const Program& program, uint16_t queue);

  // As apply_all() does to each of its packets, with this to look on.
  void apply(InHand& hand, ProgramState& state) noexcept;
  // Of a segment that its stream would let go as `piece`; as nothing, where that is empty.
  void edit(const InHand& hand, std::span<const std::byte> piece) noexcept;
  void flush() {
    if (pending_ > 0 || limit_.any_left_out() || limit_.spent()) write_pending();
  }

  void rule(uint32_t rule) noexcept override;
  void step(const Packet& packet, const Metadata& metadata, bool missed) noexcept override;

 private:
  void name_rule() noexcept;
  ShadowEntry* next_entry() noexcept;
  void keep_bytes(const Packet& packet) noexcept;
  void write_pending();

  const Program& program_;
  uint16_t queue_;
  const InHand* hand_ = nullptr;   // that is applied to
  bool watched_ = false;           // there is room for a line about it
  std::vector<std::byte> before_;  // its bytes as they came, from its first rule on
  uint32_t before_size_ = 0;
  uint32_t rule_ = 0;  // whose steps run
  bool named_ = false;
  ShadowEntry scratch_;  // what has no room
  LineLimit limit_;
  size_t pending_ = 0;
  std::array<ShadowEntry, kPending> entries_;
};

}  // namespace fettle
