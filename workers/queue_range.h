// --queue-balance, as iptables' NFQUEUE has it.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "core/result.h"

namespace fettle {

// "0:3", or "0" for one queue: the first and the last.
Result<std::pair<uint16_t, uint16_t>> parse_queue_range(std::string_view text);

}  // namespace fettle
