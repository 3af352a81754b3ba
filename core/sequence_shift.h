// What connection tracking adds to the sequence numbers of a direction's stream, and takes from the
// acknowledgements of it: for its helpers' own edits, and for SYNPROXY's first number. It does both
// as a packet leaves, behind every queue, so that a queue's reader sees a stream's numbers without
// it, and the acknowledgements that come for them with it.
//
// Source: net/netfilter/nf_conntrack_seqadj.c, which remembers the last of its edits alone.
#pragma once

#include <cstdint>

namespace fettle {

struct SequenceShift {
  uint32_t position = 0;  // as it left the queue: the number up to which `before` is added
  uint32_t before = 0;    // modulo 2^32
  uint32_t after = 0;

  bool operator==(const SequenceShift&) const = default;
  bool none() const { return before == 0 && after == 0; }

  // Of an acknowledgement, or an edge of a SACK block: what the kernel will make of it.
  uint32_t removed_from(uint32_t number) const {
    return is_behind(number - before) ? number - after : number - before;
  }
  // What the kernel makes `number` of. Behind an edit of the kernel's that shortened the stream lie
  // some that it makes of nothing: the one before them then.
  uint32_t added_to(uint32_t number) const {
    if (!is_behind(number)) return number + before;
    return is_behind(number + after - before) ? number + after : position + before;
  }

 private:
  bool is_behind(uint32_t number) const { return static_cast<int32_t>(number - position) > 0; }
};

}  // namespace fettle
