// Descriptors of processes, pidfd_open(2). glibc 2.36's own header lacks the C linkage.
#pragma once

extern "C" {
#include <sys/pidfd.h>
}
