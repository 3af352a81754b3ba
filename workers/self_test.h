// A packet through each queue, before real ones come: in a network namespace of its own, a child
// process binds the queues with the settings that are wanted, sends itself datagrams over loopback,
// changes a byte of each in the queue and has the kernel's own UDP, which verifies the checksum,
// say what arrives. Nothing of it touches the caller's namespace, and it ends with the child.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/nfqueue_codec.h"

namespace fettle {

struct SelfTest {
  enum class Outcome : uint8_t {
    kPassed,
    kFailed,      // the kernel refused a step, or a packet did not come out as it should
    kImpossible,  // no namespace, or no firewall tool: nothing is known
  };
  Outcome outcome = Outcome::kImpossible;
  std::string text;  // one clause: what passed, which step failed and how, or why it cannot be done
  std::chrono::milliseconds took{0};
};

// No longer than this, whatever happens; of very many queues those are tested that half of it
// suffices for.
inline constexpr std::chrono::milliseconds kLongestSelfTest{1000};

// `queues` as QueueSocket::bind() takes them, at least one; `receive_buffer` as open() does. To be
// called before there are threads, and before SIGCHLD is anybody's. Without `changes` packets are
// to arrive as they were sent.
SelfTest run_self_test(const std::vector<QueueSettings>& queues, size_t receive_buffer,
                       bool changes = true);

}  // namespace fettle
