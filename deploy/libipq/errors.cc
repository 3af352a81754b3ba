#include "deploy/libipq/errors.h"

#include <cerrno>

namespace libipq {
namespace {

thread_local Error last = Error::kNone;

}  // namespace

int fail(Error error) {
  last = error;
  return -1;
}

int fail(Error error, int number) {
  errno = number;
  return fail(error);
}

Error last_error() { return last; }

const char* text(Error error) {
  switch (error) {
    case Error::kNone:
      return "Unknown error";
    case Error::kHandle:
      return "Unable to create netlink handle";
    case Error::kSocket:
      return "Unable to create netlink socket";
    case Error::kBind:
      return "Unable to bind netlink socket";
    case Error::kReceive:
      return "Failed to receive netlink message";
    case Error::kReceivedCut:
      return "Received message truncated";
    case Error::kRefused:
      return "Received error from netlink";
    case Error::kSend:
      return "Failed to send netlink message";
    case Error::kNotSupported:
      return "Operation not supported";
    case Error::kReceiveBuffer:
      return "Receive buffer size invalid";
    case Error::kProtocol:
      return "Invalid protocol specified";
  }
  return "Unknown error";
}

}  // namespace libipq
