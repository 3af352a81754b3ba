// Between the sequence numbers of a direction's original stream and of its edited one.
//
// to_edited() is monotone, so that segments which tile the original stream tile the edited one,
// however they are cut. An edit's own bytes: the first replacement bytes go with the first original
// ones, what is over goes with the last; an insertion goes with the byte that it stands before. The
// way back is not unique, and is taken so that no byte counts as received that was not: an
// acknowledgement of part of a replacement acknowledges no more than the same number of original
// bytes, less than all. Bytes deleted count as received with what stands before them.
//
// Where edits have been forgotten (they were acknowledged), numbers before Direction::acked map to
// numbers before its image, and both ends discard what they name.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/stream_layout.h"

namespace fettle::stream {

// The edits that a direction remembers, oldest first, and the delta before them.
class Map {
 public:
  Map(const Direction& direction, const EditRecord* records);

  uint32_t to_edited(uint32_t original) const;
  // The largest original number whose image is not beyond `edited`: of acknowledgements, and of the
  // right edges of SACK blocks.
  uint32_t to_original(uint32_t edited) const;
  // The smallest one whose image is not before `edited`: of left edges.
  uint32_t to_original_up(uint32_t edited) const;
  bool identity() const { return count_ == 0 && delta_ == 0; }

  uint32_t size() const { return count_; }
  const EditRecord& operator[](uint32_t i) const { return *edits_[i]; }

 private:
  uint32_t delta_;
  uint32_t count_;
  std::array<const EditRecord*, kMaxEdits> edits_;  // newest first up to the constructor's end
};

}  // namespace fettle::stream
