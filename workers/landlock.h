// Landlock by its system calls, which the C library does not wrap: a process gives up, for good,
// what its files, its network and its signals could reach (landlock(7)).
#pragma once

#include "core/result.h"

namespace fettle {

// The interface's version that this kernel has; 0: none, or switched off (lsm= at boot).
int landlock_version() noexcept;

// For the calling thread and those that it makes: no path may be opened or changed, and, where the
// version has it, no TCP port bound or connected to (4), no abstract socket and no process outside
// reached (6). Needs no-new-privileges, and a version of 1 or more.
Result<void> enter_landlock(int version);

}  // namespace fettle
