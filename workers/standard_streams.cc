#include "workers/standard_streams.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

namespace fettle {
namespace {
std::unexpected<Error> failed() {
  return fail(ErrorCode::kIo,
              fmt::format("cannot write standard output: {}", std::strerror(errno)));
}
}  // namespace

Result<void> print_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) return failed();
  return {};
}

Result<void> flush_out() {
  if (std::fflush(stdout) != 0) return failed();
  return {};
}

void print_error(std::string_view text) noexcept {
  (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace fettle
