// The other end of the control socket: what `fettle status`, `top`, `reload` and `drain` have in
// common.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "core/result.h"
#include "workers/control_answer.h"
#include "workers/control_request.h"
#include "workers/control_socket.h"

namespace CLI {
class App;
}

namespace fettle {

struct ControlFlags {
  std::string path{kControlPath};
  uint32_t seconds = 5;  // that the answer may take
  bool json = false;
};
// --control and --timeout.
void add_socket_flags(CLI::App& command, ControlFlags* flags);
// These and --json.
void add_control_flags(CLI::App& command, ControlFlags* flags);

// Asks, and waits for the whole answer. An answer with another exit status than 0 is no error here.
// Errors: those of connect_control(), kUnavailable (no answer in time), kProtocol.
Result<ControlAnswer> ask(ControlCommand command, const ControlFlags& flags);
// Asks for the status, which is there in what is returned. Errors: also what the answer says.
Result<ControlAnswer> ask_status(const ControlFlags& flags);
// The same, and waits until the process that listens has ended.
Result<ControlAnswer> ask_and_await_end(ControlCommand command, const ControlFlags& flags);

}  // namespace fettle
