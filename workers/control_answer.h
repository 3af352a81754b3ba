// An answer of the control socket, as its clients read it. It may come from another version of
// fettle: members that are missing stay 0 or empty, those that are unknown are kept in the JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "workers/run_status.h"

namespace fettle {

struct ControlAnswer {
  int exit = 0;  // of sysexits(3); 0: done
  std::string message;
  std::optional<RunStatus> status;
  std::string json;         // all of it, indented
  std::string status_json;  // the member "status", indented
};

// Trusts nothing: an error (kProtocol) says where, quotes what was found and says what was
// expected.
Result<ControlAnswer> parse_control_answer(std::string_view text);

}  // namespace fettle
