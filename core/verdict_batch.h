// The replies to one batch of packets as a gather list for one sendmsg(2). Runs of unchanged
// packets with the same verdict and mark become one NFQNL_MSG_VERDICT_BATCH; a changed packet's
// payload is gathered from where it lies. Packets are added in the order of their ids, because a
// batch verdict takes every id at or below its own; where that would take packets that are to stay
// in the queue, each has a verdict of its own (keep_apart). Allocates when it is made, never after.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/uio.h>

#include "core/nfqueue_codec.h"

namespace fettle {

// So many bytes around a payload are of no more use.
struct VerdictRoom {
  size_t before = 0;
  size_t after = 0;
};

class VerdictBatch {
 public:
  VerdictBatch(uint16_t queue, size_t max_packets);

  // Requires packets() < max_packets. `verdict` is an NF_* number or queue_verdict().
  void add(uint32_t id, uint32_t verdict, const uint32_t* mark) noexcept;
  // The payload must stay where it is until the list is sent. 0 < size <= kMaxReturnedPayload.
  // `room` may be written to then: where the verdict fits into it, it is made around the payload,
  // and the kernel gathers one piece instead of three.
  void add_changed(uint32_t id, uint32_t verdict, const uint32_t* mark,
                   std::span<std::byte> payload, VerdictRoom room = {}) noexcept;

  // While `apart`, no verdict added takes another packet than its own, so that ids may come in any
  // order and those that are not added stay in the queue.
  void keep_apart(bool apart) noexcept;

  // Closes the open run and returns the list; clear() begins the next batch.
  std::span<iovec> gather() noexcept;
  void clear() noexcept;

  size_t bytes() const { return bytes_; }      // of the list, the open run left out
  size_t packets() const { return packets_; }  // added since clear()
  size_t max_packets() const { return max_packets_; }

 private:
  struct Run {
    uint32_t last_id = 0;
    uint32_t verdict = 0;
    uint32_t mark = 0;
    bool set_mark = false;
    size_t count = 0;
  };
  void close_run() noexcept;
  void append_head(const VerdictRequest& request) noexcept;
  void append_vector(std::byte* at, size_t size) noexcept;
  void append_zeros(size_t count, std::byte* at, size_t room) noexcept;

  static constexpr size_t kAnyNumber = SIZE_MAX - 1;

  uint16_t queue_;
  size_t max_packets_;
  size_t joins_ = kAnyNumber;  // packets that may join the first of a run
  size_t packets_ = 0;
  size_t bytes_ = 0;
  size_t head_used_ = 0;
  size_t vectors_used_ = 0;
  Run run_;
  std::vector<std::byte> heads_;
  std::vector<iovec> vectors_;
};

}  // namespace fettle
