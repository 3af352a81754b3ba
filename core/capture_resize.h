// A capture's record with a frame of another length, for packets that were made longer or shorter.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/capture_framing.h"

namespace fettle {

// False: the record's kind says no length of its own (pcapng's simple packet block, which ends
// where the interface's snapshot length has it).
bool can_resize(const Record& record);

// The record as it is to be written with `packet` in the place of `size` bytes at `at` of its
// frame: captured and original length, block length and padding, and a PPPoE header's length
// (RFC 2516) follow; time stamp, options and what lies before and behind in the frame stay.
// Requires can_resize(), and the place to lie in the frame.
std::vector<std::byte> resized(const Record& record, size_t at, size_t size,
                               std::span<const std::byte> packet);

}  // namespace fettle
