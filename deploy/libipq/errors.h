// What the last call of this thread failed for, in the words that the original had.
#pragma once

namespace libipq {

enum class Error {
  kNone,
  kHandle,         // no handle: memory, or settings of the environment
  kSocket,         // the kernel has no such netlink
  kBind,           // no capability, or no nfnetlink_queue
  kReceive,        // recv()
  kReceivedCut,    // a message that is longer than the caller's buffer
  kRefused,        // the kernel refuses a setting
  kSend,           // sendmsg(), or what could never be sent
  kNotSupported,   // a mode or verdict that there is not, or a queue that is not read yet
  kReceiveBuffer,  // a buffer that is too short for any message
  kProtocol,       // neither IPv4 nor IPv6
};

// Keeps `error` for this thread, and in errno what comes with it. Always -1, so that a function may
// end with it.
int fail(Error error, int number);
// errno stays.
int fail(Error error);

Error last_error();

const char* text(Error error);

}  // namespace libipq
