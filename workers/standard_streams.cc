#include "workers/standard_streams.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
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

bool wants_colour(int fd) {
  const char* refused = std::getenv("NO_COLOR");
  return (refused == nullptr || *refused == '\0') && isatty(fd);
}

void print_error(std::string_view text) noexcept {
  (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace fettle
