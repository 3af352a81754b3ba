// What a worker gives up before it looks at the first packet, so that a packet which takes it over
// has won little. Prepared once by the supervisor, entered by each worker; nothing leads back.
//
//   user           an unprivileged one, no groups; CAP_NET_ADMIN, which each verdict needs, is the
//                  only capability, the bounding and ambient sets are empty; no-new-privileges
//   network        an empty namespace; the queue's socket goes on to be the router's
//   descriptors    those that the worker names, and no further one can be opened (RLIMIT_NOFILE)
//   files          none: Landlock (landlock.h), and no call that takes a path
//   system calls   the loop's own (syscall_filter.h); another one ends the worker by SIGSYS
//   memory         as much as it has and an allowance (RLIMIT_AS); not to be dumped or traced
//
// What is essential is refused with an error where it fails. What this kernel or this process's own
// privileges do not allow is left out, and said.
//
// CAP_NET_ADMIN and a netfilter socket of the router's namespace are left. By themselves they allow
// every message of that family: nftables rules, a conntrack flush, ipset, further queues. Where the
// kernel has BPF LSM a lock on the socket (socket_guard.h) leaves verdicts and settings of the own
// queue; those of other queues the kernel refuses in any case. Messages to other programs' netlink
// sockets, another worker's say, would need sendmsg() or an address, which seccomp does not allow.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "workers/socket_guard.h"

namespace fettle {

// A worker's descriptors.
struct Belongings {
  int queue_fd = -1;
  int status_fd = -1;       // see open_queue_status()
  int start_fd = -1;        // the only one that it reads
  std::vector<int> others;  // that it keeps: to be written, or only held
  size_t threads = 1;       // that it is going to have
};

class Sandbox {
 public:
  static constexpr const char* kOwnUser = "fettle";
  static constexpr const char* kAnyUser = "nobody";

  Sandbox() = default;  // none
  // `user`: its name; empty: kOwnUser where there is one, else kAnyUser. Makes the empty network
  // namespace, for which the caller, which must have one thread, is out of its own for a moment.
  // The namespace stays open as long as the process lives.
  static Result<Sandbox> prepare(const std::string& user);

  // Locks a queue's socket, where that can be: before a worker has it.
  Result<void> lock(int queue_fd, uint16_t queue) const;
  // For the calling process, which must have one thread. Standard input and output become
  // /dev/null. After an error the process must end.
  Result<void> enter(const Belongings& belongings) const;
  // The same for a process that serves HTTP (metrics_server.h): no capability at all, and calls
  // that accept, receive, send and close. It keeps these two descriptors, whether there is a
  // sandbox or not.
  Result<void> enter_server(int listening, int channel) const;

  bool wanted() const { return wanted_; }
  // What it consists of, and what had to be left out, empty where nothing was.
  std::string described() const;
  std::string left_out() const;
  // For tests of what lies behind it.
  void leave_out_syscall_filter() { filters_calls_ = false; }

 private:
  Result<void> choose_user(const std::string& name);
  Result<void> make_namespace();
  Result<void> leave_for_good(std::vector<int> kept, bool with_capability) const;
  Result<void> drop_privileges(bool with_capability) const;
  Result<void> limit(const Belongings& belongings) const;

  bool wanted_ = false;
  std::string user_;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  bool changes_user_ = false;
  bool empties_bounding_set_ = false;
  int namespace_fd_ = -1;  // of the empty network; -1: none
  int landlock_ = 0;       // version
  SocketGuard guard_;
  bool filters_calls_ = false;
  bool limits_memory_ = false;
  std::vector<std::string> left_out_;
};

}  // namespace fettle
