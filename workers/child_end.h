// How a child process ended, as waitpid(2) says it.
#pragma once

#include <sys/types.h>

#include <string>

namespace fettle {

// "killed by signal 11 (Segmentation fault)", "exited with status 70". `pid` is its, or was.
std::string describe_end(pid_t pid, int status);
// By what it did itself: a signal that a fault raises, or a status that is not 0.
bool is_fault(int status);

}  // namespace fettle
