// Messages as the kernel's ip_queue wrote them, which programs take apart with ipq_get_packet and
// its kin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "deploy/libipq/devices.h"
#include "deploy/libipq/queue_message.h"

namespace libipq {

// Both write at the start of `to`, which need not be aligned, and return the message's length: more
// than `to` has where there is no room for it, and then nothing is written.

// A packet without a time is told to have come at `now_us`, in microseconds since 1970.
size_t write_packet(const QueuedPacket& packet, const Device& in, const Device& out, int64_t now_us,
                    std::span<unsigned char> to);

// The kernel's refusal of a verdict.
size_t write_refusal(int error, std::span<unsigned char> to);

}  // namespace libipq
