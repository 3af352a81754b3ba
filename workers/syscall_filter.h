// The system calls that a worker makes, and no others: seccomp(2), through libseccomp. Another call
// ends the process by SIGSYS, which it can neither catch nor block. The kernel remembers which
// calls pass whatever their arguments, so that these cost a look into a bitmap.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace fettle {

struct AllowedCalls {
  int queue_fd = -1;   // sends without an address; the ioctls of interfaces.h
  int status_fd = -1;  // pread
  int start_fd = -1;   // read
  bool threads = false;
};

// For the calling thread and those that it makes, for good. Memory that can be executed, files,
// sockets, other processes and new privileges are beyond it afterwards. Sets no-new-privileges.
Result<void> enter_syscall_filter(const AllowedCalls& allowed);

// The same for a process that serves those who connect to the socket `listening`: it accepts,
// receives, sends and closes.
Result<void> enter_server_syscall_filter(int listening);

// After a process was ended by SIGSYS: the call that it tried, by name, from the kernel's log
// (/dev/kmsg, audit record 1326). Nothing where the log cannot be read, or does not have it: with
// auditd it is in that one's. Waits for it, 50 ms at most.
std::optional<std::string> forbidden_call(pid_t pid);

// The same from records of the log, one a line. The last one counts.
std::optional<std::string> forbidden_call(std::string_view records, pid_t pid);

}  // namespace fettle
