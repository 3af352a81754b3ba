// A queue's TCP streams, for rule sets that edit them: the table in memory that outlives a worker,
// and what a segment's way through it means for a live packet. Decides; gives no verdict.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/stream.h"
#include "rules/program.h"
#include "workers/batch.h"
#include "workers/interfaces.h"

namespace fettle {

// Places of a table for so many connections at a time.
StreamTable::Size stream_table_size(uint32_t connections);

class StreamStage {
 public:
  enum class Fate : uint8_t {
    kGoes,  // hand.outcome and hand.packet say how
    kWaits  // until what is before it is there, or what follows it; until `wait` milliseconds are
            // over
  };

  // wait: milliseconds that what may begin a match waits for the rest; 0: none waits.
  // shadow: all go on as they came, and what is said of them is what their streams' edits would
  // have made of them: nothing is put back, and what waits is decided in the end.
  StreamStage(const Program& program, bool fail_open, uint32_t wait, bool shadow = false);

  // Takes over what is in the memory that StreamTable::format() has once made. Whoever wrote it
  // last must be gone. False: it is no table.
  bool attach(std::span<std::byte> memory) { return table_.attach(memory); }

  // Of a packet whose outcome says `stream`, when it comes and each time that it is offered again.
  // `now` in milliseconds. At kOver, what can be decided is, and what cannot is dropped.
  enum class Offer : uint8_t { kFirst, kAgain, kOver };
  Fate offer(InHand& hand, Interfaces& interfaces, uint32_t now, Offer offer) noexcept;

  // After offer(): which packets are this one's neighbours, and whether those that wait may go on.
  // Never 0.
  uint64_t tag() const { return tag_of(output_.direction); }
  uint64_t tag_back() const { return tag_of(!output_.direction); }
  bool advanced() const { return output_.advanced; }
  bool advanced_back() const { return output_.advanced_back; }
  uint32_t wait() const;
  bool split() const { return output_.piece_count > 1 || output_.part; }
  // The segment instead, or the first of several.
  std::span<const std::byte> piece() const { return output_.pieces[0]; }
  bool replaced() const { return output_.piece_count > 0; }
  bool timed_out() const { return timed_out_; }  // what might have been a match went as it was
  bool untracked() const { return untracked_; }  // for want of a place for its connection
  bool newly_changed() const { return newly_changed_; }  // by its stream's edits alone

 private:
  uint64_t tag_of(uint32_t direction) const {
    return uint64_t{output_.connection} << 1 | direction | uint64_t{1} << 63;
  }
  void set_limits(const InHand& hand, Interfaces& interfaces);
  StreamAction edit(InHand& hand, uint32_t now, bool last) noexcept;
  bool put_back(InHand& hand) noexcept;

  const Program& program_;
  StreamTable table_;
  std::vector<std::byte> area_;
  StreamOutput output_;
  bool shadow_;
  bool newly_changed_ = false;
  bool timed_out_ = false;
  bool untracked_ = false;
};

}  // namespace fettle
