// What a client of the control socket may ask: one line, a command.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/result.h"

namespace fettle {

enum class ControlCommand : uint8_t {
  kStatus,    // what runs, what is in force, what was counted
  kReload,    // reads the rules again, as SIGHUP does; answered when they are adopted or refused
  kTakeover,  // hands the queues to the client (estate.h), whose supervisor goes on with them
  kDrain,     // empties the queues and ends, as SIGTERM does; answered at the end
};

std::string_view control_command_name(ControlCommand command);

inline constexpr size_t kLongestRequest = 256;  // bytes, the end of the line not counted

// The line, without its end. An error (kUsage) quotes what was found, in printable form.
Result<ControlCommand> parse_control_request(std::string_view line);

}  // namespace fettle
