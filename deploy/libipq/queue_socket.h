// The netlink socket that a queue's packets come by. Reading is for one thread at a time; verdicts
// may be sent by others meanwhile.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "deploy/libipq/queue_message.h"

namespace libipq {

// All zero bytes is one that is not open. Memory comes from malloc: the library needs no C++ at run
// time.
struct QueueSocket {
  struct Held {  // `size` bytes lie behind it
    Held* next;
    size_t size;
  };
  static constexpr size_t kRoom = 1U << 17;  // for a message: its payload has less than 64 KiB

  // Of all these: 0, or -1 with errno.
  int open(uint32_t queue_length);
  void close();

  // Has the kernel do it, and proves that it did. Packets that come meanwhile are held for read().
  int ask(Request& request);

  // The next datagram of the kernel's, in memory that is this socket's until the next read. Its
  // length; 0: there was none within `timeout` microseconds (errno 0), or a signal came (EINTR). 0
  // waits for ever and negative ones not at all, as ipq_read has it.
  ssize_t read(int timeout, std::span<const std::byte>& datagram);

  // Does not wait for the kernel's word: what it refuses is read later.
  ssize_t send(Request& request, std::span<const std::byte> payload) const;

  int fd;
  uint32_t sequence;  // of the last request that was asked
  Held* first;
  Held* last;
  std::byte* room;

 private:
  ssize_t receive(int flags);
  bool hold(size_t size);
  // 0: the answer was not there; 1: `error` is the kernel's.
  int find_answer(int& error);
  ssize_t take_held(std::span<const std::byte>& datagram);
};

}  // namespace libipq
