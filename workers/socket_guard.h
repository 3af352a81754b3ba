// A lock on queues' netlink sockets, in the kernel: whoever holds one can send verdicts and
// settings for its own queue and nothing else, though each verdict needs CAP_NET_ADMIN, which by
// itself allows all of netfilter (nftables rules, connection tracking, further queues). A BPF
// program on the security hook that each netlink message passes (netlink_send, Linux 5.11 with BPF
// LSM) looks at the kernel's own copy of what is sent, so that nothing can be changed behind it.
// Other sockets cost it a look whether they are locked.
//
// The lock holds as long as some process has the guard's descriptor, and the socket is open.
#pragma once

#include <cstdint>

#include "core/result.h"

namespace fettle {

class SocketGuard {
 public:
  SocketGuard() = default;  // none
  // Tried out on a socket. An error: this kernel, or this process's privileges (CAP_BPF and
  // CAP_PERFMON), do not allow it.
  static Result<SocketGuard> create();
  SocketGuard(SocketGuard&& other) noexcept { *this = std::move(other); }
  SocketGuard& operator=(SocketGuard&& other) noexcept;
  ~SocketGuard();

  // For good, for every holder of the socket. Proved by a message that the kernel would ignore.
  Result<void> lock(int queue_fd, uint16_t queue) const;
  // What keeps it in force; nothing can be done with it. -1: none.
  int fd() const { return link_fd_; }

 private:
  int map_fd_ = -1;   // struct sock -> its queue
  int link_fd_ = -1;  // of the program to the hook
};

}  // namespace fettle
