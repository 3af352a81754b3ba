// The time stamp of a capture's record, moved.
#pragma once

#include <cstdint>

#include "core/capture_framing.h"

namespace fettle {

// Puts the record's time stamp, in its bytes and in time_ns, so many nanoseconds later; in its
// bytes by whole units of the file, rounded down. pcapng's simple packet block has none.
void move_time(Record* record, uint64_t nanoseconds);

}  // namespace fettle
