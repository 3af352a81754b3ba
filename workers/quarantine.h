// The packets that workers died of, a capture each, for whoever looks for the fault. Their bytes
// are written as they lie there; nothing here looks into them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/result.h"

namespace fettle {

inline constexpr size_t kMostQuarantined = 64;  // files of a folder; further packets are not kept

// Makes the folder (its parents too) where it is not there. The file's path; an error where the
// folder is full or does not take it. `queue` and `id` are part of the name.
Result<std::string> quarantine(const std::string& folder, uint16_t queue, uint32_t id,
                               std::span<const std::byte> bytes);

}  // namespace fettle
