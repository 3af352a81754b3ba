// Errors are values. A Result<T> is a T or an Error; an Error carries the exit code of
// sysexits(3) that the process would end with and one sentence for a person, which quotes what
// was found and says what was expected.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include <sysexits.h>

namespace fettle {

enum class ErrorCode : int {
  kUsage = EX_USAGE,              // a flag or argument is wrong
  kData = EX_DATAERR,             // a rule file or capture holds something wrong
  kNoInput = EX_NOINPUT,          // an input file cannot be read
  kUnavailable = EX_UNAVAILABLE,  // the kernel lacks something, or a queue is taken
  kSoftware = EX_SOFTWARE,        // a bug of fettle's own
  kOs = EX_OSERR,                 // a system call failed
  kCannotCreate = EX_CANTCREAT,   // an output file cannot be made
  kIo = EX_IOERR,                 // reading or writing failed half-way
  kProtocol = EX_PROTOCOL,        // who was asked answers something that is no answer
  kNoPermission = EX_NOPERM,      // a capability is missing, or somebody may not
};

struct Error {
  ErrorCode code;
  std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

}  // namespace fettle
