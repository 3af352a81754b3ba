// What one supervisor leaves to the next of a queue: the bound socket, and the memory that its
// workers share. Descriptors, however they come: from a supervisor that is asked, over its control
// socket; from a worker whose supervisor has died (pidfd_getfd(2), which takes CAP_SYS_PTRACE).
//
// Over a socket, one message a queue: "queue 3: socket page slots rules\n", with these descriptors
// beside it in this order (SCM_RIGHTS, unix(7)). "end\n" follows the last.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/descriptor.h"
#include "core/result.h"

namespace fettle {

enum class Part : uint8_t { kSocket, kPage, kSlots, kHeld, kStreams, kRules };
inline constexpr size_t kParts = 6;
// What the part is called, over a socket and, behind "fettle-", as a memfd.
const char* to_string(Part part);

struct Estate {
  uint16_t queue = 0;
  std::array<Descriptor, kParts> parts;  // the first two are always there

  Descriptor& operator[](Part part) { return parts[static_cast<size_t>(part)]; }
  const Descriptor& operator[](Part part) const { return parts[static_cast<size_t>(part)]; }
};

// What `parts` holds of a queue, -1 where it has none, without giving it away.
Result<void> send_estate(int connection, uint16_t queue, const std::array<int, kParts>& parts);
Result<void> send_end(int connection);
// Until "end". The connection is blocking (SO_RCVTIMEO bounds the wait).
Result<std::vector<Estate>> receive_estates(int connection);

// Of a queue that this network namespace's workers go on with though their supervisor has died.
// Nothing where it is somebody else's; an error where it is an orphan's that cannot be taken over.
Result<std::optional<Estate>> orphan_of(uint16_t queue);

}  // namespace fettle
